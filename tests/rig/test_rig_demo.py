"""The demo's comparison: what it lets pass, and that it notices a single wrong digit."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from meterkast.config.decoding import decode
from meterkast.config.sections import Config
from meterkast.model.time import HALF_HOUR_MS, MINUTE_MS, UtcMs, iso_utc
from meterkast_rig import configuration, demo_uplinks, demo_zwave
from meterkast_rig.compare import Findings, Rule, Series, Shown, compare
from meterkast_rig.compare_sources import Clocks, Place, received, unwanted

START = 1_773_154_800_000  # a whole half-hour
D = Decimal


def end(number: int) -> UtcMs:
    return UtcMs(START + number * HALF_HOUR_MS)


def shown(*values: float | str, every_min: int = 10, unsure: Sequence[int] = ()) -> list[Shown]:
    """Reports five minutes after each edge and then every ten minutes: three in a half-hour."""
    return [
        Shown(START + (5 + number * every_min) * MINUTE_MS, D(str(value)), number not in unsure, D("0.01"))
        for number, value in enumerate(values)
    ]


def held(
    rule: Rule,
    reports: Sequence[Shown],
    half_hours: Mapping[int, Sequence[float | str]],
    causes: Mapping[int, str] | None = None,
    **more: Any,
) -> Findings:
    by_end = {end(number): [D(str(value)) for value in values] for number, values in half_hours.items()}
    why = {end(number): cause for number, cause in (causes or {}).items()}
    one = Series(name="Bin", rule=rule, shown=reports, received=by_end, why=why.get, **more)
    return compare([one])


RISING = shown(10, 11, 12, 13, 14, 15, 16, 17, 18)


def test_the_latest_of_each_half_hour_is_right() -> None:
    found = held(Rule.REGISTER, RISING, {1: [12], 2: [15], 3: [18]})
    assert (found.wrong, found.right) == ([], {"register": 3})


@pytest.mark.parametrize("value", ["14.999", "14", "16", "1500"])
def test_one_digit_off_or_an_older_value_is_wrong(value: str) -> None:
    found = held(Rule.REGISTER, RISING, {1: [12], 2: [value], 3: [18]})
    (wrong,) = found.wrong[:1]
    assert iso_utc(end(2)) in wrong
    assert f"received {value}" in wrong
    assert "15 last" in wrong


def test_either_of_two_reports_is_right_where_the_clock_is_not_known_well_enough() -> None:
    for value in (14, 15):
        assert not held(Rule.REGISTER, RISING, {2: [value]}, tolerance_ms=6 * MINUTE_MS).wrong
    assert held(Rule.REGISTER, RISING, {2: [13]}, tolerance_ms=6 * MINUTE_MS).wrong


def test_a_report_that_may_not_have_been_heard_may_be_left_out() -> None:
    reports = shown(10, 11, 12, 13, 14, 15, unsure=[5])
    for value in (14, 15):
        assert not held(Rule.REGISTER, reports, {2: [value]}).wrong
    assert held(Rule.REGISTER, reports, {2: [13]}).wrong


def test_a_value_of_an_earlier_half_hour_is_wrong() -> None:
    reports = [one for number, one in enumerate(RISING) if number not in (3, 4, 5)]
    assert held(Rule.REGISTER, reports, {1: [12], 2: [12], 3: [18]}).wrong


def test_nonsense_of_a_register_must_not_arrive() -> None:
    reports = shown(10, 11, 12, 13, 14, 1e9, 16, 17, 18)
    assert not held(Rule.REGISTER, reports, {1: [12], 2: [14], 3: [18]}).wrong
    assert held(Rule.REGISTER, reports, {1: [12], 2: [1e9], 3: [18]}).wrong


def test_a_register_may_begin_anew_only_where_the_device_did() -> None:
    reports = shown(10, 11, 12, 13, 0, 1, 2, 3, 4)
    assert not held(Rule.REGISTER, reports, {1: [12], 2: [13], 3: [4]}).wrong
    assert any("fell" in one for one in held(Rule.REGISTER, RISING, {1: [12], 2: [11], 3: [18]}).wrong)


def test_a_mean_is_weighted_by_time() -> None:
    reports = shown(10, 20, 30, 40, 50, 60)
    # 30 stands for 5 minutes of it, 40 and 50 for 10, 60 for 5.
    mean = D(30 * 5 + 40 * 10 + 50 * 10 + 60 * 5) / 30
    assert not held(Rule.MEAN, reports, {1: [20], 2: [mean]}).wrong
    assert held(Rule.MEAN, reports, {1: [20], 2: [mean + 3]}).wrong
    assert held(Rule.MEAN, reports, {1: [20], 2: [61]}).wrong


def test_a_mean_of_which_reports_may_be_missing_lies_within_what_was_shown() -> None:
    reports = shown(10, 20, 30, 40, 50, 60, unsure=[4])
    found = held(Rule.MEAN, reports, {1: [20], 2: [35]})
    assert (found.wrong, found.bounded) == ([], 2)
    assert held(Rule.MEAN, reports, {1: [20], 2: [61]}).wrong


def test_a_weight_is_the_largest_and_the_one_before_an_emptying() -> None:
    reports = shown(10, 11, 12, 13, 14, 2, 3, 4, 5)
    assert not held(Rule.PEAK, reports, {1: [12], 2: [14, 14], 3: [5]}).wrong
    for values in ([14], [13, 14], [14, 14, 14.5], [14, 2], [13]):
        assert held(Rule.PEAK, reports, {1: [12], 2: values, 3: [5]}).wrong, values


def test_a_bin_that_was_hardly_filled_is_not_emptied_again() -> None:
    reports = shown(20, 21, 22, 1.2, 1.85, 1.25, 2.5, 1.2, 1.3)
    assert not held(Rule.PEAK, reports, {1: [22], 2: [22, 1.85], 3: [2.5, 2.5]}).wrong
    for second, third in (([22, 1.85, 1.85], [2.5, 2.5]), ([22, 1.85], [2.5]), ([1.85], [2.5, 2.5])):
        assert held(Rule.PEAK, reports, {1: [22], 2: second, 3: third}).wrong, (second, third)


def test_what_is_missing_needs_a_cause() -> None:
    silent = [one for number, one in enumerate(RISING) if number not in (3, 4, 5)]
    found = held(Rule.REGISTER, silent, {1: [12], 3: [18]}, {2: "link lost"})
    assert (found.wrong, found.missing) == ([], {"link lost": 1})
    (wrong,) = held(Rule.REGISTER, RISING, {1: [12], 3: [18]}, {2: "link lost"}).wrong
    assert "link lost, but the device showed 13 or 14 or 15" in wrong
    (wrong,) = held(Rule.REGISTER, RISING, {1: [12], 3: [18]}).wrong
    assert "is missing, and nothing says why" in wrong
    (wrong,) = held(Rule.REGISTER, RISING, {1: [12], 2: [15]}, until_ms=end(3)).wrong
    assert iso_utc(end(3)) in wrong


def test_a_monitor_that_got_nothing_is_wrong() -> None:
    assert held(Rule.REGISTER, RISING, {}).wrong == ["Bin: nothing was received"]
    assert held(Rule.MEAN, RISING, {1: []}).wrong == ["Bin: nothing was received"]


def test_it_finds_a_value_at_either_platform() -> None:
    slot = {"connection_id": "m", "parameter": "p", "channel": "c", "end_ms": end(1)}
    at_reset = {
        "readings": [
            {**slot, "value": 14.25, "emptying": 1},
            {**slot, "value": "13", "emptying": 0},
            {**slot, "end_ms": end(2), "value": None, "emptying": 0},
            {**slot, "channel": "other", "value": 9, "emptying": 0},
        ]
    }
    packet = {"tsISO8601": "2026-03-10T16:00:00.000+01:00", "body": {"pC_1": 5}}
    at_wattics = {"meters": {"w": [packet]}}
    assert received(Place("RESET", "m", "p", "c"), at_reset, at_wattics) == {
        end(1): [D(13), D("14.25")],
        end(2): [],
    }
    assert received(Place("Wattics", "w", "pC_1"), at_reset, at_wattics) == {end(0): [D(5)]}


def test_what_is_doubled_or_out_of_order_is_named() -> None:
    clean: dict[str, Any] = {name: [] for name in ("conflicts", "out_of_order", "refused", "discarded")}
    assert unwanted(clean, clean) == []
    assert "RESET got 1 × out_of_order" in unwanted({**clean, "out_of_order": [{"a": 1}]}, clean)[0]


def test_the_gateways_clock_runs_on_between_two_looks() -> None:
    clocks = Clocks(120)
    with pytest.raises(ValueError, match="never looked at"):
        clocks.gateway_ms(0)
    clocks.note(1000, 500_000)
    clocks.note(2000, 630_000)
    assert clocks.gateway_ms(1500) == 570_000
    assert clocks.gateway_ms(3000) == 750_000


def test_every_value_that_the_demo_sends_is_compared() -> None:
    sent = {
        "reset": configuration.reset("http://127.0.0.1:9/v2", [*demo_uplinks.MONITORS, *demo_zwave.MONITORS]),
        "wattics": configuration.wattics("http://127.0.0.1:9/", [*demo_uplinks.METERS, *demo_zwave.METERS]),
    }
    driver = configuration.zwave("tcp://127.0.0.1:5555", Path("/tmp/x"), {2: "Heat pump"}, report_s=900)
    written = configuration.gateway(Path("/tmp/x"), drivers={"zwave": driver}, uplinks=sent)
    tree = tomllib.loads(configuration.toml(written))
    config = decode(Config, tree)
    sent = set()
    for monitor in config.uplinks["reset"]["monitors"]:
        for channel in monitor.get("channels", [{"id": None, "readings": monitor.get("readings")}]):
            for parameter, value in channel["readings"].items():
                sent.add((Place("RESET", monitor["connection_id"], parameter, channel["id"]), value))
    wires = {
        (wire.place, f"{wire.product}/{wire.key}")
        for wire in (*demo_zwave.p1_wires(), *demo_zwave.zwave_wires())
    }
    at_reset = {(place, value.replace("electricity/", "Electricity meter/")) for place, value in sent}
    assert {one for one in wires if one[0].platform == "RESET"} == at_reset
    meters = {meter["id"] for meter in config.uplinks["wattics"]["meters"]}
    assert {place.stream for place, _ in wires if place.platform == "Wattics"} == meters


def test_a_configuration_is_written_as_it_was_put_together(tmp_path: Path) -> None:
    tree = {
        "site": {"name": 'Kast "achter" de µ-meter °C \\ 2', "on": True, "off": False},
        "uplinks": {"reset": {"a": [{"id": "1", "b": {"x": 0.5}, "c": [{"y": -3}]}, {"id": "2"}], "z": 1}},
    }
    file = configuration.write(tmp_path, tree)
    assert tomllib.loads(file.read_text(encoding="utf-8")) == tree
