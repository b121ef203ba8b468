"""What each platform gets of a register that was reset: continued or as the meter shows it, by setting."""

from __future__ import annotations

import json
import random
from pathlib import Path
from typing import Any

import pytest

from meterkast.clock import SystemClock
from meterkast.config.decoding import decode
from meterkast.model.datatypes import ENERGY_CONSUMED
from meterkast.model.delivery import Stream
from meterkast.model.half_hour import Cause
from meterkast.model.product import ProductId, Property, PropertyDescription, PropertyId
from meterkast.model.reading import Column, Frames
from meterkast.model.time import HALF_HOUR_MS, MINUTE_MS, Grid, UtcMs, parse_iso, zone
from meterkast.model.units import Unit
from meterkast.pipeline.closing import Closing
from meterkast.ports.uplink import Uplink
from meterkast.uplinks import KINDS, reset, wattics
from meterkast.uplinks.context import Context
from meterkast_buffer.store import open_store

GRID = Grid(zone("Europe/Amsterdam"))
START = parse_iso("2026-01-15T12:00:00+01:00")
ENERGY = Property(
    id=PropertyId(1),
    product_id=ProductId(1),
    description=PropertyDescription(
        key="import_total", name="Import", datatype=ENERGY_CONSUMED, unit=Unit.WATT_HOUR
    ),
)


def made(name: str, context: Context, counters: dict[str, str]) -> Uplink:
    if name == "reset":
        channel = {"id": "c1", "readings": {"power_consumption": "E/import_total"}}
        monitor = {"connection_id": "m", "module": "energy", "brand": "b", "sku": "s", "serial": "n"}
        tree: dict[str, Any] = {"client_id": "demo", "client_secret": "x"}
        tree["monitors"] = [{**monitor, "channels": [channel]}]
        return reset.create(decode(reset.Settings, tree | counters, "uplinks.reset"), context)
    meter = {"id": "m", "kind": "value", "value": "E/import_total", "unit": "kWh", "interval_min": 30}
    tree = {"user": "demo", "password": "x", "meters": [meter]}
    return wattics.create(decode(wattics.Settings, tree | counters, "uplinks.wattics"), context)


def numbers(payload: bytes) -> list[str]:
    """Every number of a payload, with its digits."""
    found: list[str] = []
    json.loads(payload, parse_float=lambda text: found.append(text) or text, parse_int=str)  # type: ignore[func-returns-value]
    return found


@pytest.mark.parametrize("name", sorted(KINDS))
@pytest.mark.parametrize("counters", [None, "continue", "restart"])
async def test_register_that_was_reset_is_sent_as_the_setting_says(
    name: str, counters: str | None, tmp_path: Path
) -> None:
    store = await open_store(tmp_path / "meterkast.db")
    context = Context(
        device_id="mk-test", grid=GRID, clock=SystemClock(), store=store, random=random.Random(1).random
    )
    uplink = made(name, context, {} if counters is None else {"counters": counters})
    closing = Closing(GRID, 90_000, lambda *_: Cause.METER_SILENT)
    closing.know(ENERGY)
    sent: list[str] = []
    for minute, value in [(10, 84_276_100), (40, 84_276_900), (70, 250), (71, 260), (72, 270), (100, 900)]:
        at_ms = UtcMs(START + minute * MINUTE_MS)
        closing.feed([Frames((Column(ENERGY.id, 0),), [at_ms], [(value,)])])
        if not closing.streams:
            (wanted,) = uplink.wanted()
            stream = Stream(uplink=name, name="m", properties=(ENERGY.id,), length_ms=HALF_HOUR_MS)
            closing.bind(stream, uplink, {wanted.bindings[0]: ENERGY.id}, None)
        done = closing.close(UtcMs(at_ms + 2 * MINUTE_MS))
        sent += [number for item in done.items for number in numbers(item.payload)]
    sent += [n for item in closing.close(UtcMs(START + 122 * MINUTE_MS)).items for n in numbers(item.payload)]
    await store.close()
    goes_on = ["84276.100", "84276.900", "84276.920", "84277.550"]
    as_shown = ["84276.100", "84276.900", "0.270", "0.900"]
    usual = "continue" if name == "reset" else "restart"
    assert sent == (goes_on if (counters or usual) == "continue" else as_shown)
