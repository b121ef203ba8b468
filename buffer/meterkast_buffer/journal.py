"""The second copy: an append-only journal beside the database, in frames that stand on their own.

    <database>.journal/000001-2026-11.journal    one file a month

Each closing of half-hours adds one frame, and the tables that give ids their meaning add one when they
change. A frame is written after its transaction was committed, never before: so whatever is in the journal
was promised, and a cut between the two leaves a journal that lacks the newest closing, which the next start
adds from the database. Reading drops what is there twice by its key.

A frame that is cut off at the end of the newest file is removed when the journal is opened; one that is
damaged in the middle is skipped to the next mark whose CRC is right, and counted. `frames.py` says what is in
one.
"""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from meterkast.ownership import own_like
from meterkast_buffer.frames import Frame, frames_of

log = logging.getLogger(__name__)

SUFFIX = ".journal"


@dataclass(slots=True)
class Damage:
    """What was skipped while reading.

    Attributes:
        spans: Stretches that are no frames, each with the times of the frames before and after it.
        unreadable: Files that could not be read, or the folder, and why: what is in them is not known.
    """

    spans: list[tuple[str, int, int]] = field(default_factory=list)
    unreadable: list[tuple[str, OSError]] = field(default_factory=list)


class Journal:
    """The files of one journal.

    Attributes:
        folder: Where they are.
        unlisted: Why the folder could not be read when its files were asked for last.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.unlisted: OSError | None = None
        self._file: int | None = None
        self._path: Path | None = None
        self._size = 0

    @classmethod
    def beside(cls, database: str | Path) -> Journal:
        """The journal of a database."""
        return cls(Path(f"{database}{SUFFIX}"))

    def segments(self) -> list[Path]:
        """The files, oldest first; none where the folder cannot be read, which `unlisted` says."""
        self.unlisted = None
        try:
            return sorted(path for path in self.folder.iterdir() if path.name.endswith(SUFFIX))
        except FileNotFoundError:
            return []
        except OSError as error:
            self.unlisted = error
            return []

    def segments_since(self, at_ms: int) -> list[Path]:
        """Those that may hold a frame that was kept since then."""
        month = _month(at_ms)
        return [path for path in self.segments() if path.name[7:14] >= month]

    def frames(self, damage: Damage | None = None, segments: Sequence[Path] | None = None) -> Iterator[Frame]:
        """All whole frames, as they were kept.

        Args:
            damage: Takes what is none, and files that cannot be read.
            segments: Only these files.
        """
        segments = self.segments() if segments is None else segments
        if self.unlisted is not None and damage is not None:
            damage.unreadable.append((self.folder.name, self.unlisted))
        for segment in segments:
            last_ms, open_span = 0, False
            try:
                data = segment.read_bytes()
            except FileNotFoundError:
                continue  # it was the oldest, and is gone now
            except OSError as error:
                if damage is not None:
                    damage.unreadable.append((segment.name, error))
                continue
            for _, _, frame in frames_of(data):
                if frame is None:
                    open_span = True
                    continue
                if open_span and damage is not None:
                    damage.spans.append((segment.name, last_ms, frame.at_ms))
                open_span, last_ms = False, frame.at_ms
                yield frame
            if open_span and damage is not None:
                damage.spans.append((segment.name, last_ms, 1 << 62))

    def turns(self, at_ms: int) -> bool:
        """Whether the next frame begins a new file: that one needs all tables, so that it stands alone."""
        segments = self.segments()
        return not segments or _month(at_ms) not in segments[-1].name

    def mend(self) -> None:
        """Remove the frame at the newest file's end that was not written whole."""
        if not (segments := self.segments()):
            return
        try:
            data, end = segments[-1].read_bytes(), 0
        except OSError as error:
            log.error("second copy not readable", extra={"reason": str(error)})
            return
        for _, until, frame in frames_of(data):
            if frame is not None:
                end = until
        if end < len(data):
            # After a cut this is usual: what was torn is added from the database.
            torn = {"file": segments[-1].name, "bytes": len(data) - end}
            log.warning("torn end of the second copy removed", extra=torn)
            with open(segments[-1], "r+b") as file:
                file.truncate(end)
                os.fsync(file.fileno())

    def append(self, frames: Sequence[bytes], at_ms: int, owner: bytes, years: int) -> None:
        """Write frames, durable (fsynced) on return; on an error the file ends as before.

        Args:
            frames: As packed.
            at_ms: Now, which names the file: one a month.
            owner: The frame that says whose journal it is, for a new file.
            years: How long half-hours are kept; one older file goes with each new one.

        Raises:
            OSError: The disk refused.
        """
        month = _month(at_ms)
        if self._file is None or self._path is None or month not in self._path.name:
            self._turn(month, owner, years)
        assert self._file is not None
        data = b"".join(frames)
        try:
            written = 0
            while written < len(data):
                written += os.write(self._file, data[written:])
            os.fdatasync(self._file)
        except OSError:
            try:
                os.ftruncate(self._file, self._size)
            finally:
                self.close()  # opened anew, and mended, before the next frame
            raise
        self._size += len(data)

    def _turn(self, month: str, owner: bytes, years: int) -> None:
        """Open the month's file, made where it is not there."""
        self.close()
        self.mend()
        segments = self.segments()
        newest = segments[-1] if segments else None
        if newest is not None and month in newest.name:
            self._open(newest)
        else:
            made = not self.folder.exists()
            self.folder.mkdir(exist_ok=True)
            if made:
                own_like(self.folder, self.folder.absolute().parent)
            number = int(newest.name[:6]) + 1 if newest else 1
            self._open(self.folder / f"{number:06}-{month}{SUFFIX}")
            sync(self.folder)
            if made:
                sync(self.folder.parent)
        if not self._size:
            # Also where a cut left the name alone. It is flushed with the frames that follow.
            assert self._file is not None
            self._size = os.write(self._file, owner)
        if segments and _months(month) - _months(segments[0].name[7:14]) > 12 * years + 1:
            segments[0].unlink()

    def _open(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._path, self._size = path, os.fstat(self._file).st_size
        if not self._size:
            own_like(self._file, self.folder)

    def close(self) -> None:
        """Close the file that is written; twice is harmless."""
        if self._file is not None:
            os.close(self._file)
        self._file = None


def sync(path: Path) -> None:
    """Make a file durable, or the names in a folder."""
    number = os.open(path, os.O_RDONLY)
    try:
        os.fsync(number)
    finally:
        os.close(number)


def _month(at_ms: int) -> str:
    return datetime.fromtimestamp(max(0, at_ms) / 1000, UTC).strftime("%Y-%m")


def _months(name: str) -> int:
    year, _, month = name.partition("-")
    return int(year) * 12 + int(month)
