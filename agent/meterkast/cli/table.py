"""CSV that spreadsheets, auditors and programs read alike: RFC 4180, UTF-8, exact decimals."""

from __future__ import annotations

import csv
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

from meterkast.cli.output import whole_text

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")


class Table(Protocol):
    """Takes rows."""

    def writerow(self, row: Sequence[object], /) -> object: ...


def harmless(text: str) -> str:
    """A name as a cell: what a spreadsheet would take for a formula gets an apostrophe before it (OWASP)."""
    return f"'{text}" if text.startswith(_FORMULA) else text


@contextmanager
def table(output: Path | None) -> Iterator[Table]:
    """Where rows go: standard output, or a file that is there only when it is whole.

    Raises:
        RefusedError: The file cannot be written.
    """
    if output is None:
        yield csv.writer(sys.stdout, lineterminator="\r\n")
        sys.stdout.flush()
        return
    with whole_text(output) as file:
        yield csv.writer(file, lineterminator="\r\n")
