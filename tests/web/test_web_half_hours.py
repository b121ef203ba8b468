"""What the page makes of a day's half-hours."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import date, datetime
from decimal import Decimal
from zoneinfo import ZoneInfo

from meterkast.model.epoch import Break, Epoch
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import Grid, UtcMs, from_datetime
from meterkast.web.half_hours import Day, day_of

ZONE = ZoneInfo("Europe/Amsterdam")
GRID = Grid(ZONE)
DAY = date(2025, 11, 21)
MIDNIGHT = datetime(2025, 11, 21, tzinfo=ZONE)
NOON = from_datetime(datetime(2025, 11, 21, 12, 10, tzinfo=ZONE))

MakeDay = Callable[..., list[HalfHour]]


def shown(
    kept: list[HalfHour],
    *,
    now_ms: UtcMs = NOON,
    day: date = DAY,
    register: bool = True,
    epochs: tuple[Epoch, ...] = (),
) -> Day:
    return day_of(kept, GRID, day, now_ms, power=3, register=register, epochs=epochs)


def broken(
    rows: list[HalfHour], at: int, kind: Break, offset: int
) -> tuple[list[HalfHour], tuple[Epoch, ...]]:
    """From that row on they belong to another epoch, which goes on with so much more."""
    after = [replace(one, epoch=1 if one.value is not None else 0) for one in rows[at:]]
    first, begun = rows[0].value, rows[at].value
    assert first is not None
    assert begun is not None
    epochs = (
        Epoch(property_id=PropertyId(1), number=0, kind=Break.FIRST, at_ms=rows[0].end_ms, first=first),
        Epoch(
            property_id=PropertyId(1),
            number=1,
            kind=kind,
            at_ms=rows[at].end_ms,
            first=begun,
            last=first,
            offset=Quantity(offset, 0),
        ),
    )
    return rows[:at] + after, epochs


def test_energy_of_a_half_hour_is_the_exact_difference_of_two_registers(make_day: MakeDay) -> None:
    day = shown(make_day(1, 10_929_001, [110, 0, 999], MIDNIGHT))
    assert [row.difference for row in day.rows[:3]] == [Decimal("0.110"), Decimal("0.000"), Decimal("0.999")]
    assert [row.label for row in day.rows[:3]] == ["00:30", "01:00", "01:30"]
    assert (day.total, day.total_from, day.total_until) == (Decimal("1.109"), "00:00", "01:30")


def test_missing_half_hours_are_a_gap_with_its_cause_and_never_zero(make_day: MakeDay) -> None:
    day = shown(make_day(1, 1000, [100, Cause.LINK_LOST, Cause.LINK_LOST, 700, 100], MIDNIGHT))
    assert [row.difference for row in day.rows[:5]] == [Decimal("0.100"), None, None, None, Decimal("0.100")]
    (gap,) = day.gaps
    assert (gap.first, gap.last, gap.cause, gap.count) == ("00:30", "01:30", "link lost", 2)
    # The register knows what the gap used together, only not when.
    assert (gap.rise, gap.known_at) == (Decimal("0.700"), "02:00")
    assert day.total == Decimal("0.900")


def test_two_causes_in_a_row_are_two_gaps_of_unknown_rise(make_day: MakeDay) -> None:
    day = shown(make_day(1, 1000, [Cause.LINK_LOST, Cause.GATEWAY_OFF, 500], MIDNIGHT))
    assert [(gap.first, gap.last, gap.rise) for gap in day.gaps] == [
        ("00:00", "00:30", None),
        ("00:30", "01:00", None),
    ]


def test_a_meter_that_reports_hourly_shows_its_hours(make_day: MakeDay) -> None:
    day = shown(make_day(1, 5000, [Cause.NOT_DUE, 40, Cause.NOT_DUE, 60], MIDNIGHT))
    assert [(row.difference, row.span) for row in day.rows[:4]] == [
        (None, 1),
        (Decimal("0.040"), 2),
        (None, 1),
        (Decimal("0.060"), 2),
    ]
    assert day.gaps == ()


def test_a_new_register_is_not_a_negative_half_hour(make_day: MakeDay) -> None:
    day = shown(make_day(1, 9000, [100, -9000, 100], MIDNIGHT))
    assert [row.difference for row in day.rows[:3]] == [Decimal("0.100"), None, Decimal("0.100")]
    assert day.rows[1].why == "the register started anew"
    assert day.total is None


def test_a_jump_is_never_shown_as_consumption(make_day: MakeDay) -> None:
    rows, epochs = broken(make_day(1, 1000, [100, 5_000_000, 100], MIDNIGHT), 2, Break.JUMP, -5_000_000)
    day = shown(rows, epochs=epochs)
    assert [row.difference for row in day.rows[:3]] == [Decimal("0.100"), None, Decimal("0.100")]
    assert day.rows[1].why == "the counter jumped"
    assert day.total is None
    rows, epochs = broken(
        make_day(1, 1000, [Cause.LINK_LOST, 5_000_000], MIDNIGHT), 2, Break.JUMP, -5_000_000
    )
    (gap,) = shown(rows, epochs=epochs).gaps
    assert gap.rise is None


def test_a_reset_that_soon_stands_higher_than_before_is_no_consumption(make_day: MakeDay) -> None:
    rows, epochs = broken(make_day(1, 50, [10, 400, 100], MIDNIGHT), 2, Break.RESET, 60)
    day = shown(rows, epochs=epochs)
    assert [row.difference for row in day.rows[:3]] == [Decimal("0.010"), None, Decimal("0.100")]
    assert day.rows[1].why == "the register started anew"
    assert day.total is None


def test_a_rollover_counts_exactly(make_day: MakeDay) -> None:
    kept = make_day(1, 999_999_700, [200, -999_999_800, Cause.LINK_LOST, 300], MIDNIGHT)
    rows, epochs = broken(kept, 2, Break.ROLLOVER, 1_000_000_000)
    day = shown(rows, epochs=epochs)
    assert [row.difference for row in day.rows[:2]] == [Decimal("0.200"), Decimal("0.200")]
    assert (day.total, day.gaps[0].rise) == (Decimal("0.700"), Decimal("0.300"))
    kept = make_day(1, 999_999_700, [Cause.LINK_LOST, -999_999_600, 100], MIDNIGHT)
    rows, epochs = broken(kept, 2, Break.ROLLOVER, 1_000_000_000)
    day = shown(rows, epochs=epochs)
    assert (day.total, day.gaps[0].rise) == (Decimal("0.500"), Decimal("0.400"))


def test_an_epoch_of_which_nothing_is_known_is_no_consumption(make_day: MakeDay) -> None:
    rows, _ = broken(make_day(1, 1000, [100, 5_000, 100], MIDNIGHT), 2, Break.JUMP, 0)
    assert [row.difference for row in shown(rows).rows[1:3]] == [None, Decimal("0.100")]


def test_a_doubtful_register_does_not_count_in_the_total(make_day: MakeDay) -> None:
    rows = make_day(1, 1000, [100, 90_000, -89_900, 100], MIDNIGHT)
    rows[2] = replace(rows[2], state=State.SUSPECT)
    day = shown(rows)
    assert [row.state for row in day.rows[:2]] == ["measured", "suspect"]
    assert day.rows[2].why == "the one before it is doubtful"
    assert day.total == Decimal("0.300")


def test_what_is_not_closed_yet_is_told_from_what_was_never_kept(make_day: MakeDay) -> None:
    day = shown(make_day(1, 1000, [None, 100], MIDNIGHT))
    assert (day.rows[0].why, day.rows[2].why) == ("nothing kept", "not closed yet")
    assert len(day.rows) == 24  # up to noon, not to the end of the day


def test_days_on_which_the_clock_changes_have_46_and_50_half_hours(make_day: MakeDay) -> None:
    spring, autumn = date(2025, 3, 30), date(2025, 10, 26)
    assert shown([], day=spring).slots == 46
    kept = make_day(1, 1000, [10] * 50, datetime(2025, 10, 26, tzinfo=ZONE))
    day = shown(kept, day=autumn)
    assert day.slots == 50
    assert day.total == Decimal("0.500")
    labels = [row.label for row in day.rows]
    assert labels[3:8] == ["02:00 +02", "02:30 +02", "02:00 +01", "02:30 +01", "03:00"]
    assert labels[-1] == "24:00"
    assert day.ticks == ((0, "00:00"), (14, "06:00"), (26, "12:00"), (38, "18:00"), (50, "24:00"))


def test_means_are_shown_as_they_are() -> None:
    end = GRID.next_end(from_datetime(MIDNIGHT))
    kept = [HalfHour(property_id=PropertyId(5), end_ms=end, value=Quantity(2347, 1), count=1800)]
    day = day_of(kept, GRID, DAY, NOON, power=0, register=False)
    assert (day.rows[0].value, day.rows[0].difference, day.total) == (Decimal("234.7"), None, None)
