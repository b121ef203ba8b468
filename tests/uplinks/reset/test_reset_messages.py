"""Readings as they go to RESET, byte for byte: all four modules, how they are divided, when they go."""

from __future__ import annotations

import json
from datetime import date
from decimal import Decimal
from typing import Any

import pytest

from meterkast.model.delivery import Item, ItemId
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import Grid, UtcMs, iso_local, parse_iso, zone
from meterkast.ports.uplink import Binding, Wanted
from meterkast.uplinks.context import Closed
from meterkast.uplinks.reset.attempts import MOST_REMEMBERED, Attempts
from meterkast.uplinks.reset.monitors import CREATE, Acknowledged, account, definition, monitor_message
from meterkast.uplinks.reset.plan import Plan, plans
from meterkast.uplinks.reset.readings import MOST_BYTES, compose, parts, readings_message
from meterkast.uplinks.reset.schedule import daily_due_ms
from meterkast.uplinks.reset.show import Site, show

AMSTERDAM = Grid(zone("Europe/Amsterdam"))
STAMP = "2026-01-15T12:00:00.000+01:00"
NOON = parse_iso(STAMP)
HEAD = '{"connection_id":"M1","reading_time":"2026-01-15T12:00:00.000+01:00",'


def closed(
    written: str, value: Quantity | None, state: State = State.MEASURED, emptyings: tuple[int, ...] = ()
) -> tuple[Binding, HalfHour]:
    product, _, key = written.rpartition("/")
    return Binding(product=product, key=key), HalfHour(
        property_id=PropertyId(1),
        end_ms=NOON,
        value=value,
        state=State.MISSING if value is None else state,
        cause=Cause.METER_SILENT if value is None else None,
        before_emptyings=emptyings,
    )


def composed(made: Plan, *values: tuple[Binding, HalfHour]) -> str:
    return compose(made, STAMP, dict(values)).decode()


def item(number: int, payload: bytes) -> Item:
    return Item(id=ItemId(number), uplink="reset", stream="M1", at_ms=UtcMs(number), payload=payload)


# ---- readings ----


def test_energy_is_sent_in_kwh_with_every_digit_of_the_meter(plan: Any) -> None:
    made = plan("energy", {"power_consumption": "E1/import_total"}, {"power_consumption": "E2/import_total"})
    assert composed(
        made, closed("E1/import_total", Quantity(84_270)), closed("E2/import_total", Quantity(0))
    ) == (
        HEAD + '"power_consumption":[{"channel_id":"c01","reading":84.270},'
        '{"channel_id":"c02","reading":0.000}]}'
    )


def test_water_is_sent_in_whole_litres_and_means_with_their_digits(plan: Any) -> None:
    made = plan("water", {"water_flow": "w/volume", "water_temp": "w/temp", "ph": "w/ph"})
    assert composed(
        made,
        closed("w/volume", Quantity(12_345_678)),
        closed("w/temp", Quantity(1825, 2)),
        closed("w/ph", Quantity(72, 1)),
    ) == (
        HEAD + '"water_flow":[{"channel_id":"c01","reading":12345678}],'
        '"water_temp":[{"channel_id":"c01","reading":18.25}],"ph":[{"channel_id":"c01","reading":7.2}]}'
    )


def test_air_sends_every_declared_parameter_and_null_where_one_is_missing(plan: Any) -> None:
    made = plan("air", readings={"co2": "a/co2", "temp": "a/temp", "tvoc": "a/tvoc", "rh": "a/rh"})
    assert (
        composed(
            made,
            closed("a/co2", Quantity(61_250, 2)),
            closed("a/temp", Quantity(-5, 1)),
            closed("a/tvoc", Quantity(123)),
            closed("a/rh", None),
        )
        == HEAD + '"tvoc":123,"co2":612.50,"temp":-0.5,"rh":null}'
    )


def test_tvoc_in_mg_per_m3_is_converted_and_never_written_with_an_exponent(plan: Any) -> None:
    made = plan("air", readings={"tvoc": "a/tvoc"}, units={"tvoc": "mg/m3"})
    assert composed(made, closed("a/tvoc", Quantity(1, 4))) == HEAD + '"tvoc":0.0000001}'


def test_nothing_is_sent_for_a_half_hour_without_any_value(plan: Any) -> None:
    energy = plan("energy", {"power_consumption": "E1/i"}, missing="null")
    air = plan("air", readings={"co2": "a/co2"})
    assert composed(energy, closed("E1/i", None)) == ""
    assert composed(energy) == ""
    assert composed(air, closed("a/co2", None)) == ""


def test_suspect_value_counts_as_missing(plan: Any) -> None:
    made = plan("energy", {"power_consumption": "E1/i"}, {"power_consumption": "E2/i"})
    values = closed("E1/i", Quantity(1000)), closed("E2/i", Quantity(9_999_999), State.SUSPECT)
    assert composed(made, *values) == HEAD + '"power_consumption":[{"channel_id":"c01","reading":1.000}]}'


def test_late_value_is_sent(plan: Any) -> None:
    made = plan("energy", {"power_consumption": "E1/i"})
    assert '"reading":1.000' in composed(made, closed("E1/i", Quantity(1000), State.LATE))


@pytest.mark.parametrize(
    ("missing", "entries"),
    [
        ("leave-out", '[{"channel_id":"c01","reading":1.000}]'),
        ("null", '[{"channel_id":"c01","reading":1.000},{"channel_id":"c02","reading":null}]'),
    ],
)
def test_missing_channel_is_left_out_or_null_as_the_setting_says(
    plan: Any, missing: str, entries: str
) -> None:
    made = plan("energy", {"power_consumption": "E1/i"}, {"power_consumption": "E2/i"}, missing=missing)
    values = closed("E1/i", Quantity(1000)), closed("E2/i", None)
    assert composed(made, *values) == f'{HEAD}"power_consumption":{entries}}}'


def test_required_parameter_without_a_value_is_there_and_empty(plan: Any) -> None:
    made = plan("water", {"water_flow": "w/volume", "water_temp": "w/temp", "tds": "w/tds"})
    values = closed("w/volume", Quantity(5)), closed("w/temp", None), closed("w/tds", None)
    assert (
        composed(made, *values) == HEAD + '"water_flow":[{"channel_id":"c01","reading":5}],"water_temp":[]}'
    )


def test_bin_weight_is_the_maximum_and_emptyings_come_before_it(plan: Any) -> None:
    made = plan("circularity", {"bin_weight": "s1/weight"}, {"bin_weight": "s2/weight"}, emptyings=True)
    written = composed(
        made,
        closed("s1/weight", Quantity(255, 1), emptyings=(255, 120)),
        closed("s2/weight", Quantity(70, 1)),
    )
    assert written == (
        f'[{HEAD}"bin_weight":[{{"channel_id":"c01","reading":25.5}}]}},'
        f'{HEAD}"bin_weight":[{{"channel_id":"c01","reading":12.0}}]}},'
        f'{HEAD}"bin_weight":[{{"channel_id":"c01","reading":25.5}},{{"channel_id":"c02","reading":7.0}}]}}]'
    )


def test_emptyings_are_only_sent_where_they_are_switched_on(plan: Any) -> None:
    made = plan("circularity", {"bin_weight": "s1/weight"})
    assert (
        composed(made, closed("s1/weight", Quantity(255, 1), emptyings=(255,)))
        == HEAD + '"bin_weight":[{"channel_id":"c01","reading":25.5}]}'
    )


def test_both_half_hours_of_the_night_the_clock_goes_back_have_their_own_time(plan: Any) -> None:
    made = plan("energy", {"power_consumption": "E1/i"})
    first = parse_iso("2026-10-25T00:30:00Z")
    times = []
    for end_ms in AMSTERDAM.ends(UtcMs(first - 1), parse_iso("2026-10-25T02:00:00Z")):
        written = compose(
            made, iso_local(end_ms, AMSTERDAM.zone), dict([closed("E1/i", Quantity(1))])
        ).decode()
        times.append(json.loads(written)["reading_time"])
    assert times == [
        "2026-10-25T02:30:00.000+02:00",
        "2026-10-25T02:00:00.000+01:00",
        "2026-10-25T02:30:00.000+01:00",
        "2026-10-25T03:00:00.000+01:00",
    ]


def test_names_are_written_as_json_whatever_is_in_them(settings: Any) -> None:
    [made] = plans(
        settings(module="energy", channels=[{"id": 'é"1', "readings": {"power_consumption": "e/i"}}])
    )
    written = json.loads(composed(made, closed("e/i", Quantity(1))), parse_float=Decimal)
    assert written["power_consumption"] == [{"channel_id": 'é"1', "reading": Decimal("0.001")}]


# ---- messages ----


def test_message_holds_the_frozen_payloads_byte_for_byte() -> None:
    [part] = parts([item(1, b'{"a":1.10}'), item(2, b'[{"b":2},{"b":3}]')])
    assert [one.id for one in part.items] == [1, 2]
    assert readings_message("M1", part.elements, "mk_1_2") == (
        '{"message_id":"mk_1_2","data":{"connection_id":"M1","readings":[{"a":1.10},{"b":2},{"b":3}]}}'
    )


def test_a_message_has_at_most_48_elements_and_an_item_stays_whole() -> None:
    items = [item(n, b'[{"x":1},{"x":2}]' if n == 47 else b'{"x":1}') for n in range(50)]
    assert [[one.id for one in part.items] for part in parts(items)] == [
        list(range(47)),
        [47, 48, 49],
    ]


def test_a_message_has_at_most_256_kb() -> None:
    payload = b'{"x":"' + b"y" * 60_000 + b'"}'
    found = list(parts([item(n, payload) for n in range(9)]))
    assert [len(part.items) for part in found] == [4, 4, 1]
    assert all(
        len(readings_message("M" * 60, part.elements, "i" * 60).encode()) <= MOST_BYTES for part in found
    )


def test_no_items_make_no_message() -> None:
    assert list(parts([])) == []


# ---- attempts ----


def test_any_earlier_message_with_all_of_the_items_counts() -> None:
    attempts, items = Attempts(), [item(n, b"{}") for n in range(4)]
    attempts.sent("whole", items)
    attempts.sent("half", items[:2])
    assert attempts.covering(items) == {"whole"}
    assert attempts.covering(items[:2]) == {"whole", "half"}
    assert attempts.covering(items[2:]) == {"whole"}


def test_items_acknowledged_apart_are_known_until_their_batch_is_done() -> None:
    attempts, items = Attempts(), [item(n, b"{}") for n in range(4)]
    attempts.sent("a", items[:2])
    attempts.sent("b", items[2:])
    attempts.acknowledged("a", "receipt")
    assert attempts.proofs == {0: "receipt", 1: "receipt"}
    attempts.forget(items)
    assert attempts.proofs == {}
    assert attempts.covering(items[2:]) == frozenset()


def test_attempts_of_a_month_offline_do_not_fill_the_memory() -> None:
    attempts = Attempts()
    for n in range(MOST_REMEMBERED + 10):
        attempts.sent(f"m{n}", [item(1, b"{}")])
    assert len(attempts.covering([item(1, b"{}")])) == MOST_REMEMBERED


# ---- when ----


@pytest.mark.parametrize(
    ("end", "due"),
    [
        ("2026-01-15T00:30:00+01:00", "2026-01-16T01:00:00+01:00"),
        ("2026-01-16T00:00:00+01:00", "2026-01-16T01:00:00+01:00"),  # 24:00 of the 15th
        ("2026-01-16T00:30:00+01:00", "2026-01-17T01:00:00+01:00"),
        ("2026-10-25T02:30:00+02:00", "2026-10-26T01:00:00+01:00"),
        ("2026-03-28T12:00:00+01:00", "2026-03-29T01:00:00+01:00"),
    ],
)
def test_daily_mode_waits_for_the_time_after_the_sites_day(end: str, due: str) -> None:
    assert daily_due_ms(AMSTERDAM, parse_iso(end), (1, 0)) == parse_iso(due)


def test_a_time_that_the_clock_skips_comes_right_after_the_gap() -> None:
    due = daily_due_ms(AMSTERDAM, parse_iso("2026-03-28T12:00:00+01:00"), (2, 30))
    assert due == parse_iso("2026-03-29T03:30:00+02:00")


def test_a_day_of_50_half_hours_is_due_at_one_time() -> None:
    first, last = AMSTERDAM.day(date(2026, 10, 25))
    ends = list(AMSTERDAM.ends(first, last))
    assert len(ends) == 50
    assert len({daily_due_ms(AMSTERDAM, end, (1, 0)) for end in ends}) == 1


# ---- show ----


async def test_show_prints_the_messages_and_hides_the_secret(settings: Any) -> None:
    made = settings(module="energy", channels=[{"id": "c01", "readings": {"power_consumption": "e/i"}}])
    half_hours = dict([closed("e/i", Quantity(84_276))])

    async def newest(wanted: Wanted) -> Closed | None:
        return NOON, half_hours

    async def kept(connection_id: str) -> str | None:
        return None

    lines = await show(made, Site(device_id="mk-1", grid=AMSTERDAM, now_ms=NOON), newest, kept)
    assert [line for line in lines if not line.startswith("#")] == [
        '{"client_id":"id","client_secret":"…"}',
        monitor_message(CREATE, definition(plans(made)[0]), f"mk-1_{NOON}_0"),
        readings_message("M1", composed(plans(made)[0], *half_hours.items()), f"mk-1_{NOON}_1"),
    ]
    assert not any("EXAMPLE" in line for line in lines)


async def test_show_marks_examples_and_says_what_is_acknowledged_already(settings: Any) -> None:
    made = settings(module="air", readings={"co2": "a/co2"})

    async def newest(wanted: Wanted) -> Closed | None:
        return None

    async def kept(connection_id: str) -> str | None:
        return Acknowledged(account(made), definition(plans(made)[0])).text()

    lines = await show(made, Site(device_id="mk-1", grid=AMSTERDAM, now_ms=NOON), newest, kept)
    assert any("EXAMPLE VALUES" in line for line in lines)
    assert any("acknowledged M1 as it is" in line for line in lines)
    assert not any("message_type" in line for line in lines)
