"""What a backup holds: a tar stream of files under their own paths, behind a list of them."""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, Any

from meterkast import __version__
from meterkast.app import driver_sections
from meterkast.backup.copied import copied
from meterkast.backup.sealed import SealedWriter
from meterkast.config.sections import Config
from meterkast.model.errors import RefusedError
from meterkast.model.time import UtcMs
from meterkast_buffer.refusal import file_bytes

LIST = "meterkast-backup.json"
"""The first member: which files follow, and which of them is what."""

JOURNAL = ".journal"
"""Behind the database's name: the folder of its second copy."""

DEVICE_KEY = "device.key"
"""Beside the database."""


@dataclass(slots=True)
class Contents:
    """The files of a gateway.

    Attributes:
        database, config: Two of them.
        files: What the configuration names, and the device's key.
        passing: What lies in folders, in the order in which it is read: one may go away meanwhile.
        notes: What is not in it, for the person who makes it.
    """

    database: Path
    config: Path
    files: list[Path] = field(default_factory=list)
    passing: list[Path] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)


def contents_of(config_file: Path, config: Config, tree: Mapping[str, Any]) -> Contents:
    """All that belongs to a gateway.

    Args:
        config_file: Its configuration.
        config: The same, checked.
        tree: The same as written.

    Raises:
        ConfigError: The configuration is wrong.
        RefusedError: There is no database yet, or a folder cannot be read.
    """
    database = Path(config.storage.path).absolute()
    if not database.is_file():
        raise RefusedError(
            f"{database} is not there", hint="No gateway has run with this configuration: nothing to save."
        )
    found = Contents(database, config_file.absolute())
    for secret in _named(tree, "_file"):
        path = Path(secret).absolute()
        if path.is_file():
            found.files.append(path)
        else:
            found.notes.append(f"{path} is named in the configuration and is not there.")
    for variable in sorted(set(_from_environment(tree))):
        found.notes.append(f"{variable} comes from the environment: note it down elsewhere.")
    key = database.with_name(DEVICE_KEY)
    if key.is_file():
        found.files.append(key)
    for _, _, settings in driver_sections(config):
        for folder, needed in getattr(settings, "to_save", dict)().items():
            _add_folder(found, Path(folder).absolute(), needed)
    # Before the database: what is in the second copy is in the database too.
    _add_folder(found, Path(f"{database}{JOURNAL}"), {})
    found.files = list(dict.fromkeys(found.files))
    found.passing = [path for path in dict.fromkeys(found.passing) if path not in found.files]
    return found


def write_backup(contents: Contents, file: IO[bytes], passphrase: str, created_ms: UtcMs) -> int:
    """Write all of it, encrypted; how many files it holds.

    The database is copied beside itself first: into the folder that has its size free and nobody else reads.

    Raises:
        RefusedError: A file cannot be read, there is no room for the copy, or the passphrase is too short.
        StorageError: The database cannot be read, or is damaged.
    """
    sealed = SealedWriter(file, passphrase, created_ms)
    with tarfile.open(fileobj=sealed, mode="w|", format=tarfile.PAX_FORMAT) as tar:  # type: ignore[call-overload]
        files = [contents.config, *contents.files]
        sizes = {str(path): _size(path) for path in [*files, *contents.passing]}
        sizes[str(contents.database)] = file_bytes(str(contents.database))
        told = {
            "release": __version__,
            "created_ms": created_ms,
            "database": str(contents.database),
            "config": str(contents.config),
            "sizes": sizes,
        }
        _add(tar, tarfile.TarInfo(LIST), json.dumps(told).encode())
        count = sum(_add_file(tar, path, path) for path in files)
        count += sum(_add_file(tar, path, path, may_vanish=True) for path in contents.passing)
        with copied(contents.database) as copy:
            count += _add_file(tar, copy, contents.database)
    sealed.close()
    return count


def _add_file(tar: tarfile.TarFile, path: Path, under: Path, *, may_vanish: bool = False) -> int:
    """Add one file under a path; 0 where it went away since it was found, and may."""
    try:
        with path.open("rb") as file:
            member = tar.gettarinfo(arcname=str(under), fileobj=file)
            if path != under:
                _as_original(member, under)
            member.type = tarfile.REGTYPE  # also where it is linked to twice
            member.linkname = ""
            member.size = os.fstat(file.fileno()).st_size
            tar.addfile(member, file)
    except OSError as error:
        if may_vanish and isinstance(error, FileNotFoundError):
            return 0
        raise RefusedError(
            f"{path} cannot be read: {error.strerror or error}", hint="Run it as root, or as the gateway."
        ) from error
    return 1


def _as_original(member: tarfile.TarInfo, original: Path) -> None:
    """The copy is nobody's: rights and owner are the original's."""
    found = original.stat()
    member.mode, member.uid, member.gid = found.st_mode & 0o777, found.st_uid, found.st_gid
    member.uname = member.gname = ""
    with suppress(KeyError):  # an owner without a name has its number
        member.uname, member.gname = original.owner(), original.group()


def _add(tar: tarfile.TarFile, member: tarfile.TarInfo, data: bytes) -> None:
    member.size = len(data)
    tar.addfile(member, io.BytesIO(data))


def _add_folder(found: Contents, folder: Path, needed: Mapping[str, str]) -> None:
    """All of a folder, where there is one; what is needed and is not in it is told."""
    files = list(_files_in(folder))
    found.passing += files
    for name, why in needed.items():
        if folder / name not in files:
            found.notes.append(f"{folder / name} is not there. Find and save it: {why}.")


def _files_in(folder: Path) -> Iterator[Path]:
    """Regular files, in any depth; sockets and what is half written are left out.

    Raises:
        RefusedError: A folder cannot be read.
    """
    for parent, folders, names in os.walk(folder, onerror=_refuse):
        folders.sort()
        for path in (Path(parent, name) for name in sorted(names)):
            if not path.name.endswith(".part") and stat.S_ISREG(path.lstat().st_mode):
                yield path


def _refuse(error: OSError) -> None:
    if not isinstance(error, FileNotFoundError):
        raise RefusedError(
            f"{error.filename} cannot be read: {error.strerror}", hint="Run it as root."
        ) from error


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _named(tree: object, ending: str) -> Iterator[str]:
    """The files that a configuration names, at any depth."""
    if isinstance(tree, Mapping):
        for key, value in tree.items():
            if isinstance(value, str) and str(key).endswith(ending) and value:
                yield value
            yield from _named(value, ending)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _named(value, ending)


def _from_environment(tree: object) -> Iterator[str]:
    if isinstance(tree, str) and tree.startswith("env:"):
        yield tree[4:]
    elif isinstance(tree, Mapping):
        for value in tree.values():
            yield from _from_environment(value)
    elif isinstance(tree, list | tuple):
        for value in tree:
            yield from _from_environment(value)
