"""Every setting of Wattics that cannot work is refused by name, with the cure."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from meterkast.config.decoding import decode
from meterkast.model.errors import ConfigError
from meterkast.model.units import Unit
from meterkast.ports.uplink import Binding
from meterkast.uplinks.wattics import Settings
from meterkast.uplinks.wattics.settings import credentials, plans, urls

GAS = {"id": "g", "kind": "value", "interval_min": 60, "value": "gas/volume", "unit": "m3"}
POWER = {"id": "e", "interval_min": 15, "meter": "electricity"}


def settings(*meters: dict[str, Any], **others: Any) -> Settings:
    tree = {"user": "u", "password": "p", "meters": list(meters or (POWER,)), **others}
    return decode(Settings, tree, "uplinks.wattics")


@pytest.mark.parametrize(
    ("meter", "message", "hint"),
    [
        (POWER | {"interval_min": 7}, "meters[0].interval_min` = 7", "Correct"),
        ({"id": "e", "meter": "electricity"}, "meters[0].interval_min` is missing", "Add it"),
        (POWER | {"readngs": {}}, "meters[0].readngs", "readings"),
        (POWER | {"readings": {"pC1": "electricity/import_total"}}, "readings.pC1`", "`pC_1`"),
        (POWER | {"readings": {"pC_1": "import_total"}}, "'import_total' names no property", "electricity/"),
        (POWER | {"unit": "kWh"}, "meters[0].unit`", 'kind = "value"'),
        ({"id": "e", "interval_min": 15}, "what to send", 'meter = "electricity"'),
        (POWER | {"id": " "}, "no meter id", "Data Stream ID"),
        (GAS | {"unit": "kwh"}, "meters[0].unit` = 'kwh' is unknown", "kWh"),
        ({k: v for k, v in GAS.items() if k != "unit"}, "meters[0].unit` is not set", "m3"),
        ({k: v for k, v in GAS.items() if k != "value"}, "meters[0].value` is not set", "gas/volume"),
        (GAS | {"meter": "gas"}, "meters[0].meter`", "Remove meter"),
    ],
)
def test_wrong_meter_is_refused_with_the_cure(meter: dict[str, Any], message: str, hint: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plans(settings(meter))
    assert message in str(caught.value)
    assert hint in caught.value.hint


def test_meter_id_that_is_there_twice_is_refused() -> None:
    with pytest.raises(ConfigError, match="'e' is there twice"):
        plans(settings(POWER, POWER))


def test_no_meters_at_all_is_refused() -> None:
    with pytest.raises(ConfigError, match="meters` is empty"):
        plans(settings(meters=[]))


@pytest.mark.parametrize(
    ("written", "post"),
    [
        ("production", "https://web-collector.wattics.com/measurements/v2/unifiedjson/"),
        ("demo", "https://demo-dc.wattics.com/measurements/v2/unifiedjson/"),
        ("http://127.0.0.1:8070", "http://127.0.0.1:8070/measurements/v2/unifiedjson/"),
        ("http://[::1]:8070/x", "http://[::1]:8070/x/"),
        # Without the slash the platform answers with a redirect.
        ("https://h.example/measurements/v2/unifiedjson", "https://h.example/measurements/v2/unifiedjson/"),
    ],
)
def test_endpoint_is_a_preset_or_an_address(written: str, post: str) -> None:
    assert urls(settings(endpoint=written)) == (post, post)


def test_utc_endpoint_posts_beside_and_reads_from_the_documented_path() -> None:
    assert urls(settings(dst="utc-endpoint")) == (
        "https://web-collector.wattics.com/measurements/v2/unifiedjson_utc/",
        "https://web-collector.wattics.com/measurements/v2/unifiedjson/",
    )


@pytest.mark.parametrize(
    ("written", "says"),
    [
        ("prodution", "production"),
        ("ftp://h.example/", "https://host/path/"),
        ("https://u:hunter2@h.example/", "password_file"),
        ("http://web-collector.wattics.com/", "https://"),
        ("https://h.example:x/", "https://host/path/"),
    ],
)
def test_wrong_endpoint_is_refused_and_shows_no_password(written: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        plans(settings(endpoint=written))
    assert says in caught.value.hint
    assert "hunter2" not in str(caught.value) + caught.value.hint


def test_utc_endpoint_needs_an_address_it_can_be_derived_from() -> None:
    with pytest.raises(ConfigError, match="utc-endpoint"):
        plans(settings(endpoint="https://h.example/other/", dst="utc-endpoint"))


def test_shorthand_for_one_phase_sends_total_energy_and_power() -> None:
    (plan,) = plans(settings(POWER))
    assert [(one.key, str(one.plus), one.plus.unit) for one in plan.parameters] == [
        ("aP_1", "electricity/power_import", Unit.WATT),
        ("pC_1", "electricity/import_total", Unit.WATT_HOUR),
    ]
    assert plan.wanted().length_ms == 15 * 60_000


def test_shorthand_for_three_phases_sends_power_per_phase_and_readings_add_to_it() -> None:
    readings = {"v_1": "electricity/voltage_l1", "aP_1": "electricity/power_import"}
    (plan,) = plans(settings(POWER | {"phases": 3, "readings": readings}))
    assert [(one.key, one.plus.key) for one in plan.parameters] == [
        ("aP_1", "power_import"),
        ("aP_2", "power_import_l2"),
        ("aP_3", "power_import_l3"),
        ("v_1", "voltage_l1"),
        ("pC_1", "import_total"),
    ]


def test_every_binding_names_the_unit_it_must_be_kept_in() -> None:
    net = {"aP_1": "E/0-1/power_import_l1 - E/0-1/power_export_l1"}
    electric, gas = plans(settings({"id": "e", "interval_min": 15, "readings": net}, GAS))
    assert electric.wanted().bindings == (
        Binding(product="E/0-1", key="power_import_l1"),
        Binding(product="E/0-1", key="power_export_l1"),
    )
    assert [binding.unit for binding in gas.wanted().bindings] == [Unit.LITRE]


def test_meter_with_its_own_credentials_needs_none_of_the_uplink(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("hunter2\n")
    own = POWER | {"user": "me", "password_file": str(file)}
    found = credentials(settings(own, user="", password=""))
    assert (found["e"].user, found["e"].password, found["e"].own) == ("me", "hunter2", True)
    assert "hunter2" not in repr(found)


@pytest.mark.parametrize(
    ("others", "message"),
    [
        ({"user": ""}, "uplinks.wattics.user` is not set"),
        ({"password": ""}, "uplinks.wattics.password is not set"),
        ({"user": "a:b"}, "holds a colon"),
    ],
)
def test_missing_credentials_are_named(others: dict[str, str], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        credentials(settings(**others))


def test_start_up_and_check_do_not_load_aiohttp() -> None:
    code = "import sys, meterkast.uplinks.wattics; sys.exit('aiohttp' in sys.modules or 'ssl' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
