"""The tables whose rows have a CRC of their own: how they are read, and what makes a row right."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

from meterkast_buffer import block, evidence
from meterkast_buffer.database import Row
from meterkast_buffer.half_hours import COLUMNS, half_hour_of
from meterkast_buffer.item_rows import CHECKED, row_crc
from meterkast_buffer.row_sums import SUMMED, is_right, key_of_row


class Table(NamedTuple):
    """How a table is read, page after page.

    Attributes:
        keys: The columns it is ordered by; the first of those that are read.
        columns: What is read.
        right: Whether a row is as it was written.
        rows: How many make a step.
    """

    name: str
    keys: tuple[str, ...]
    columns: str
    right: Callable[[Row], bool]
    rows: int


def _item_is_right(row: Row) -> bool:
    try:
        return bool(row_crc(*row[2:]) == row[1])
    except TypeError:
        return False


def _block_is_right(row: Row) -> bool:
    return block.is_whole(row[1])


def _evidence_is_right(row: Row) -> bool:
    try:
        times = [one.at_ms for one in evidence.unpack(row[3])]
    except ValueError:
        return False
    return bool((min(times), max(times)) == row[1:3])


TABLES = (
    Table(
        "half_hours",
        ("length_ms", "end_ms", "property_id", "revision"),
        COLUMNS,
        lambda row: half_hour_of(row) is not None,
        100,
    ),
    Table("outbox", ("id",), f"id, crc, {CHECKED}", _item_is_right, 100),
    Table("blocks", ("id",), "id, data", _block_is_right, 50),
    Table("untimed", ("id",), "id, data", _block_is_right, 50),
    Table("evidence", ("id",), "id, first_ms, last_ms, data", _evidence_is_right, 10),
    *(Table(name, key_of_row(name), f"{columns}, crc", is_right, 100) for name, columns in SUMMED.items()),
)
