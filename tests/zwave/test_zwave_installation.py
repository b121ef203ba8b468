"""Adding, taking out and repairing devices on the simulated stick, as an installer with a phone sees it."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from meterkast.model.errors import RefusedError
from meterkast.model.product import Medium, ProductDescription
from meterkast.network import JobRequest, JobView
from meterkast_buffer.store import open_store

pytestmark = [pytest.mark.slow, pytest.mark.asyncio(loop_scope="module")]

LIMIT_S = 150.0

PIN = ["S2_Authenticated", "S2_Unauthenticated"]


@dataclass
class Site:
    """A cupboard with a stick, and an installer in front of it."""

    stick: Any
    running: Any
    store: Any
    folder: Path

    @property
    def network(self) -> Any:
        return self.running.driver.network

    async def start(self, **request: Any) -> JobView:
        return await self.network.start(JobRequest(**request))

    async def until(self, job: int, word: str) -> JobView:
        """The job once it has said that word."""
        seen = 0
        async with asyncio.timeout(LIMIT_S):
            while True:
                view = await self.network.changed(job, seen)
                if word in words(view):
                    return view
                assert view.state in ("running", "asking"), view
                seen = len(view.steps)

    async def ended(self, job: int) -> JobView:
        seen = 0
        async with asyncio.timeout(LIMIT_S):
            while True:
                view = await self.network.changed(job, seen)
                if view.state in ("done", "failed"):
                    return view
                seen = len(view.steps)

    async def include(self, kind: str, node: int, **request: Any) -> JobView:
        """Add a device from the order to the end; a PIN is typed from its label."""
        job = await self.start(kind="include", **request)
        await self.until(job.id, "install_searching")
        made = await self.stick.verb("join", kind=kind, id=node)
        if made["pin"] and request.get("security", "auto") in ("auto", "s2") and kind.startswith("s2"):
            view = await self.asked(job.id)
            if view.asks:
                await self.network.answer(job.id, made["pin"])
        return await self.ended(job.id)

    async def asked(self, job: int) -> JobView:
        """The job as soon as it asks for the PIN, or has ended."""
        seen = 0
        async with asyncio.timeout(LIMIT_S):
            while True:
                view = await self.network.changed(job, seen)
                if view.asks or view.state in ("done", "failed"):
                    return view
                seen = len(view.steps)

    async def exclude(self, node: int, **request: Any) -> JobView:
        job = await self.start(kind="exclude", **request)
        await self.until(job.id, "deinst_searching")
        await self.stick.verb("leave", id=node)
        return await self.ended(job.id)

    def numbers(self) -> set[int]:
        return {one.node for one in self.network.nodes()}

    async def product(self, name: str) -> Any:
        return next((one for one in await self.store.products() if one.name == name), None)


def words(view: JobView) -> list[str]:
    """Its status words, each once where it came several times in a row."""
    found: list[str] = []
    for step in view.steps:
        if not found or found[-1] != step.status:
            found.append(step.status)
    return found


def said(view: JobView) -> str:
    return " ".join(step.detail for step in view.steps)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    store = await open_store(tmp_path_factory.mktemp("store") / "meterkast.db")
    with tools.folder() as folder:
        async with (
            tools.serving(devices="meter:2,gas:4,water:5,plug:7,plug:8,dimmer:9") as stick,
            tools.driving(stick.url, folder, store, poll=False) as running,
        ):
            await running.settled(2, 4, 5, 7, 8, 9)
            yield Site(stick, running, store, folder)
    await store.close()


@pytest.fixture
def patience(site: Site) -> Any:
    """How long is waited; as it was afterwards."""
    patience = site.network.patience
    before = {name: getattr(patience, name) for name in type(patience).__slots__}
    yield patience
    for name, value in before.items():
        setattr(patience, name, value)


async def test_s2_device_asks_for_its_pin_and_is_told_to_be_encrypted(site: Site) -> None:
    job = await site.start(kind="include")
    await site.until(job.id, "install_searching")
    made = await site.stick.verb("join", kind="s2meter", id=20, classes=PIN)
    asking = await site.asked(job.id)
    assert (asking.state, asking.asks) == ("asking", "pin")
    assert asking.dsk == made["dsk"][6:]
    assert asking.left_s is not None
    assert 100 < asking.left_s <= 230
    assert "five digits that are underlined" in asking.steps[-1].detail
    with pytest.raises(RefusedError, match="is no PIN"):
        await site.network.answer(job.id, "12a45")
    await site.network.answer(job.id, made["pin"])
    view = await site.ended(job.id)
    assert words(view) == [
        "install_start",
        "install_accepted",
        "install_searching",
        "install_found",
        "install_configuring",
        "install_conf_success",
        "install_success",
    ]
    assert view.state == "done"
    assert "encrypted (S2_" in view.steps[-1].detail
    assert view.node == 20
    assert view.product_id == next(one.product_id for one in site.network.nodes() if one.node == 20)


async def test_steps_are_kept_for_the_installation_resource(site: Site) -> None:
    view = await site.include("plug", 21)
    kept = await site.store.installation_messages(50)
    told = [(one.status, one.detail) for one in kept][-len(view.steps) :]
    assert told == [(step.status, step.detail) for step in view.steps]
    assert "without encryption" in view.steps[-1].detail


async def test_s2_was_asked_for_and_the_device_has_none(site: Site, patience: Any) -> None:
    patience.rescue_s = 1.0
    view = await site.include("plug", 25, security="s2")
    assert "install_sec_hs_fail" in words(view)
    assert "The device has no S2 security" in said(view)
    assert (await site.exclude(25)).state == "done"


async def test_s0_device_is_added_with_s0(site: Site) -> None:
    view = await site.include("s0plug", 26, security="s0")
    assert view.state == "done"
    assert "encrypted (S0_Legacy)" in view.steps[-1].detail


async def test_without_encryption_comes_with_a_warning(site: Site) -> None:
    view = await site.include("s2meter", 27, security="none")
    assert view.state == "done"
    assert "whoever is near can read what the device sends" in said(view)
    assert "without encryption" in view.steps[-1].detail


async def test_product_first_then_its_device(site: Site) -> None:
    view = await site.include("water", 30, product="Water main")
    product = await site.product("Water main")
    assert view.state == "done"
    assert view.steps[-1].detail.startswith('Device 30 is "Water main"')
    assert (view.product_id, product.description.medium) == (product.id, Medium.WATER)
    assert product.description.identity.startswith("product:")
    assert site.running.product(30).id == product.id

    again = await site.start(kind="include", product=str(product.id))
    again = await site.ended(again.id)
    assert again.steps[-1].status == "install_node_mapped"
    assert '"Water main" has a device already: number 30' in again.steps[-1].detail

    assert (await site.exclude(30, product="Water main")).state == "done"
    assert (await site.product("Water main")).id == product.id

    wrong = await site.include("gas", 31, product="Water main")
    assert wrong.state == "failed"
    assert wrong.steps[-1].status == "install_wrong_dev"
    assert 'measures gas, but "Water main" was for water' in wrong.steps[-1].detail
    assert site.running.product(31).id != product.id
    assert (await site.product("Water main")).description.medium is Medium.WATER

    other = await site.include("plug", 32, product="Water main")
    assert other.steps[-1].status == "install_wrong_dev"
    assert "Binary" in other.steps[-1].detail

    right = await site.include("water", 33, product="water MAIN")
    assert (right.state, right.product_id) == ("done", product.id)


async def test_smart_start_device_joins_by_itself(site: Site) -> None:
    made = await site.stick.verb("smart_make", kind="s2meter", id=40, classes=PIN)
    job = await site.start(kind="include", code=made["dsk"], product="Tenant's meter")
    view = await site.until(job.id, "install_searching")
    assert "joins by itself" in view.steps[-1].detail
    await site.stick.verb("smart_on")
    view = await site.ended(job.id)
    assert view.state == "done"
    assert "encrypted (S2_" in view.steps[-1].detail
    assert site.running.product(40).name == "Tenant's meter"


async def test_smart_start_device_that_comes_after_its_job(site: Site) -> None:
    made = await site.stick.verb("smart_make", kind="s2meter", id=41, classes=PIN)
    job = await site.start(kind="include", code=made["dsk"], product="Late meter", timeout_s=1.0)
    view = await site.ended(job.id)
    assert view.steps[-1].status == "install_timeout"
    assert "stays on the list" in view.steps[-1].detail
    await site.stick.verb("smart_on")
    await site.running.settled(41)
    assert site.running.product(41).name == "Late meter"


async def test_smart_start_that_is_cancelled_takes_the_device_off_the_list(site: Site) -> None:
    made = await site.stick.verb("smart_make", kind="s2meter", id=42, classes=PIN)
    job = await site.start(kind="include", code=made["dsk"])
    await site.until(job.id, "install_searching")
    view = await site.network.cancel(job.id)
    assert view.steps[-1].status == "install_aborted"
    assert "off the list" in view.steps[-1].detail
    assert not await listed(site, made["dsk"])


def qr_code(dsk: str, *, version: int = 1, keys: int = 3) -> str:
    """The text of a device's QR code, as zwave-js reads it: its type and its product are required."""
    told = f"{keys:03}{dsk.replace('-', '')}" + "0010" + "0409600512" + "0220" + "00134000030009600256"
    checksum = int.from_bytes(hashlib.sha1(told.encode()).digest()[:2])
    return f"90{version:02}{checksum:05}{told}"


async def test_device_joins_by_the_qr_code_of_its_label(site: Site) -> None:
    made = await site.stick.verb("smart_make", kind="s2meter", id=44, classes=PIN)
    code = qr_code(made["dsk"])
    wrong = await site.start(kind="include", code=code[:-1] + "7")
    view = await site.ended(wrong.id)
    assert view.steps[-1].status == "install_aborted"
    assert "This is no right QR code" in view.steps[-1].detail
    assert "Scan it again" in view.steps[-1].detail
    job = await site.start(kind="include", code=f"{code[:40]} {code[40:]}\n", product="By its label")
    await site.until(job.id, "install_searching")
    assert await listed(site, made["dsk"])
    await site.stick.verb("smart_on")
    view = await site.ended(job.id)
    assert (view.state, view.node) == ("done", 44)
    assert "encrypted (S2_" in view.steps[-1].detail
    assert site.running.product(44).name == "By its label"


async def listed(site: Site, dsk: str) -> bool:
    controller = site.running.driver._link.driver.controller
    return any(entry.dsk == dsk for entry in await controller.async_get_provisioning_entries())


async def test_no_device_comes(site: Site) -> None:
    job = await site.start(kind="include", timeout_s=1.0)
    view = await site.ended(job.id)
    assert view.steps[-1].status == "install_timeout"
    assert "exclude it first" in view.steps[-1].detail
    job = await site.start(kind="exclude", timeout_s=1.0)
    view = await site.ended(job.id)
    assert view.steps[-1].status == "deinst_timeout"
    assert "zwave remove" in view.steps[-1].detail


async def test_cancel_while_searching_and_one_job_at_a_time(site: Site) -> None:
    job = await site.start(kind="include")
    await site.until(job.id, "install_searching")
    with pytest.raises(RefusedError, match=rf"job {job.id} \(include\) is running: Press the button"):
        await site.start(kind="exclude")
    view = await site.network.cancel(job.id)
    assert view.state == "failed"
    assert view.steps[-1].status == "install_aborted"
    assert view.steps[-1].detail == "The stick has stopped looking for devices. Nothing was changed."
    assert (await site.network.cancel(job.id)).steps == view.steps
    next_one = await site.start(kind="exclude")
    await site.until(next_one.id, "deinst_searching")
    view = await site.network.cancel(next_one.id)
    assert view.steps[-1].status == "deinst_aborted"


async def test_exclusion_of_a_device_keeps_its_product(site: Site) -> None:
    product = site.running.product(8)
    view = await site.exclude(8)
    assert words(view) == [
        "deinst_start",
        "deinst_accepted",
        "deinst_searching",
        "deinst_found",
        "deinst_success",
    ]
    assert "Its product and all that was measured stay" in view.steps[-1].detail
    assert 8 not in site.numbers()
    assert product.id in {one.id for one in await site.store.products()}


async def test_wrong_device_is_excluded(site: Site) -> None:
    await site.include("plug", 50, product="Meant to go")
    await site.include("plug", 51, product="Innocent")
    view = await site.exclude(51, product="Meant to go")
    assert view.steps[-1].status == "deinst_wrong_dev"
    assert 'Device 51 "Innocent" was taken out, and not "Meant to go"' in view.steps[-1].detail


async def test_device_of_another_network_is_reset(site: Site) -> None:
    job = await site.start(kind="exclude")
    await site.until(job.id, "deinst_searching")
    await site.stick.verb("leave_stranger")
    view = await site.ended(job.id)
    assert (view.state, view.steps[-1].status) == ("done", "deinst_not_modified")
    assert "It can be added here now" in view.steps[-1].detail


async def test_only_a_dead_device_is_removed(site: Site) -> None:
    await site.include("plug", 52)
    job = await site.start(kind="remove", node=52)
    view = await site.ended(job.id)
    assert view.steps[-1].status == "deinst_aborted"
    assert "it answers. Take it out with `meterkast zwave exclude`" in view.steps[-1].detail
    await site.stick.verb("dead", id=52)
    job = await site.start(kind="remove", node=52)
    view = await site.ended(job.id)
    assert (view.state, view.steps[-1].status) == ("done", "deinst_success"), view
    assert 52 not in site.numbers()
    with pytest.raises(RefusedError, match="there is no device 52"):
        await site.start(kind="remove", node=52)


async def test_failed_device_is_replaced_and_the_product_goes_on(site: Site) -> None:
    await site.include("plug", 53, product="Fridge")
    product = await site.product("Fridge")
    job = await site.start(kind="replace", node=53)
    view = await site.ended(job.id)
    assert "Device 53 is not replaced: it answers" in view.steps[-1].detail
    await site.stick.verb("dead", id=53)
    job = await site.start(kind="replace", node=53)
    await site.until(job.id, "install_searching")
    await site.stick.verb("join", kind="plug", id=53)
    view = await site.ended(job.id)
    assert view.state == "done", view
    assert (view.product_id, site.running.product(53).id) == (product.id, product.id)


async def test_device_is_asked_everything_again(site: Site) -> None:
    job = await site.start(kind="interview", node=7)
    view = await site.ended(job.id)
    assert view.state == "done"
    assert words(view)[-2:] == ["install_configuring", "install_conf_success"]


async def test_routes_are_found_again(site: Site) -> None:
    job = await site.start(kind="heal", node=7)
    view = await site.ended(job.id)
    assert view.steps[-1].status in ("heal_success", "heal_fail"), view
    job = await site.start(kind="heal")
    view = await site.ended(job.id)
    assert any("devices are done" in step.detail for step in view.steps) or view.state == "done", view


async def test_backup_is_kept_and_only_its_owner_may_read_it(site: Site) -> None:
    for _ in range(2):
        job = await site.start(kind="backup")
        view = await site.ended(job.id)
        assert view.steps[-1].status == "backup_success"
    files = sorted((site.folder / "backups").iterdir())
    assert 1 <= len(files) <= 5
    assert str(files[-1]) in view.steps[-1].detail
    assert files[-1].name.endswith("-7e570001.bin")
    assert files[-1].stat().st_mode & 0o777 == 0o600
    assert files[-1].stat().st_size >= 1024


async def test_orders_that_cannot_be(site: Site) -> None:
    for request, why in (
        ({"kind": "remove"}, "remove needs a device"),
        ({"kind": "interview", "node": 99}, "there is no device 99"),
        ({"kind": "include", "pin": "123"}, "is no PIN"),
        ({"kind": "include", "code": "hello"}, "is no code of a Z-Wave device"),
        ({"kind": "include", "product": "4711"}, "there is no product 4711"),
        ({"kind": "exclude", "product": "Nothing of that name"}, "there is no product"),
        ({"kind": "include", "timeout_s": 0.0}, "is no time to wait"),
    ):
        with pytest.raises(RefusedError, match=why):
            await site.start(**request)
    with pytest.raises(RefusedError, match="there is no job 4711"):
        await site.network.changed(4711, 0)


async def test_product_of_another_driver_is_refused(site: Site) -> None:
    await site.store.declare(
        ProductDescription(identity="p1:E1", name="Mains", medium=Medium.ELECTRICITY), []
    )
    with pytest.raises(RefusedError, match="is not a Z-Wave product"):
        await site.start(kind="include", product="mains")


# From here on PINs are wrong: the simulated stick takes no right one after a wrong one.


async def test_wrong_pin_is_told_and_the_half_added_device_goes_out_again(site: Site) -> None:
    job = await site.start(kind="include", pin="00001")
    await site.until(job.id, "install_searching")
    await site.stick.verb("join", kind="s2meter", id=22, classes=PIN)
    view = await site.until(job.id, "deinst_searching")
    assert "install_sec_hs_fail" in words(view)
    assert "Wrong PIN: the five digits are underlined on the device's label" in said(view)
    assert "press" in view.steps[-1].detail.lower()
    assert view.left_s is not None
    await site.stick.verb("leave", id=22)
    view = await site.ended(job.id)
    assert view.state == "failed"
    assert view.steps[-1].status == "deinst_success"
    assert "begin anew" in view.steps[-1].detail
    assert 22 not in site.numbers()


async def test_wrong_pin_and_nobody_at_the_button_leaves_a_warning(site: Site, patience: Any) -> None:
    patience.rescue_s = 1.0
    job = await site.start(kind="include", pin="00001")
    await site.until(job.id, "install_searching")
    await site.stick.verb("join", kind="s2meter", id=23, classes=PIN)
    view = await site.ended(job.id)
    assert view.state == "failed"
    assert "Device 23 is still in the network, without security" in view.steps[-1].detail
    out = await site.exclude(23)
    assert out.state == "done"


async def test_nobody_gives_the_pin(site: Site, patience: Any) -> None:
    patience.pin_s, patience.rescue_s = 1.0, 1.0
    job = await site.start(kind="include")
    await site.until(job.id, "install_searching")
    await site.stick.verb("join", kind="s2meter", id=24, classes=PIN)
    view = await site.ended(job.id)
    assert "No PIN was given in time" in said(view)
    assert "install_sec_hs_fail" in words(view)
    assert (await site.exclude(24)).state == "done"


async def test_cancel_while_the_pin_is_asked_says_what_stays(site: Site) -> None:
    job = await site.start(kind="include")
    await site.until(job.id, "install_searching")
    await site.stick.verb("join", kind="s2meter", id=43, classes=PIN)
    await site.asked(job.id)
    view = await site.network.cancel(job.id)
    assert view.steps[-1].status == "install_aborted"
    assert "Device 43 is in the network already, without security" in view.steps[-1].detail
    assert (await site.exclude(43)).state == "done"


async def test_stick_left_looking_stops_when_a_gateway_is_there_again(site: Site) -> None:
    link = site.running.driver._link
    assert await link.driver.controller.async_begin_exclusion()
    site.network.detach()
    site.network.attach(link)
    tidying = site.network._installation._tidying
    await asyncio.wait_for(asyncio.shield(tidying), LIMIT_S)
    assert not await link.driver.controller.async_stop_exclusion()


async def test_connection_lost_ends_the_job_with_a_sentence(site: Site) -> None:
    job = await site.start(kind="include")
    await site.until(job.id, "install_searching")
    await site.stick.verb("unplug")
    view = await site.ended(job.id)
    assert (view.state, view.steps[-1].status) == ("failed", "install_internal")
    assert "look at the list of devices, then begin again" in view.steps[-1].detail
    with pytest.raises(RefusedError, match="not connected"):
        await site.start(kind="exclude")
    await site.stick.verb("plug")
    await site.running.settled(7)
    job = await site.start(kind="exclude")
    await site.until(job.id, "deinst_searching")
    await site.network.cancel(job.id)
