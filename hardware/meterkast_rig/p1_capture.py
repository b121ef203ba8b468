"""A recorded P1 line, cut into telegrams to be played again as they were."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from meterkast.model.errors import ConfigError

_END = re.compile(rb"^!([0-9A-Fa-f]{0,4})\r?(?:\n|\Z)", re.MULTILINE)
_CIPHER = b"\xdb\x08"  # encrypted telegrams are binary: neither lines nor an end mark to cut at


def read_capture(path: Path) -> list[bytes]:
    """The telegrams of a capture, in order; whatever stood between two goes with the second.

    A file without any CR was recorded through a terminal that ate them: they are put back, or no checksum
    would fit. An encrypted recording is played as one piece.

    Raises:
        ConfigError: The file cannot be read, or is empty.
    """
    try:
        recorded = path.read_bytes()
    except OSError as error:
        raise ConfigError(
            f"capture {path}: {error.strerror}", hint="Give a file with the bytes of a P1 line."
        ) from error
    if not recorded.strip():
        raise ConfigError(f"capture {path} is empty", hint="Give a file with the bytes of a P1 line.")
    if recorded.startswith(_CIPHER):
        return [recorded]
    if b"\r" not in recorded:
        recorded = recorded.replace(b"\n", b"\r\n")
    ends = [0, *(found.end() for found in _END.finditer(recorded)), len(recorded)]
    pieces = [recorded[start:end] for start, end in pairwise(ends)]
    return [piece for piece in pieces if piece.strip()]
