"""A card to write to: ext4 on a loop device of its own, whose written sectors can be counted."""

from __future__ import annotations

import contextlib
import ctypes
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

SECTOR_BYTES = 512
TIMER = ".timer"
"""The file by which `KernelTimers` commits."""

_IMAGE_BYTES = 2 << 30  # sparse; the default journal of that size is 64 MB


@dataclass(frozen=True, slots=True)
class Card:
    """A mounted file system.

    Attributes:
        folder: Where.
        device: The loop device's name, `loop0`; empty where device bytes cannot be counted.
    """

    folder: Path
    device: str


class NoCardError(Exception):
    """A loop device cannot be made here; the text says why."""


@contextlib.contextmanager
def card() -> Iterator[Card]:
    """Make one; it and all in it is gone afterwards.

    Raises:
        NoCardError: Not root, or no loop devices here.
    """
    if os.geteuid() != 0:
        raise NoCardError("device bytes are counted on a loop device, which only root can make")
    # In memory, so that the machine's own disk does not slow the run down.
    shared = Path("/dev/shm")
    with tempfile.TemporaryDirectory(dir=shared if shared.is_dir() else None) as name:
        image, folder = Path(name) / "card.img", Path(name) / "mounted"
        folder.mkdir()
        with image.open("wb") as file:
            file.truncate(_IMAGE_BYTES)
        options = "lazy_itable_init=0,lazy_journal_init=0"  # else the kernel writes them while we count
        _run("mkfs.ext4", "-q", "-F", "-E", options, str(image))
        device = _run("losetup", "-f", "--show", str(image))
        try:
            # The journal is committed by `KernelTimers`, not by the clock on the wall.
            _run("mount", "-o", "noatime,commit=300", device, str(folder))
            try:
                # First: its inode then is in one block with the log's. Made later it may be in a block of its
                # own, which each commit and each write-back writes too: 12 MB a day that are only ours.
                (folder / TIMER).touch()
                yield Card(folder, Path(device).name)
            finally:
                _run("umount", str(folder))
        finally:
            _run("losetup", "-d", device)


def _run(*command: str) -> str:
    try:
        done = subprocess.run(command, check=True, capture_output=True, text=True)
    except FileNotFoundError as error:
        raise NoCardError(f"{command[0]} is missing") from error
    except subprocess.CalledProcessError as error:
        raise NoCardError(f"{' '.join(command)}: {error.stderr.strip()}") from error
    return done.stdout.strip()


@dataclass(frozen=True, slots=True)
class Written:
    """What a device was made to do since it exists."""

    bytes: int
    flushes: int

    @classmethod
    def now(cls, device: str) -> Written:
        """Of this device; zeros where there is none."""
        if not device:
            return cls(0, 0)
        # Documentation/block/stat.rst: write sectors is the seventh field, flushes the sixteenth.
        fields = Path(f"/sys/block/{device}/stat").read_text(encoding="ascii").split()
        return cls(int(fields[6]) * SECTOR_BYTES, int(fields[15]))


class KernelTimers:
    """What Linux does by the wall clock, done by the simulated one.

    Every 5 s the journal is committed if anything was written, every 30 s what is dirty is written back.
    A day run so reads up to 16 % more bytes than a real one (measured over half an hour of real time).

    Attributes:
        fsyncs: How many calls of fsync are these and not the measured program's.
    """

    def __init__(self, folder: Path) -> None:
        self.fsyncs = 0
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._folder = os.open(folder, os.O_RDONLY)
        self._dummy = os.open(folder / TIMER, os.O_RDWR | os.O_CREAT)
        self._second = 0
        self._seen = -1
        self._commit()
        self.write_back()
        # The kernel accounts for what it has just written a moment later; the counting begins after that.
        time.sleep(0.05)

    def tick(self) -> None:
        """A second has passed."""
        self._second += 1
        if self._second % 5 == 0 and (written := _written_by_us()) != self._seen:
            self._seen = written
            self._commit()
        if self._second % 30 == 0:
            self.write_back()

    def write_back(self) -> None:
        """Write all that is dirty."""
        self._libc.syncfs(self._folder)

    def close(self) -> None:
        """Let go of the file system."""
        os.close(self._dummy)
        os.close(self._folder)

    def _commit(self) -> None:
        # A changed inode puts something into the journal's running transaction; fsync commits it.
        os.utime(self._dummy)
        os.fsync(self._dummy)
        self.fsyncs += 1


def _written_by_us() -> int:
    with open("/proc/self/io", encoding="ascii") as file:
        return next(int(line.split()[1]) for line in file if line.startswith("wchar"))


def fsyncs() -> int | None:
    """Calls of fsync and fdatasync by this process; None where `fscount.c` is not preloaded."""
    try:
        count = ctypes.CDLL(None).fscount_get
    except AttributeError:
        return None
    count.restype = ctypes.c_ulong
    return int(count())


def fsync_counter(folder: Path) -> Path | None:
    """`fscount.c`, compiled for LD_PRELOAD; None where there is no C compiler."""
    library = folder / "fscount.so"
    source = Path(__file__).with_name("fscount.c")
    try:
        subprocess.run(
            ["cc", "-O2", "-shared", "-fPIC", str(source), "-o", str(library), "-ldl"],
            check=True,
            capture_output=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return None
    return library
