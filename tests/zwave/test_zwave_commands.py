"""Writing to devices of the simulated stick: nothing counts as done before the device said so."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
import pytest_asyncio

from meterkast.model.errors import RefusedError
from meterkast.network import PendingView, WriteRequest
from meterkast_buffer.store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]


@dataclass
class Site:
    """A cupboard with devices that can be switched."""

    stick: Any
    running: Any
    store: Any
    tools: Any

    def property(self, node: int, key: str) -> Any:
        device = self.running.driver.devices.get(node)
        return next(one.property for one in device.properties.values() if one.property.key == key)

    async def write(self, node: int, key: str, value: str, **more: Any) -> PendingView:
        request = WriteRequest(property_id=self.property(node, key).id, value=value, **more)
        return await self.running.driver.network.write(request)

    def newest(self, node: int, key: str) -> Any:
        """What counts as measured."""
        prop = self.property(node, key)
        rows = [one.values[0] for one in self.running.batches if one.layout[0].property_id == prop.id]
        return rows[-1] if rows else None


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    store = await open_store(tmp_path_factory.mktemp("store") / "meterkast.db")
    with tools.folder() as folder:
        async with (
            tools.serving(devices="gas:4,plug:7,dimmer:8,thermostat:9,lock:11,plug:12") as stick,
            tools.driving(stick.url, folder, store, poll=False) as running,
        ):
            await running.settled(4, 7, 8, 9, 11, 12)
            yield Site(stick, running, store, tools)
    await store.close()


async def test_plug_confirms_and_its_word_is_measured(site: Site) -> None:
    on = await site.write(7, "switch", "on")
    assert (on.status, on.value, on.node, on.detail) == ("done", "255", 7, "")
    assert (on.command_class, on.channel) == (37, 0)
    await site.tools.until(lambda: site.newest(7, "switch") == 255, "measured on")
    off = await site.write(7, "switch", "OFF")
    assert (off.status, off.value) == ("done", "0")
    await site.tools.until(lambda: site.newest(7, "switch") == 0, "measured off")


async def test_full_on_is_99_for_a_dimmer_and_is_read_back(site: Site) -> None:
    for text, kept in (("100", "99"), ("off", "0"), ("40", "40")):
        dimmed = await site.write(8, "dimmer", text)
        assert (dimmed.status, dimmed.value) == ("done", kept), dimmed
        await site.tools.until(lambda kept=kept: site.newest(8, "dimmer") == int(kept), "measured")


async def test_lock_and_mode_by_name(site: Site) -> None:
    assert (await site.write(11, "lock", "lock")).status == "done"
    await site.tools.until(lambda: site.newest(11, "lock") == 255, "locked")
    assert (await site.write(11, "lock", "unlock")).value == "0"
    assert (await site.write(9, "mode", "heat")).value == "1"
    await site.tools.until(lambda: site.newest(9, "mode") == 1, "heating")


async def test_setpoint_is_held_against_the_devices_own_range(site: Site) -> None:
    # The stock mock takes its lowest setpoint alone.
    done = await site.write(9, "setpoint_heating", "5")
    assert done.status == "done", done
    await site.tools.until(lambda: site.newest(9, "setpoint_heating") == 5, "the new setpoint")
    before = site.newest(9, "setpoint_heating")
    for text in ("99", "4.9", "-5"):
        with pytest.raises(RefusedError, match="not in its range") as caught:
            await site.write(9, "setpoint_heating", text)
        assert caught.value.hint == "It takes 5 to 30 °C."
    assert site.newest(9, "setpoint_heating") == before


async def test_what_means_nothing_is_refused(site: Site) -> None:
    for node, key, text, hint in (
        (7, "switch", "50", "It takes on or off."),
        (7, "switch", "lock", "It takes on or off."),
        (8, "dimmer", "101", "It takes 0 to 99 %."),
        (8, "dimmer", "NaN", "It takes 0 to 99 %."),
        (8, "dimmer", "40.5", "It takes 0 to 99 %."),
        (11, "lock", "7", "It takes lock or unlock."),
        (9, "mode", "3", "It takes one of: Off, Heat, Cool."),
        (9, "mode", "party", "It takes one of: Off, Heat, Cool."),
    ):
        with pytest.raises(RefusedError) as caught:
            await site.write(node, key, text)
        assert caught.value.hint == hint, (key, text)
    with pytest.raises(RefusedError, match="can only be read"):
        await site.write(4, "volume", "0")
    with pytest.raises(RefusedError, match="not of a Z-Wave device"):
        await site.running.driver.network.write(WriteRequest(property_id=4711, value="on"))


async def test_meter_is_set_back_only_when_that_is_said(site: Site) -> None:
    await site.stick.verb("pulse", id=4, count=100)
    await site.stick.verb("report", id=4)
    await site.tools.until(lambda: site.newest(4, "volume"), "a volume")
    with pytest.raises(RefusedError, match="back to 0, for good"):
        await site.write(4, "reset", "on")
    assert site.newest(4, "volume") > 0
    done = await site.write(4, "reset", "reset", reset_meter=True)
    assert done.status == "done", done
    await site.tools.until(lambda: site.newest(4, "volume") == 0, "volume 0")


async def test_dead_device_gets_nothing(site: Site) -> None:
    await site.stick.verb("dead", id=12)
    first = await site.write(12, "switch", "on")
    assert first.status == "failed"
    assert first.detail
    live = site.running.driver.devices.get(12).live
    await site.tools.until(lambda: live.status == 3, "dead")
    with pytest.raises(RefusedError, match="does not answer") as caught:
        await site.write(12, "switch", "on")
    assert "Nothing was sent" in caught.value.hint
    assert list(await site.store.pendings()) == []
    await site.stick.verb("alive", id=12)
    await asyncio.wait_for(live.async_ping(), 20)
    await site.tools.until(lambda: live.status == 4, "alive")
    assert (await site.write(12, "switch", "on")).status == "done"


async def test_all_orders_are_listed_with_how_they_ended(site: Site) -> None:
    await site.write(7, "switch", "on")
    listed = await site.running.driver.network.pending()
    assert [one.id for one in listed] == sorted(one.id for one in listed)
    assert (listed[-1].node, listed[-1].status, listed[-1].value) == (7, "done", "255")
    with pytest.raises(RefusedError, match="does not wait"):
        await site.running.driver.network.forget(listed[-1].id)
