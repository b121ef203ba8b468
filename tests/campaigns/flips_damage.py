"""What is done to the files."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping

from .flips_base import Base, Files

PAGE = 4096
DB, LOG = "meterkast.db", "meterkast.db-wal"


def _journal(files: Mapping[str, bytes]) -> str:
    return max(name for name in files if ".journal/" in name)


def _flip(files: Files, name: str, chance: random.Random, low: int = 0) -> str:
    data = bytearray(files[name])
    at = chance.randrange(low, len(data))
    data[at] ^= 1 << chance.randrange(8)
    files[name] = bytes(data)
    return f"bit of byte {at} of {name} (page {at // PAGE + 1})"


def _over(files: Files, name: str, at: int, new: bytes) -> None:
    data = files[name]
    files[name] = data[:at] + new[: len(data) - at] + data[at + len(new) :]


def _log_end(data: bytes) -> int:
    """Where the used part of the log ends: behind it are the zeros it was grown by."""
    return max(32, len(data.rstrip(b"\0")))


def bit(base: Base, chance: random.Random) -> tuple[Files, str]:
    """One bit of the database."""
    files = dict(base.clean)
    return files, _flip(files, DB, chance)


def bits(base: Base, chance: random.Random) -> tuple[Files, str]:
    """Two to eight bits of it."""
    files = dict(base.clean)
    return files, ", ".join(_flip(files, DB, chance) for _ in range(chance.randrange(2, 9)))


def letter(base: Base, chance: random.Random) -> tuple[Files, str]:
    """The highest bit of a letter or digit: a text with it is no UTF-8 any more."""
    files, data = dict(base.clean), bytearray(base.clean[DB])
    at = chance.choice(
        [at for at in (chance.randrange(len(data)) for _ in range(999)) if chr(data[at]).isalnum()]
    )
    data[at] ^= 0x80
    files[DB] = bytes(data)
    return files, f"byte {at} of the database (page {at // PAGE + 1})"


def page(base: Base, chance: random.Random) -> tuple[Files, str]:
    """A page zeroed, or filled with noise."""
    files = dict(base.clean)
    at = chance.randrange(len(files[DB]) // PAGE) * PAGE
    _over(files, DB, at, bytes(PAGE) if chance.random() < 0.5 else chance.randbytes(PAGE))
    return files, f"page {at // PAGE + 1}"


def pages(base: Base, chance: random.Random) -> tuple[Files, str]:
    """Three pages."""
    files, told = dict(base.clean), []
    for _ in range(3):
        at = chance.randrange(len(files[DB]) // PAGE) * PAGE
        _over(files, DB, at, bytes(PAGE) if chance.random() < 0.5 else chance.randbytes(PAGE))
        told.append(str(at // PAGE + 1))
    return files, "pages " + ", ".join(told)


def short(base: Base, chance: random.Random) -> tuple[Files, str]:
    """The database cut off, or gone."""
    files = dict(base.clean)
    if chance.random() < 0.1:
        del files[DB]
        return files, "no database"
    at = chance.randrange(len(files[DB]))
    files[DB] = files[DB][:at]
    return files, f"database cut off at {at}"


def log_cut(base: Base, chance: random.Random) -> tuple[Files, str]:
    """The write-ahead log cut off, or gone."""
    files = dict(base.crashed)
    at = chance.randrange(_log_end(files[LOG]))
    files[LOG] = files[LOG][:at]
    if at < 4096:
        del files[LOG]
    return files, f"log cut off at {at}"


def log_flip(base: Base, chance: random.Random) -> tuple[Files, str]:
    """One bit of the log."""
    files = dict(base.crashed)
    data = bytearray(files[LOG])
    at = chance.randrange(_log_end(files[LOG]))
    data[at] ^= 1 << chance.randrange(8)
    files[LOG] = bytes(data)
    return files, f"bit of byte {at} of the log"


def log_zero(base: Base, chance: random.Random) -> tuple[Files, str]:
    """A stretch of the log zeroed."""
    files = dict(base.crashed)
    at = chance.randrange(_log_end(files[LOG]))
    _over(files, LOG, at, bytes(chance.choice((512, 4096, 65536))))
    return files, f"log zeroed from {at}"


def copy_hurt(base: Base, chance: random.Random) -> tuple[Files, str]:
    """The second copy flipped, cut off, zeroed or gone."""
    files = dict(base.clean if chance.random() < 0.5 else base.crashed)
    name = _journal(files)
    kind = chance.randrange(4)
    if kind == 0:
        return files, _flip(files, name, chance)
    at = chance.randrange(len(files[name]))
    if kind == 1:
        files[name] = files[name][:at]
    elif kind == 2:
        _over(files, name, at, bytes(512))
    else:
        del files[name]
    return files, f"second copy damaged ({kind}) at {at}"


def lie(base: Base, chance: random.Random) -> tuple[Files, str]:
    """A disk that ignored flush: each page as it was at this or an earlier closing."""
    files, old = dict(base.crashed), chance.choice(base.earlier)
    share = chance.choice((0.02, 0.2, 1.0))
    for name in (DB, LOG):
        now, was = files[name], old.get(name, b"")
        parts = [
            was[at : at + PAGE] if at < len(was) and chance.random() < share else now[at : at + PAGE]
            for at in range(0, len(now), PAGE)
        ]
        files[name] = b"".join(parts)
    # The second copy is another file, and ends where its last write that came through ends.
    lost_copy = chance.random() < 0.3
    if lost_copy:
        files[_journal(files)] = base.earlier[-1][_journal(files)]
    return files, f"{share:.0%} of pages of an earlier closing, copy {'behind' if lost_copy else 'whole'}"


DAMAGES: dict[str, Callable[[Base, random.Random], tuple[Files, str]]] = {
    one.__name__: one
    for one in (bit, bits, letter, page, pages, short, log_cut, log_flip, log_zero, copy_hurt, lie)
}
