"""What a recorded process did to its files, step by step, and what a power cut between two steps could leave.

The disk keeps what was flushed before the cut. Of every write since then, in any order, it has all, some
512-byte sectors or nothing. Names (files made, renamed, removed) are the folder's own data: they are kept in
their order, as a journaling file system does, and surely only once the folder itself was flushed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

SECTOR_BYTES = 512

Change = tuple[int, int, bytes | None]
"""Serial number; offset and bytes, or the new size and None."""


class File:
    """A file whatever its name: as the process sees it, and as the disk surely has it.

    Attributes:
        live: As the process sees it.
        durable: As it was when it was flushed.
        pending: What was done since then.
        forgotten: What a flush that failed left unwritten: the process sees it, no later flush writes it.
        version: Rises whenever `durable` changes.
    """

    def __init__(self, content: bytes = b"") -> None:
        self.live = bytearray(content)
        self.durable = bytearray(content)
        self.pending: list[Change] = []
        self.forgotten: list[Change] = []
        self.version = 0

    def change(self, change: Change) -> None:
        self.pending.append(change)
        _apply(self.live, change)

    def flush(self) -> None:
        for change in self.pending:
            _apply(self.durable, change)
            # What was written anew is not forgotten any more; neither is a change that it only touches.
            self.forgotten = [old for old in self.forgotten if not _touches(old, change)]
        self.version += bool(self.pending)
        self.pending = []

    def forget(self) -> None:
        self.forgotten += self.pending
        self.pending = []


FOLDER = File()
"""Stands for a folder inside the one that is recorded."""

Names = dict[str, File]
Renaming = tuple[tuple[str, File | None], ...]
State = dict[str, bytes]
"""The files of the folder, by name."""


@dataclass(slots=True)
class Disk:
    """The folder.

    Attributes:
        live: Its files by name, as the process sees them.
        durable: Its names as they were when it was flushed.
        pending: Changes of names since, each a few at once: (name, its file or None where it went).
        version: Rises whenever `durable` changes.
    """

    live: Names = field(default_factory=dict)
    durable: Names = field(default_factory=dict)
    pending: list[Renaming] = field(default_factory=list)
    version: int = 0

    def name(self, *changed: tuple[str, File | None]) -> None:
        self.pending.append(changed)
        _name(self.live, changed)

    def flush(self, folder: str) -> None:
        """The names in one folder are durable; those in others wait for theirs."""
        flushed = [changed for changed in self.pending if any(_parent(name) == folder for name, _ in changed)]
        for changed in flushed:
            _name(self.durable, changed)
        self.version += bool(flushed)
        self.pending = [changed for changed in self.pending if changed not in flushed]

    def cut(self, chance: Random) -> tuple[object, dict[str, tuple[File, list[Change]]]]:
        """One thing that a power cut could leave: a key, equal for equal ones, and how to make it."""
        names = dict(self.durable)
        kept = chance.randint(0, len(self.pending))
        for changed in self.pending[:kept]:
            _name(names, changed)
        chosen: dict[str, tuple[File, list[Change]]] = {}
        parts: dict[int, list[Change]] = {}
        for name in sorted(names):
            file = names[name]
            if file is FOLDER or (_parent(name) and _parent(name) not in names):
                continue
            if id(file) not in parts:
                parts[id(file)] = _survivors(file, chance)
            chosen[name] = file, parts[id(file)]
        key = tuple(
            (name, id(file), file.version, tuple((serial, at, len(data or b"")) for serial, at, data in part))
            for name, (file, part) in chosen.items()
        )
        return key, chosen


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the trace: a mark, or a change of the disk.

    Attributes:
        mark: The mark's text; None for a change.
        what: What was done, for people.
    """

    mark: str | None
    what: str


class Trace:
    """A recorded process, played back.

    Attributes:
        disk: As it is at this step.
    """

    def __init__(self, path: Path, folder: Path, before: Mapping[str, bytes]) -> None:
        """Take a trace.

        Args:
            path: What the recorder wrote.
            folder: The folder that was recorded.
            before: The files that were in it, all of them durable.
        """
        self._data = path.read_bytes()
        self._folder = str(folder)
        files = {name: File(content) for name, content in before.items()}
        files |= {_parent(name): FOLDER for name in before if _parent(name)}
        self.disk = Disk(live=dict(files), durable=dict(files))
        self._open: dict[int, File | None] = {}
        self._folders: dict[int, str] = {}

    def steps(self) -> Iterator[Step]:
        """Play it: after each step `disk` is as the process had it then."""
        at, serial = 0, 0
        while at < len(self._data):
            end = self._data.index(b"\n", at)
            line = self._data[at:end].decode()
            at = end + 1
            payload = b""
            if line.startswith("W "):
                size = int(line.rsplit(" ", 1)[1])
                payload = self._data[at : at + size]
                at += size
            serial += 1
            if line.startswith("M "):
                yield Step(line[2:], "")
            else:
                self._play(line, payload, serial)
                yield Step(None, line)

    def _play(self, line: str, payload: bytes, serial: int) -> None:
        kind, rest = line[0], line[2:]
        if kind == "O":
            number, existed, emptied, path = rest.split(" ", 3)
            self._opened(int(number), existed == "1", emptied == "1", self._short(path), serial)
        elif kind == "R":
            old, new = map(self._short, rest.split("\t"))
            file = self.disk.live[old]
            self.disk.name((new, file), (old, None))
        elif kind == "D":
            self.disk.name((self._short(rest), FOLDER))
        elif kind == "U":
            self.disk.name((self._short(rest), None))
        else:
            numbers = [int(one) for one in rest.split()]
            self._changed(kind, self._open[numbers[0]], numbers, payload, serial)

    def _opened(self, number: int, existed: bool, emptied: bool, name: str, serial: int) -> None:
        if name == "" or self.disk.live.get(name) is FOLDER:
            self._open[number], self._folders[number] = None, name
            return
        if not existed:
            self.disk.name((name, File()))
        file = self._open[number] = self.disk.live[name]
        if emptied and existed:
            file.change((serial, 0, None))

    def _changed(self, kind: str, file: File | None, numbers: list[int], payload: bytes, serial: int) -> None:
        if kind == "C":
            del self._open[numbers[0]]
        elif file is None:
            if kind == "S":
                self.disk.flush(self._folders[numbers[0]])
        elif kind == "W":
            file.change((serial, numbers[1], payload))
        elif kind == "T":
            file.change((serial, numbers[1], None))
        elif kind == "S":
            file.flush()
        elif kind == "Z":
            file.forget()

    def _short(self, path: str) -> str:
        return os.path.relpath(path, self._folder) if path != self._folder else ""


def _parent(name: str) -> str:
    return name.rpartition("/")[0]


def made(chosen: Mapping[str, tuple[File, list[Change]]]) -> State:
    """The files that such a cut leaves."""
    state: State = {}
    for name, (file, part) in chosen.items():
        content = bytearray(file.durable)
        for change in part:
            _apply(content, change)
        state[name] = bytes(content)
    return state


def _survivors(file: File, chance: Random) -> list[Change]:
    """Which of the changes that are not durable reached the disk, in which order, and what of them."""
    pending = file.forgotten + file.pending
    if not pending:
        return []
    how = chance.random()
    if how < 0.15:
        return []
    if how < 0.35:
        chosen = pending[: chance.randint(0, len(pending))]
    elif how < 0.5:
        left_out = chance.randrange(len(pending))
        chosen = pending[:left_out] + pending[left_out + 1 :]
    elif how < 0.6:
        chosen = [chance.choice(pending)]
    elif how < 0.9:
        chosen = [change for change in pending if chance.random() < 0.5]
        chance.shuffle(chosen)
    else:
        chosen = list(pending)
    return [_torn(change, chance) if chance.random() < 0.15 else change for change in chosen]


def _torn(change: Change, chance: Random) -> Change:
    serial, at, data = change
    if data is None:
        return change
    # Sectors lie on the disk's grid, not on the write's own.
    first = SECTOR_BYTES - at % SECTOR_BYTES
    edges = [0, *range(first, len(data), SECTOR_BYTES), len(data)]
    begin, end = sorted(chance.sample(range(len(edges)), 2))
    return serial, at + edges[begin], data[edges[begin] : edges[end]]


def _apply(content: bytearray, change: Change) -> None:
    _, at, data = change
    if len(content) < at:
        content.extend(bytes(at - len(content)))
    if data is None:
        del content[at:]
    else:
        content[at : at + len(data)] = data


def _touches(old: Change, new: Change) -> bool:
    _, at, data = new
    end = None if data is None else at + len(data)
    if old[2] is None:
        # A size is the file system's own data, which it keeps in order: an older one never comes back.
        return end is None or end > old[1]
    return old[1] + len(old[2]) > at and (end is None or old[1] < end)


def _name(names: Names, changed: Renaming) -> None:
    for name, file in changed:
        if file is None:
            names.pop(name, None)
        else:
            names[name] = file
