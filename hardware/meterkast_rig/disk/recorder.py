"""Records every change that a process makes to the files of one folder, and lets any of them fail.

The recorder is a small library in C that is loaded before all others (`LD_PRELOAD`), so that what is
recorded is the program that ships, with its own SQLite, and not a model of it.
"""

from __future__ import annotations

import ctypes
import os
import shutil
import subprocess
from enum import IntEnum
from pathlib import Path

from meterkast.model.errors import MeterkastError

_SOURCE = Path(__file__).with_name("recorder.c")


class Fault(IntEnum):
    """How an operation fails; the numbers are those of recorder.c."""

    NONE = 0
    IO_ERROR = 1  # any operation: EIO
    NO_SPACE = 2  # opening, writing, resizing: ENOSPC
    SHORT_WRITE = 3  # half is written; the next write finds no room
    LOST_FLUSH = 4  # a flush fails with EIO, and the kernel forgets what it had not written


def build(folder: Path) -> Path:
    """The recorder as a library, compiled into the folder.

    Raises:
        MeterkastError: There is no C compiler, or it refused.
    """
    compiler = shutil.which("gcc") or shutil.which("cc")
    if compiler is None:
        raise MeterkastError("no C compiler found", hint="Install one: sudo apt-get install gcc libc6-dev")
    library = folder / "recorder.so"
    command = [compiler, "-shared", "-fPIC", "-O1", "-o", str(library), str(_SOURCE), "-ldl", "-lpthread"]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise MeterkastError(f"the recorder could not be compiled: {done.stderr}", hint="Look at recorder.c.")
    return library


def environment(library: Path, folder: Path, trace: Path) -> dict[str, str]:
    """What a process is started with so that its changes in `folder` are recorded in `trace`."""
    return {
        **os.environ,
        "LD_PRELOAD": str(library),
        "METERKAST_DISK_FOLDER": str(folder),
        "METERKAST_DISK_TRACE": str(trace),
    }


class Recorder:
    """The recorder from inside of the process that it records."""

    def __init__(self) -> None:
        self._library = ctypes.CDLL(None)  # it is loaded already, before everything else

    def mark(self, text: str) -> None:
        """Put a line into the trace, between what was done before and what is done after it."""
        self._library.disk_mark(text.encode())

    def fail(self, fault: Fault, nth: int = 1, *, lasting: bool = False) -> None:
        """Let the n-th operation from now fail that can fail so; with `lasting` every one after it too."""
        self._library.disk_fail(fault.value, nth, lasting)

    def lift(self) -> int:
        """No more faults; returns how many operations failed since `fail`."""
        failed = int(self._library.disk_failed())
        self._library.disk_fail(Fault.NONE, 0, False)
        return failed
