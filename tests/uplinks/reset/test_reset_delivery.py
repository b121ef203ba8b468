"""Delivery to the RESET stand-in when all is well: monitors first, then readings, all acknowledged."""

from __future__ import annotations

from typing import Any

import pytest

from meterkast.model.time import parse_iso
from meterkast.ports.uplink import Binding
from meterkast_rig.reset import ResetStandIn

# A module's tests share the stand-in, and the event loop it was started in.
pytestmark = pytest.mark.asyncio(loop_scope="module")

FIRST = parse_iso("2026-01-15T12:00:00+01:00")


async def test_monitor_is_created_and_then_its_readings_are_sent(server: ResetStandIn, gateway: Any) -> None:
    uplink = gateway.uplink()
    receipt = await uplink.deliver("MK1-energy", gateway.items(uplink, 3))
    received = await server.received()
    assert received["monitors"]["MK1-energy"]["channels"] == [{"channel_id": "c01"}]
    assert [(one["reading_time"], one["value"]) for one in received["readings"]] == [
        ("2026-01-15T12:00:00.000+01:00", 84.270),
        ("2026-01-15T12:30:00.000+01:00", 84.271),
        ("2026-01-15T13:00:00.000+01:00", 84.272),
    ]
    assert received["messages"] == {"auth": 1, "monitors": 1, "readings": 1}
    assert received["refused"] == []
    assert receipt.startswith("mk-test_")
    assert receipt.endswith("Z")


@pytest.mark.parametrize("module", ["energy", "water", "air", "circularity"])
async def test_every_module_is_accepted(server: ResetStandIn, gateway: Any, module: str) -> None:
    monitor = gateway.monitors[module]
    uplink, name = gateway.uplink(monitor), monitor["connection_id"]
    await uplink.deliver(name, gateway.items(uplink, 48, name))
    received = await server.received()
    assert received["refused"] == []
    assert len({one["reading_time"] for one in received["readings"]}) == 48


async def test_emptyings_arrive_as_further_readings_of_the_half_hour(
    server: ResetStandIn, gateway: Any
) -> None:
    uplink = gateway.uplink(gateway.monitors["circularity"])
    await uplink.deliver("MK1-bin", gateway.items(uplink, 1, "MK1-bin", before_emptyings=(70_000, 84_270)))
    received = await server.received()
    assert received["refused"] == []
    assert [one["value"] for one in received["readings"]] == [70_000, 84_270, 84_270]


async def test_polling_transport_delivers_too(server: ResetStandIn, gateway: Any) -> None:
    uplink = gateway.uplink(transport="polling")
    await uplink.deliver("MK1-energy", gateway.items(uplink, 2))
    assert await gateway.values() == [84.270, 84.271]


async def test_monitor_is_created_once_also_after_a_restart(server: ResetStandIn, gateway: Any) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    await uplink.deliver("MK1-energy", gateway.items(uplink, begin=1))
    await uplink.close()
    again = gateway.uplink()
    await again.deliver("MK1-energy", gateway.items(again, begin=2))
    assert (await server.received())["messages"] == {"auth": 2, "monitors": 1, "readings": 3}


async def test_new_calibration_date_modifies_the_monitor_before_its_readings(
    server: ResetStandIn, gateway: Any
) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    changed = gateway.uplink(
        gateway.monitors["energy"] | {"calibrated": "2026-08-01T00:00:00+02:00", "label": "Main"}
    )
    await changed.deliver("MK1-energy", gateway.items(changed, begin=1))
    monitor = (await server.received())["monitors"]["MK1-energy"]
    assert monitor["meta"]["monitor_detail"]["last_monitor_calibration_date"] == "2026-08-01T00:00:00+02:00"
    assert (monitor["label"], monitor["messages"]) == ("Main", 2)


async def test_channel_taken_out_of_the_configuration_is_not_dropped_at_reset(
    server: ResetStandIn, gateway: Any
) -> None:
    second = {"id": "c02", "readings": {"power_consumption": "E2/import_total"}}
    uplink = gateway.uplink(
        gateway.monitors["energy"] | {"channels": [*gateway.monitors["energy"]["channels"], second]}
    )
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    less = gateway.uplink(gateway.monitors["energy"] | {"label": "Main"})
    await less.deliver("MK1-energy", gateway.items(less, begin=1))
    received = await server.received()
    assert received["refused"] == []
    assert received["monitors"]["MK1-energy"]["channels"] == [{"channel_id": "c01"}, {"channel_id": "c02"}]


async def test_large_backlog_is_divided_and_each_part_acknowledged(
    server: ResetStandIn, gateway: Any
) -> None:
    names = [f"c{n:03}" for n in range(200)]
    channels = [{"id": name, "readings": {"power_consumption": f"{name}/i"}} for name in names]
    uplink = gateway.uplink(gateway.monitors["energy"] | {"channels": channels})
    await uplink.deliver("MK1-energy", gateway.items(uplink, 48))
    received = await server.received()
    assert received["messages"]["readings"] == 2
    assert len(received["readings"]) == 48 * 200


async def test_connection_is_closed_when_nothing_was_sent_for_a_while(
    server: ResetStandIn, gateway: Any
) -> None:
    uplink = gateway.uplink(idle_close_s=0.2)
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    await uplink.idle()
    await gateway.until(lambda received: received["disconnects"])
    await uplink.deliver("MK1-energy", gateway.items(uplink, begin=1))
    assert (await server.received())["connections"] == 2


async def test_binding_of_a_reading_is_what_the_pipeline_asks_for(gateway: Any) -> None:
    [wanted] = gateway.uplink().wanted()
    assert wanted.bindings == (Binding(product="E1", key="import_total"),)
    assert gateway.uplink().batch_limit("MK1-energy") == 48
    assert gateway.uplink().due_ms(FIRST) == FIRST
    assert gateway.uplink(mode="daily").due_ms(FIRST) == parse_iso("2026-01-16T01:00:00+01:00")


async def test_check_goes_all_the_way_and_creates_nothing(server: ResetStandIn, gateway: Any) -> None:
    steps = await gateway.uplink().check()
    assert [(step.name, step.ok) for step in steps] == [
        (name, True) for name in ("DNS", "TCP", "TLS", "NAMESPACE", "AUTH", "ROUND TRIP")
    ]
    received = await server.received()
    assert (received["monitors"], received["readings"]) == ({}, [])
    assert received["messages"] == {"auth": 1, "monitors": 0, "readings": 0}


async def test_check_says_which_namespace_is_wrong_and_which_credentials(
    server: ResetStandIn, gateway: Any
) -> None:
    wrong = await gateway.uplink(url=f"{server.origin}/v3").check()
    assert (wrong[-1].name, wrong[-1].ok) == ("NAMESPACE", False)
    assert "no namespace /v3" in wrong[-1].detail
    refused = await gateway.uplink(client_secret="wr0ng-secret").check()
    assert (refused[-1].name, refused[-1].ok) == ("AUTH", False)
    assert "10401" in refused[-1].detail
    assert "wr0ng-secret" not in refused[-1].detail
