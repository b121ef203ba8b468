"""`meterkast zwave`: devices, their values, and what is written to them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from meterkast.network import WriteRequest


async def test_devices_are_listed_in_lines_for_a_phone(cli: Any) -> None:
    status, out, errors = await cli.run("nodes")
    assert (status, errors) == (0, "")
    assert max(map(len, out.splitlines())) <= 60
    text = " ".join(out.split())
    for words in (
        "5 Plug: available, alive heard now",
        "12 Water main: unreachable, asleep heard 2 h ago, -84 dBm, by 3, 4, 3 time-outs",
        "security S2_Authenticated, battery 12 %, wakes up every 1 h, firmware 1.7, 2 values",
        "! It should have woken up at 13:00.",
    ):
        assert words in text, words


async def test_devices_as_json_are_what_the_gateway_says(cli: Any) -> None:
    status, out, _ = await cli.run("nodes", "--json")
    assert status == 0
    assert [(one["node"], one["name"]) for one in json.loads(out)] == [(5, "Plug"), (12, "Water main")]


async def test_mapping_says_where_each_value_went_and_why(cli: Any) -> None:
    status, out, _ = await cli.run("mapping", "12")
    text = " ".join(out.split())
    assert status == 0
    assert max(map(len, out.splitlines())) <= 60
    for words in (
        "Node 12, Water main: 3 values, 2 kept, 1 of them generic.",
        "-> volume (property 31): Water consumed, L",
        "reported; 10360 L, 12 s ago",
        "-> meter_7 (property 32): GENERIC, Meter",
        "112-0-111 Report every not kept configuration parameter",
    ):
        assert words in text, words


async def test_a_device_gets_a_name(cli: Any) -> None:
    status, out, _ = await cli.run("name", "12", "Cold water")
    assert (status, 'Device 12 is "Cold water" now' in out) == (0, True)
    status, _, errors = await cli.run("name", "12", "Plug")
    assert status == 1
    assert errors == 'meterkast: "Plug" is the name of another device\n  Choose another one.\n'


@pytest.mark.parametrize(
    ("outcome", "status", "words"),
    [
        ("done", 0, "confirmed by the device"),
        ("wakeup", 3, "waits for the device to wake up, expected"),
        ("failed", 1, "failed"),
    ],
)
async def test_setting_a_value_is_done_only_when_it_is_confirmed(
    cli: Any, outcome: str, status: int, words: str
) -> None:
    cli.network.outcome = outcome
    result, out, _ = await cli.run("set", "plug/switch", "on")
    assert (result, words in " ".join(out.split())) == (status, True)
    assert cli.network.written == [WriteRequest(property_id=21, value="on")]


async def test_a_property_is_found_by_its_id_its_product_or_not_at_all(cli: Any) -> None:
    assert (await cli.run("set", "77", "-5.5", "--reset-meter"))[0] == 0
    assert cli.network.written == [WriteRequest(property_id=77, value="-5.5", reset_meter=True)]
    assert (await cli.run("set", "2/switch", "0"))[0] == 0
    assert cli.network.written[-1].property_id == 21
    status, _, errors = await cli.run("set", "Plug/dimmer", "50")
    assert (status, "It has: switch." in errors) == (2, True)
    status, _, errors = await cli.run("set", "Lamp/switch", "on")
    assert (status, "meterkast zwave nodes" in errors) == (2, True)
    plug, water = cli.network.devices
    cli.network.devices = (plug, replace(water, name="Plug"))
    status, _, errors = await cli.run("set", "Plug/switch", "on")
    assert (status, "2 (node 5), 3 (node 12)" in errors) == (2, True)


async def test_values_on_their_way_are_listed_and_taken_back(cli: Any) -> None:
    assert (await cli.run("pending"))[1] == "Nothing is on its way to a device.\n"
    _, out, _ = await cli.run("set", "21", "255")
    assert "1  Plug/switch = On (255)" in out
    await cli.run("set", "77", "5")
    status, out, _ = await cli.run("pending")
    assert (status, "1  Plug/switch = On (255)" in out, "expected" in out) == (0, True, True)
    assert "2  node 5, property 77 = 5" in out, "one that is not known any more"
    status, out, _ = await cli.run("pending", "--cancel", "1")
    assert (status, "Plug/switch = On (255)" in out, "cancelled" in out) == (0, True, True)
    assert "reported and can be set; Off (0), now" in (await cli.run("mapping", "5"))[1]


async def test_without_a_gateway_it_says_how_to_start_it(lone: Any) -> None:
    status, out, errors = await lone.run("nodes")
    assert (status, out) == (2, "")
    assert "systemctl start meterkast" in errors
    assert "Traceback" not in errors


async def test_several_drivers_need_a_name(
    folder: Path, lone: Any, network: Any, serve: Callable[..., Any]
) -> None:
    (folder / "meterkast.toml").write_text(f'[control]\nsocket = "{folder}/here.sock"\n')
    roof = lone.network
    roof.devices = ()
    running = await serve({"zwave.cellar": network, "zwave.roof": roof}, f"{folder}/here.sock")
    try:
        status, _, errors = await lone.run("nodes")
        assert (status, "zwave.cellar, zwave.roof" in errors, "--driver" in errors) == (2, True, True)
        assert "Plug" in (await lone.run("nodes", "--driver", "zwave.cellar"))[1]
        assert "There are no devices yet" in (await lone.run("nodes", "--driver", "zwave.roof"))[1]
        assert (await lone.run("nodes", "--driver", "zwave"))[0] == 2
    finally:
        await running.close()
