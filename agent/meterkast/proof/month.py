"""A month at the site."""

from __future__ import annotations

from datetime import date

from meterkast.model.errors import ConfigError
from meterkast.model.time import YEARS, Grid, UtcMs


def month_of(written: str, grid: Grid) -> tuple[UtcMs, UtcMs]:
    """The first and the last instant of a month "2026-10" at the site.

    Raises:
        ConfigError: It is no month.
    """
    try:
        first = date.fromisoformat(f"{written}-01")
    except ValueError as error:
        raise ConfigError(f"{written!r} is no month", hint='Write it as "2026-10".') from error
    if first.year not in YEARS:
        raise ConfigError(
            f"{written!r}: its year is not from {YEARS[0]} to {YEARS[-1]}", hint='Write it as "2026-10".'
        )
    following = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return grid.day(first)[0], grid.day(following)[0]
