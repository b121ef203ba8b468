"""From a backup onto a card: all of it is written beside its places, proven, and only then put there."""

from __future__ import annotations

import json
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from meterkast.backup.contents import JOURNAL, LIST
from meterkast.backup.sealed import SealedReader
from meterkast.model.errors import RefusedError
from meterkast.model.time import UtcMs
from meterkast_buffer.copying import kept_from_gateways, prepare_restored
from meterkast_buffer.free_name import free_name
from meterkast_buffer.journal import sync

PART = ".restoring"
BEFORE = ".before-restore"

_COPY_BYTES = 64 * 1024


@dataclass(slots=True)
class Restored:
    """What a restore did.

    Attributes:
        created_ms: When the backup was made.
        files: What was put in place.
        aside: What was there before, and is kept.
        config: The gateway's configuration, where it is now.
    """

    created_ms: UtcMs
    config: Path
    files: list[Path] = field(default_factory=list)
    aside: list[Path] = field(default_factory=list)


def restore(file: IO[bytes], passphrase: str, *, name: str, root: Path, force: bool) -> Restored:
    """Put a backup in place; all of it or nothing.

    Args:
        file: The backup.
        passphrase: As it was made with.
        name: The file's, for messages.
        root: Where the card is: `/`, or where it is mounted.
        force: Put aside what is there already.

    Raises:
        RefusedError: Wrong passphrase; the file is damaged; there is a gateway already, or no room.
        StorageError: A gateway runs there, or the database in the backup is not sound.
    """
    sealed = SealedReader(file, passphrase, name)
    with _opened(sealed, name) as tar:
        told = _list(tar, name)
        places = {path: _under(root, path) for path in told["sizes"]}
        database = _under(root, told["database"])
        _must_be_free(places.values(), force=force)
        if database.exists():
            with kept_from_gateways(str(database)):
                pass  # else it is told only when all was written
        _must_fit(places, told["sizes"])
        staging = _Staging(database)
        try:
            while (member := tar.next()) is not None:
                place = places.get(f"/{member.name.lstrip('/')}")
                if place is None or not member.isreg():
                    raise RefusedError(f"{name} holds {member.name}, which is not in its list", hint=_STRANGE)
                staging.write(tar, member, place)
            sealed.finish()
            if database not in staging.units:
                raise RefusedError(f"{name} holds no database", hint=_STRANGE)
            prepare_restored(str(staging.units[database]))
            sync(staging.units[database])
            result = Restored(UtcMs(told["created_ms"]), _under(root, told["config"]), staging.files)
            with kept_from_gateways(str(database)):
                _put_in_place(staging.units, database, result)
        except BaseException as error:
            staging.remove()
            if isinstance(error, OSError):
                raise RefusedError(
                    f"{error.filename or root}: {error.strerror or error}",
                    hint="Nothing was changed. Look at the card: is it mounted, writable and large enough?",
                ) from error
            raise
    return result


_STRANGE = "Nothing was written. Report this: the backup was made by something else."


@contextmanager
def _opened(sealed: SealedReader, name: str) -> Iterator[tarfile.TarFile]:
    try:
        with tarfile.open(fileobj=sealed, mode="r|") as tar:  # type: ignore[call-overload]  # it only reads
            yield tar
    except tarfile.TarError as error:
        raise RefusedError(f"{name} is not as it was written: {error}", hint=_STRANGE) from error


def _list(tar: tarfile.TarFile, name: str) -> dict[str, Any]:
    member = tar.next()
    file = tar.extractfile(member) if member is not None and member.name == LIST else None
    if file is None:
        raise RefusedError(f"{name} has no list of its files", hint=_STRANGE)
    told: dict[str, Any] = json.loads(file.read())
    return told


def _under(root: Path, path: str) -> Path:
    if ".." in Path(path).parts or not path.startswith("/"):
        raise RefusedError(f"{path} is no place for a file", hint=_STRANGE)
    return root / path.lstrip("/")


def _must_be_free(places: Any, *, force: bool) -> None:
    there = [place for place in places if place.exists()]
    if there and not force:
        more = f" and {len(there) - 1} more files" if len(there) > 1 else ""
        raise RefusedError(
            f"{there[0]}{more}: there already",
            hint="Nothing was written. To put what is there aside and the backup in its place: --force. "
            "To restore to another card: --to and where it is mounted.",
        )


def _must_fit(places: dict[str, Path], sizes: dict[str, int]) -> None:
    needed: dict[int, tuple[int, Path]] = {}
    for path, place in places.items():
        folder = next(one for one in place.parents if one.exists())
        device = folder.stat().st_dev
        needed[device] = needed.get(device, (0, folder))[0] + sizes[path], folder
    for size, folder in needed.values():
        free = shutil.disk_usage(folder).free
        if size > free:
            raise RefusedError(
                f"{folder} has {free / 1e6:.0f} MB free, and the backup needs {size / 1e6:.0f} MB",
                hint="Nothing was written. Use a larger card.",
            )


class _Staging:
    """Files beside their places, until all are proven.

    Attributes:
        units: What is renamed, by where it goes: files, and the folder of the second copy as one.
        files: All that was written, by where it goes.
    """

    def __init__(self, database: Path) -> None:
        self.units: dict[Path, Path] = {}
        self.files: list[Path] = []
        self._journal = Path(f"{database}{JOURNAL}")
        self._made: list[Path] = []

    def write(self, tar: tarfile.TarFile, member: tarfile.TarInfo, place: Path) -> None:
        """Write a member beside its place."""
        part = place.with_name(place.name + PART)
        if self._journal in place.parents:
            folder = self._journal.with_name(self._journal.name + PART)
            if self._journal not in self.units and folder.exists():
                shutil.rmtree(folder)  # of a restore that was cut off
            part = folder / place.relative_to(self._journal)
            self.units[self._journal] = folder
        else:
            self.units[place] = part
        self._make_folder(part.parent, member)
        _write(tar, member, part)
        self.files.append(place)

    def remove(self) -> None:
        """Leave nothing behind."""
        for part in self.units.values():
            if part.is_dir():
                shutil.rmtree(part, ignore_errors=True)
            with suppress(OSError):  # a card that fails: the first error is the one to tell
                _remove(part)
        for folder in reversed(self._made):
            # The lock's file is ours; anything else was put there meanwhile, and stays.
            for lock in folder.glob("*.lock"):
                lock.unlink(missing_ok=True)
            with suppress(OSError):
                folder.rmdir()

    def _make_folder(self, folder: Path, member: tarfile.TarInfo) -> None:
        for one in reversed([one for one in (folder, *folder.parents) if not one.exists()]):
            one.mkdir(mode=0o750)
            self._made.append(one)
            _own(one, member)


def _write(tar: tarfile.TarFile, member: tarfile.TarInfo, part: Path) -> None:
    source = tar.extractfile(member)
    assert source is not None
    _remove(part)
    with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        shutil.copyfileobj(source, file, _COPY_BYTES)
        file.flush()
        _own(part, member)
        os.fchmod(file.fileno(), member.mode & 0o777)
        os.fsync(file.fileno())


def _remove(part: Path) -> None:
    """Also what SQLite left beside it in a restore that was killed: it is no log of the next one."""
    for left in (part, Path(f"{part}-wal"), Path(f"{part}-shm"), Path(f"{part}-journal")):
        left.unlink(missing_ok=True)


def _own(path: Path, member: tarfile.TarInfo) -> None:
    """The owner as it was, by name where this system knows the name; only root can give files away."""
    if os.geteuid():
        return
    for name, number, option in ((member.uname, member.uid, "user"), (member.gname, member.gid, "group")):
        try:
            shutil.chown(path, **{option: name or number})
        except LookupError:
            shutil.chown(path, **{option: number})


def _put_in_place(units: dict[Path, Path], database: Path, result: Restored) -> None:
    """Rename everything, the database last: without it there is no gateway.

    What was there before is kept beside, and comes back if a rename fails. Neither the log nor the second
    copy of an old database may be found by the new one.
    """
    done: list[tuple[Path, Path]] = []
    places = sorted(units, key=lambda place: place == database)
    beside = [Path(f"{database}-wal"), Path(f"{database}-shm"), Path(f"{database}{JOURNAL}")]
    old = list(dict.fromkeys([*beside, *places]))
    # One name for all that one restore puts aside: what an earlier one did stays.
    ending = free_name(BEFORE, lambda name: any(_aside(place, database, name).exists() for place in old))
    try:
        for place in old:
            if place.exists():
                aside = _aside(place, database, ending)
                place.rename(aside)
                done.append((aside, place))
        for place in places:
            units[place].rename(place)
            done.append((place, units[place]))
    except BaseException:
        for now, before in reversed(done):
            with suppress(OSError):  # as much as can be is brought back
                now.rename(before)
        raise
    for folder in {place.parent for place in places}:
        sync(folder)
    result.aside = [now for now, _ in done if BEFORE in now.name]


def _aside(place: Path, database: Path, ending: str) -> Path:
    """Where it is kept: the old database's log stays beside it under a name that belongs to it."""
    if place.name in (f"{database.name}-wal", f"{database.name}-shm"):
        return place.with_name(database.name + ending + place.name.removeprefix(database.name))
    return place.with_name(place.name + ending)
