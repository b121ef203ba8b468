"""`[uplinks.reset]`: what is refused, and that every refusal says which key and what to write instead."""

from __future__ import annotations

import copy
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meterkast.config.decoding import decode
from meterkast.model.errors import ConfigError
from meterkast.model.time import HALF_HOUR_MS
from meterkast.model.units import Unit
from meterkast.ports.uplink import Binding, Wanted
from meterkast.uplinks.reset import Settings
from meterkast.uplinks.reset.plan import plans
from meterkast.uplinks.reset.settings import daily_at, secret, target

Tree = dict[str, Any]

ENERGY: Tree = {
    "connection_id": "MK0001-energy",
    "module": "energy",
    "brand": "Landis+Gyr",
    "sku": "E360",
    "serial": "E0012",
    "channels": [{"id": "c01", "readings": {"power_consumption": "electricity/import_total"}}],
}
AIR: Tree = {
    "connection_id": "MK0001-air",
    "module": "air",
    "brand": "b",
    "sku": "s",
    "serial": "1",
    "readings": {"co2": "office/co2"},
}
WATER: Tree = ENERGY | {
    "connection_id": "MK0001-water",
    "module": "water",
    "channels": [{"id": "c01", "readings": {"water_flow": "water/volume"}}],
}
BIN: Tree = ENERGY | {
    "connection_id": "MK0001-bin",
    "module": "circularity",
    "channels": [{"id": "c01", "readings": {"bin_weight": "scale/weight"}}],
}


def settings(*monitors: Tree, **keys: Any) -> Settings:
    tree = {"client_id": "id", "client_secret": "s3cret", "monitors": list(monitors) or [ENERGY]} | keys
    return decode(Settings, tree, "uplinks.reset")


def changed(monitor: Tree, change: Callable[[Tree], object]) -> Tree:
    monitor = copy.deepcopy(monitor)
    change(monitor)
    return monitor


@pytest.mark.parametrize(
    ("url", "origin", "namespace"),
    [
        ("https://reset.build:8069/v2", "https://reset.build:8069", "/v2"),
        ("https://reset.build:8069/v2/", "https://reset.build:8069", "/v2"),
        ("https://reset.build/v2", "https://reset.build", "/v2"),
        ("http://127.0.0.1:5000/v2", "http://127.0.0.1:5000", "/v2"),
        ("http://[::1]:5000/v2", "http://[::1]:5000", "/v2"),
    ],
)
def test_documented_address_is_split_into_origin_and_namespace(url: str, origin: str, namespace: str) -> None:
    assert target(settings(url=url)) == (origin, namespace)


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("https://reset.build:8069", "does not say which namespace"),
        ("https://reset.build:8069/", "does not say which namespace"),
        ("reset.build:8069/v2", "is no address"),
        ("https://reset.build:port/v2", "is no address"),
        ("wss://reset.build:8069/v2", "is no address"),
        ("https://me:pw@reset.build/v2", "holds a user or password"),
        ("http://reset.build:8069/v2", "in the clear"),
    ],
)
def test_address_that_cannot_work_is_refused(url: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        target(settings(url=url))
    assert "uplinks.reset.url" in str(caught.value)
    assert "pw" not in f"{caught.value}{caught.value.hint}"


def test_a_monitor_asks_for_its_properties_in_canonical_units() -> None:
    energy, water, bins = plans(settings(ENERGY, WATER, BIN))
    assert energy.wanted() == Wanted(
        name="MK0001-energy",
        bindings=(Binding(product="electricity", key="import_total"),),
        length_ms=HALF_HOUR_MS,
        channels={"c01/power_consumption": (Binding(product="electricity", key="import_total"),)},
    )
    assert [plan.wanted().bindings[0].unit for plan in (energy, water, bins)] == [
        Unit.WATT_HOUR,
        Unit.LITRE,
        Unit.KILOGRAM,
    ]
    assert bins.wanted().peaks == bins.wanted().bindings
    assert bins.wanted().emptied_percent == 30
    [light] = plans(settings(BIN | {"emptied_percent": 50}))
    assert light.wanted().emptied_percent == 50


@pytest.mark.parametrize("percent", [4, 96, 30.5])
def test_share_that_no_emptying_has_is_refused(percent: float) -> None:
    with pytest.raises(ConfigError, match="emptied_percent"):
        plans(settings(BIN | {"emptied_percent": percent}))


def test_property_is_split_off_at_the_last_slash() -> None:
    [plan] = plans(settings(AIR | {"readings": {"co2": "zwave:1/2/co2"}}))
    assert plan.wanted().bindings == (Binding(product="zwave:1/2", key="co2"),)


def test_unit_of_tvoc_can_be_chosen_and_decides_what_is_asked_for() -> None:
    air = AIR | {"readings": {"tvoc": "office/tvoc"}}
    [plain] = plans(settings(air))
    [chosen] = plans(settings(air | {"units": {"tvoc": "mg/m3"}}))
    assert plain.units == {"tvoc": "ppb"}
    assert plain.wanted().bindings[0].unit is Unit.PARTS_PER_BILLION
    assert chosen.units == {"tvoc": "mg/m3"}
    assert chosen.wanted().bindings[0].unit is Unit.MICROGRAM_PER_CUBIC_METRE


def test_module_is_taken_in_the_case_of_the_documents_table_too() -> None:
    assert plans(settings(ENERGY | {"module": "Energy"}))[0].module == "energy"


def test_what_the_document_requires_in_readings_only_is_warned_of() -> None:
    assert "water_temp" in plans(settings(WATER))[0].warnings[0]
    assert "pm2p5, tvoc, temp, rh" in plans(settings(AIR))[0].warnings[0]
    assert plans(settings(ENERGY))[0].warnings == ()
    assert plans(settings(BIN))[0].warnings == ()


WRONG: list[tuple[Tree, str, str]] = [
    (ENERGY | {"module": "enegry"}, "module` = 'enegry'", "air, water, energy, circularity"),
    (ENERGY | {"module": "waste"}, "module` = 'waste'", "circularity"),
    (ENERGY | {"connection_id": " "}, "connection_id", "RESET asks for it"),
    (ENERGY | {"serial": ""}, "serial", "RESET asks for it"),
    (ENERGY | {"channels": []}, "needs at least one", "channels"),
    (ENERGY | {"calibrated": "2026-08-01T00:00:00"}, "calibrated", "+02:00"),
    (ENERGY | {"calibrated": "2026-08-01T00:00:00Z"}, "calibrated", "+02:00"),
    (ENERGY | {"calibrated": "2026-13-01T00:00:00+01:00"}, "calibrated", "+02:00"),
    (ENERGY | {"readings": {"power_consumption": "e/i"}}, "readings` goes with module air", "channels"),
    (ENERGY | {"emptyings": True}, "emptyings` goes with module circularity", "Remove"),
    (WATER | {"emptied_percent": 50}, "emptied_percent` goes with module circularity", "Remove"),
    (ENERGY | {"units": {"power_consumption": "Wh"}}, "power_consumption` = 'Wh'", "'kWh'"),
    (AIR | {"channels": ENERGY["channels"]}, "module air has none", "itself"),
    (AIR | {"readings": {}}, "readings` is empty", "co2"),
    (AIR | {"readings": {"co": "o/co2"}}, "monitors[0].readings.co`", "Did you mean `co2`"),
    (AIR | {"readings": {"co2": "co2"}}, "readings.co2` = 'co2'", "<product>/<property>"),
    (AIR | {"units": {"tvoc": "ppb"}}, "units.tvoc` goes with a reading that is not there", "Add tvoc"),
    (AIR | {"units": {"tvok": "ppb"}}, "units.tvok`", "Did you mean `tvoc`"),
    (changed(ENERGY, lambda m: m["channels"].append(m["channels"][0])), "channels[1].id` = 'c01'", "own id"),
    (changed(ENERGY, lambda m: m["channels"][0].update(id="")), "channels[0].id", "RESET asks for it"),
    (
        changed(ENERGY, lambda m: m["channels"][0]["readings"].clear()),
        "channels[0].readings.power_consumption` is missing",
        "electricity/import_total",
    ),
    (changed(WATER, lambda m: m["channels"][0]["readings"].clear()), "readings` is empty", "water_flow"),
    (
        changed(WATER, lambda m: m["channels"][0]["readings"].update(water_flo="w/v")),
        "channels[0].readings.water_flo`",
        "Did you mean `water_flow`",
    ),
]


@pytest.mark.parametrize(("monitor", "says", "cure"), WRONG)
def test_monitor_that_cannot_work_is_refused_with_key_and_cure(monitor: Tree, says: str, cure: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plans(settings(monitor))
    assert says in str(caught.value)
    assert "uplinks.reset.monitors[0]" in str(caught.value)
    assert cure in caught.value.hint


def test_two_monitors_of_one_connection_id_are_refused() -> None:
    with pytest.raises(ConfigError, match="MK0001-energy") as caught:
        plans(settings(ENERGY, ENERGY))
    assert "monitors[1].connection_id" in str(caught.value)


def test_no_monitor_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="empty"):
        plans(settings(monitors=[]))


def test_misspelt_key_is_answered_with_the_one_that_was_meant() -> None:
    with pytest.raises(ConfigError) as caught:
        settings(ENERGY | {"conection_id": "x"})
    assert "connection_id" in caught.value.hint


@pytest.mark.parametrize("text", ["1:00", "24:00", "01:60", "noon", ""])
def test_daily_time_that_is_no_time_of_day_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="daily_time"):
        daily_at(settings(daily_time=text))


def test_secret_comes_from_a_file_or_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "reset.secret").write_text("from-file\n")
    monkeypatch.setenv("RESET_SECRET", "from-environment")
    given = settings(client_secret="", client_secret_file=str(tmp_path / "reset.secret"))
    assert secret(given) == "from-file"
    assert secret(settings(client_secret="env:RESET_SECRET")) == "from-environment"


def test_missing_secret_and_client_id_are_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("\n")
    for keys in (
        {"client_secret": ""},
        {"client_secret": "", "client_secret_file": str(tmp_path / "none")},
        {"client_secret": "", "client_secret_file": str(tmp_path / "empty")},
    ):
        with pytest.raises(ConfigError, match="client_secret"):
            secret(settings(**keys))
    with pytest.raises(ConfigError, match="client_id"):
        secret(settings(client_id=" "))


def test_a_gateway_that_sends_nothing_does_not_load_the_network_libraries() -> None:
    code = (
        "import sys, meterkast.uplinks.reset as m; m.Settings; m.create;"
        "print([n for n in sys.modules if n.split('.')[0] in ('aiohttp', 'socketio', 'engineio')])"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={"PYTHONPATH": ":".join(sys.path)},
    )
    assert done.stdout == "[]\n"
