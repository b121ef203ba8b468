"""Seals: the digests of the site's days, chained, so that nothing can be changed unseen afterwards.

A seal covers what was known when it was made: the half-hours of its days, and amendments, which are rows of
earlier days that were made since the last seal. No seal is ever changed.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.time import UtcMs

FORMAT = "meterkast seal 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class Seal:
    """One seal.

    Attributes:
        number: 1 for the first, then rising by one.
        day: The site's calendar day, ISO 8601.
        after_ms, until_ms: The half-hours that end in (after, until] are its day's.
        rows: How many rows it covers, amendments too.
        digest: SHA-256, hexadecimal; of the seal before it as well.
    """

    number: int
    day: str
    after_ms: UtcMs
    until_ms: UtcMs
    rows: int
    digest: str


class Part(NamedTuple):
    """What a seal says of one property: how many rows, and the SHA-256 of their texts."""

    rows: int
    digest: str


class Parts:
    """Gathers the rows of a seal: first its day's, then the amendments, each by end and revision."""

    def __init__(self) -> None:
        self._rows: dict[PropertyId, int] = {}
        self._hashes: dict[PropertyId, hashlib._Hash] = {}

    def add(self, row: HalfHour) -> None:
        """The next row of its property."""
        made = self._hashes.get(row.property_id)
        if made is None:
            made = self._hashes[row.property_id] = hashlib.sha256()
        made.update(row.canonical().encode() + b"\n")
        self._rows[row.property_id] = self._rows.get(row.property_id, 0) + 1

    def parts(self) -> dict[PropertyId, Part]:
        """By property."""
        return {
            property_id: Part(self._rows[property_id], made.hexdigest())
            for property_id, made in sorted(self._hashes.items())
        }


def digest(
    number: int, day: str, after_ms: int, until_ms: int, previous: str, parts: Mapping[PropertyId, Part]
) -> str:
    """The digest of a seal.

    Args:
        number, day, after_ms, until_ms: As in `Seal`.
        previous: The digest of the seal before; the device's id for the first.
        parts: Of every property that has a row in it.
    """
    lines = [FORMAT, f"{number}|{day}|{after_ms}|{until_ms}|{previous}"]
    lines += [f"{property_id}|{part.rows}|{part.digest}" for property_id, part in sorted(parts.items())]
    return hashlib.sha256("".join(f"{line}\n" for line in lines).encode()).hexdigest()
