"""When a half-hour may be sent."""

from __future__ import annotations

from datetime import datetime, timedelta

from meterkast.model.time import Grid, UtcMs, from_datetime


def daily_due_ms(grid: Grid, end_ms: UtcMs, at: tuple[int, int]) -> UtcMs:
    """The time of day `at` that follows the site's day which the half-hour belongs to.

    Args:
        grid: The site's wall clock.
        end_ms: The half-hour's end; 24:00 belongs to the day it ends.
        at: Hour and minute. Where the clock skips that time, as much later as it skips.

    Source:
        RESET API V2.1, "Event - Readings": pushed at 01:00, "the dataset includes data from 0:00 to 24:00
        from the day before".
    """
    following = grid.date_of(end_ms) + timedelta(days=1)
    return from_datetime(datetime(following.year, following.month, following.day, *at, tzinfo=grid.zone))
