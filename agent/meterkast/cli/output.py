"""A file that a command writes: it is there only when it is whole."""

from __future__ import annotations

import fcntl
import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TextIO

from meterkast.model.errors import RefusedError


def must_name_a_file(path: Path) -> None:
    """Tell early what can only fail.

    Raises:
        RefusedError: It names a folder.
    """
    if not path.name or path.is_dir():
        raise RefusedError(f"{path} is a folder", hint="Give the name of a file in it.")


@contextmanager
def whole(path: Path, *, mode: int = 0o666) -> Iterator[IO[bytes]]:
    """Written beside its place, flushed, and renamed; one of that name is replaced.

    Raises:
        RefusedError: It names a folder, cannot be written, or another command is writing it.
    """
    must_name_a_file(path)
    part = path.with_name(path.name + ".part")
    try:
        with os.fdopen(os.open(part, os.O_WRONLY | os.O_CREAT, mode), "wb") as file:
            _must_be_ours(file, part)
            try:
                file.truncate(0)  # of a command that was killed
                yield file
                file.flush()
                os.fsync(file.fileno())
                part.replace(path)
            except BaseException:
                part.unlink(missing_ok=True)
                raise
    except OSError as error:
        raise RefusedError(
            f"{path}: {error.strerror or error}",
            hint="Nothing was kept. Is there room, and may it be written?",
        ) from error


@contextmanager
def whole_text(path: Path) -> Iterator[TextIO]:
    """The same for text: UTF-8, its line ends as they are given."""
    with whole(path) as file:
        text = io.TextIOWrapper(file, encoding="utf-8", newline="")
        try:
            yield text
        finally:
            text.detach()  # brings what it holds into the file, and leaves that open


def _must_be_ours(file: IO[bytes], part: Path) -> None:
    """Two that write one file would make one of neither."""
    busy = RefusedError(
        f"{part} is being written by another command", hint="Wait until it is done, or give another file."
    )
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        raise busy from None
    except OSError:
        return  # a file system without locks, such as some that are reached by network
    if not part.exists() or not os.path.samestat(os.fstat(file.fileno()), part.stat()):
        raise busy  # it was done, and renamed, between the two calls
