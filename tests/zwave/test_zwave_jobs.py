"""Jobs that go wrong in ways that the simulated stick does not: the real jobs and library, the server's
messages made up.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from meterkast.clock import SystemClock
from meterkast.model.errors import LinkLostError, RefusedError
from meterkast.model.product import NodeStatus
from meterkast.network import JobRequest, JobView
from meterkast_drivers.zwave import library  # noqa: F401

# isort: split
# `library` has to be imported before these.
from zwave_js_server.event import Event
from zwave_js_server.model.driver import Driver

from meterkast_drivers.zwave import installation as jobs
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.network import ZwaveNetwork
from meterkast_drivers.zwave.settings import Settings

LIMIT_S = 60.0
ASLEEP, ALIVE = 1, 4


def described(
    node: int, *, listening: bool = True, status: int = ALIVE, ready: bool = True
) -> dict[str, Any]:
    return {
        "nodeId": node,
        "index": 0,
        "status": status,
        "ready": ready,
        "isControllerNode": node == 1,
        "isListening": listening,
        "isFrequentListening": False,
        "highestSecurityClass": -1,
        "values": [],
        "endpoints": [{"nodeId": node, "index": 0, "commandClasses": []}],
    }


QR = {
    "version": 0,
    "requestedSecurityClasses": [0, 1],
    "securityClasses": [0, 1],
    "dsk": "11111-22222-33333-44444-55555-00000-12345-54321",
    "genericDeviceClass": 1,
    "specificDeviceClass": 1,
    "installerIconType": 1,
    "manufacturerId": 1,
    "productType": 1,
    "productId": 1,
    "applicationVersion": "1.0",
}


class Server:
    """Answers like the server; `answers` holds what a command comes to instead, one after another or for
    good.
    """

    def __init__(self) -> None:
        self.told: list[str] = []
        self.newest: dict[str, dict[str, Any]] = {}
        self.looking: set[str] = set()
        self.answers: dict[str, Any] = {}
        self.driver: Any = None

    async def async_send_command(self, message: dict[str, Any], *_: Any, **__: Any) -> dict[str, Any]:
        command = message["command"]
        self.told.append(command)
        self.newest[command] = message
        answer = self.answers.get(command)
        if isinstance(answer, list):
            answer = answer.pop(0) if answer else None
        if isinstance(answer, asyncio.Event):
            await answer.wait()
            answer = None
        if isinstance(answer, Exception):
            raise answer
        what = command.rpartition("_")[2]
        if answer is None and command.startswith("controller.begin_") and what in ("inclusion", "exclusion"):
            self.looking.add(what)
            answer = {"success": True}
        if answer is None and command.startswith("controller.stop_"):
            answer = {"success": what in self.looking}
            self.looking.discard(what)
        return answer if answer is not None else {}

    async_send_command_no_wait = async_send_command


class Link:
    """A connection that is lost when it is told so."""

    def __init__(self, server: Server, controller: dict[str, Any], *nodes: dict[str, Any]) -> None:
        state = {
            "controller": {"homeId": 0x7E570001, "ownNodeId": 1, "isPrimary": True, **controller},
            "nodes": [described(1), *nodes],
        }
        log_config = {
            "enabled": False,
            "level": "info",
            "logToFile": False,
            "filename": "",
            "forceConsole": False,
        }
        self.server = server
        self.driver = Driver(server, state, log_config)  # type: ignore[arg-type]
        server.driver = self.driver
        self.loss: asyncio.Future[LinkLostError] = asyncio.get_running_loop().create_future()

    async def ask(self, work: Any, *, what: str, within_s: float) -> Any:
        if self.loss.done():
            work.close()
            raise self.loss.result()
        try:
            async with asyncio.timeout(within_s):
                return await work
        except TimeoutError:
            raise jobs.NotAnsweredError(f"{what}: no answer", hint="Look at the device.") from None

    async def lost(self) -> LinkLostError:
        return await asyncio.shield(self.loss)

    def lose(self) -> None:
        self.loss.set_result(LinkLostError("the Z-Wave server went away", hint="It comes back by itself."))

    def tell(self, event: str, **data: Any) -> None:
        source = "node" if "nodeId" in data else "controller"
        self.driver.receive_event(Event(event, {"source": source, "event": event, **data}))

    def added(self, node: dict[str, Any], **result: Any) -> None:
        self.tell("node added", node=node, result=result)

    def removed(self, node: int, reason: int = 0) -> None:
        self.tell("node removed", node=described(node), reason=reason)


class Site:
    """A cupboard whose stick does what the test says."""

    def __init__(self, folder: Path, shelf: Any) -> None:
        self.server, self.shelf = Server(), shelf
        settings = Settings(stick="tcp://127.0.0.1:1", folder=str(folder))
        self.devices = Devices(settings, shelf, SystemClock())
        self.restarts = 0
        self.network = ZwaveNetwork(
            self.devices, shelf, SystemClock(), settings, restart_server=self._restart_server
        )
        self.installation = self.network._installation
        patience = self.network.patience
        patience.command_s, patience.settle_s, patience.busy_s = 0.3, 0.3, 0.1
        patience.exchange_s = patience.interview_s = patience.wake_s = patience.rescue_s = 0.3
        patience.backup_s = patience.heal_s = 0.3

    async def _restart_server(self) -> None:
        self.restarts += 1

    async def connect(self, *nodes: dict[str, Any], **controller: Any) -> Link:
        self.link = Link(self.server, controller, *nodes)
        self.devices.attach(self.link)  # type: ignore[arg-type]
        self.link.driver.controller.on("node added", self._added)
        self.link.driver.controller.on("node removed", self._removed)
        self.network.attach(self.link)  # type: ignore[arg-type]
        async with asyncio.timeout(LIMIT_S):
            await self.installation._tidying
        return self.link

    def _added(self, heard: dict[str, Any]) -> None:
        self.devices.adopt(heard["node"].node_id, heard["node"])

    def _removed(self, heard: dict[str, Any]) -> None:
        self.devices._here().pop(heard["node"].node_id, None)

    async def start(self, kind: Any, **more: Any) -> JobView:
        return await self.network.start(JobRequest(kind=kind, **{"timeout_s": 30.0, **more}))

    async def until(self, job: int, true: Callable[[JobView], bool]) -> JobView:
        seen = 0
        async with asyncio.timeout(LIMIT_S):
            while not true(view := await self.network.changed(job, seen)):
                assert view.state in ("running", "asking"), view
                seen = len(view.steps)
        return view

    async def said(self, job: int, word: str) -> JobView:
        return await self.until(job, lambda view: any(one.status == word for one in view.steps))

    async def ended(self, job: int) -> JobView:
        return await self.until(job, lambda view: view.state in ("done", "failed"))

    async def searching(self, kind: Any = "include", **more: Any) -> JobView:
        job = await self.start(kind, **more)
        return await self.said(job.id, "install_searching" if kind != "exclude" else "deinst_searching")


@pytest.fixture
async def site(tmp_path: Path, shelf: Any) -> AsyncIterator[Site]:
    made = Site(tmp_path, shelf)
    yield made
    await made.network.close()
    made.network.detach()
    made.devices.detach()


@pytest.fixture(autouse=True)
def told(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)


async def wait_for(true: Callable[[], bool]) -> None:
    async with asyncio.timeout(LIMIT_S):
        while not true():  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)


def last(view: JobView) -> tuple[str, str]:
    return view.steps[-1].status, view.steps[-1].detail


# ------------------------------------------------------------- the stick never goes on looking for devices


async def test_a_stick_left_looking_by_a_gateway_that_was_killed_is_stopped(site: Site) -> None:
    site.server.looking = {"inclusion", "exclusion"}
    await site.connect()
    assert site.server.looking == set()


async def test_a_job_begins_only_after_that(site: Site) -> None:
    gate = site.server.answers["controller.stop_inclusion"] = asyncio.Event()
    site.network.patience.command_s = 30.0
    link = Link(site.server, {})
    site.devices.attach(link)  # type: ignore[arg-type]
    site.network.attach(link)  # type: ignore[arg-type]
    starting = asyncio.create_task(site.searching())
    await asyncio.sleep(0.05)
    assert "controller.begin_inclusion" not in site.server.told
    gate.set()
    await asyncio.wait_for(starting, LIMIT_S)
    assert site.server.looking == {"inclusion"}


async def test_stopping_the_gateway_ends_the_job_and_stops_the_stick(site: Site) -> None:
    await site.connect()
    job = await site.searching()
    await site.network.close()
    assert site.server.looking == set()
    assert last(await site.ended(job.id))[0] == "install_aborted"


async def test_stopping_does_not_wait_for_a_frozen_server(site: Site, monkeypatch: Any) -> None:
    monkeypatch.setattr(jobs, "CLOSE_S", 0.1)
    await site.connect()
    await site.searching()
    site.network.patience.command_s = 3600.0
    site.server.answers["controller.stop_inclusion"] = asyncio.Event()
    await asyncio.wait_for(site.network.close(), LIMIT_S)


async def test_cancelling_while_a_device_goes_out_again_stops_the_stick(site: Site) -> None:
    site.network.patience.rescue_s = 30.0
    link = await site.connect()
    job = await site.searching()
    link.added(described(5, ready=False), lowSecurity=True, lowSecurityReason=6)
    await site.said(job.id, "deinst_searching")
    assert site.server.looking == {"inclusion", "exclusion"}
    view = await site.network.cancel(job.id)
    assert site.server.looking == set()
    assert "Device 5 is in the network already, without security" in last(view)[1]


async def test_a_failed_exchange_does_not_leave_the_stick_looking(site: Site) -> None:
    link = await site.connect()
    job = await site.searching()
    link.tell("inclusion failed")
    assert last(await site.ended(job.id))[0] == "install_proto_fail"
    assert site.server.looking == set()


async def test_order_that_is_carried_out_after_its_job_is_stopped_again(site: Site) -> None:
    link = await site.connect()
    site.server.answers["controller.begin_exclusion"] = [asyncio.Event()]
    job = await site.start("exclude")
    view = await site.ended(job.id)
    assert (last(view)[0], site.restarts) == ("deinst_busy", 1)
    site.server.looking = {"exclusion"}
    link.tell("exclusion started")
    await wait_for(lambda: not site.server.looking)


# ------------------------------------------------------------------------------------ cancelling, two at once


async def test_cancelled_twice_at_once_it_still_stops_in_order(site: Site) -> None:
    await site.connect()
    job = await site.searching()
    gate = site.server.answers["controller.stop_inclusion"] = asyncio.Event()
    site.network.patience.command_s = 30.0
    site.server.told.clear()
    one = asyncio.create_task(site.network.cancel(job.id))
    await wait_for(lambda: "controller.stop_inclusion" in site.server.told)
    other = asyncio.create_task(site.network.cancel(job.id))
    await asyncio.sleep(0.05)
    gate.set()
    first, second = await asyncio.wait_for(asyncio.gather(one, other), LIMIT_S)
    assert last(first) == last(second)
    assert last(first)[0] == "install_aborted"
    assert (await site.searching("exclude")).state == "running"


async def test_cancelled_at_its_very_end_it_ends_all_the_same(site: Site, monkeypatch: Any) -> None:
    link = await site.connect()
    job = await site.searching("exclude")
    kept, gate = asyncio.Event(), asyncio.Event()

    async def report(message: Any) -> None:
        if message.status.endswith("not_modified"):
            kept.set()
            await gate.wait()

    monkeypatch.setattr(site.shelf, "report", report)
    link.tell("exclusion stopped")
    await asyncio.wait_for(kept.wait(), LIMIT_S)
    cancelling = asyncio.create_task(site.network.cancel(job.id))
    await asyncio.sleep(0.05)
    gate.set()
    view = await asyncio.wait_for(cancelling, LIMIT_S)
    assert (view.state, last(view)[0]) == ("done", "deinst_not_modified")


async def test_job_that_cannot_even_be_stopped_ends_all_the_same(site: Site, monkeypatch: Any) -> None:
    async def broken(self: Any) -> str:
        raise KeyError("odd")

    monkeypatch.setattr("meterkast_drivers.zwave.inclusion.Inclusion.abort", broken)
    await site.connect()
    job = await site.searching()
    view = await asyncio.wait_for(site.network.cancel(job.id), LIMIT_S)
    assert view.state == "failed"
    assert "could not be stopped in order (KeyError)" in last(view)[1]


async def test_of_two_jobs_at_once_one_is_refused(site: Site) -> None:
    await site.connect()
    outcomes = await asyncio.gather(site.start("include"), site.start("exclude"), return_exceptions=True)
    assert [type(one) for one in outcomes] == [JobView, RefusedError]


# ------------------------------------------------------------------------------------------ BeNext's endings


async def test_no_sis_and_no_space(site: Site) -> None:
    await site.connect(isPrimary=False, isSISPresent=False)
    view = await site.ended((await site.start("include")).id)
    assert last(view)[0] == "install_no_sis"
    assert "may not add devices" in last(view)[1]
    site.network.detach()
    await site.connect(*(described(node) for node in range(2, 233)))
    view = await site.ended((await site.start("include")).id)
    assert last(view)[0] == "install_no_space"
    assert "controller.begin_inclusion" not in site.server.told


async def test_busy_stick_is_waited_for_then_its_server_is_started_anew(site: Site) -> None:
    site.server.answers["controller.begin_inclusion"] = {"success": False}
    await site.connect()
    view = await site.ended((await site.start("include")).id)
    assert last(view)[0] == "install_busy"
    assert "its server was started anew" in last(view)[1]
    assert any("The stick is busy. It is waited for" in one.detail for one in view.steps)
    assert site.restarts == 1


async def test_stick_that_is_busy_for_a_moment_only(site: Site) -> None:
    site.network.patience.busy_s = 30.0
    site.server.answers["controller.begin_inclusion"] = [{"success": False}, {"success": False}]
    await site.connect()
    await site.searching()
    assert (site.restarts, site.server.looking) == (0, {"inclusion"})


async def test_device_that_tells_nothing_of_use(site: Site) -> None:
    link = await site.connect()
    job = await site.searching(security="none")
    link.added(described(5, ready=False))
    await site.said(job.id, "install_configuring")
    link.tell("ready", nodeId=5, nodeState=described(5))
    view = await site.ended(job.id)
    assert last(view)[0] == "install_unknown_dev"
    assert "nothing to read and nothing to switch" in last(view)[1]


@pytest.mark.parametrize(
    ("listening", "events", "word", "sentence"),
    [
        (True, ["dead"], "conf_fail_l", "Device 5 stopped answering. It is in the network. Check its power"),
        (False, ["dead"], "conf_fail_w", "Device 5 stopped answering."),
        (True, [], "conf_fail_l", "Device 5 did not answer in time."),
        (False, ["sleep"], "rwu_fail", "the rest is asked by itself whenever it wakes up"),
    ],
)
async def test_device_that_is_lost_while_it_is_asked(
    site: Site, listening: bool, events: list[str], word: str, sentence: str
) -> None:
    link = await site.connect()
    job = await site.searching(security="none")
    link.added(described(5, listening=listening, ready=False))
    await site.said(job.id, "install_configuring")
    for event in events:
        link.tell(event, nodeId=5)
    view = await site.ended(job.id)
    assert last(view)[0] == f"install_{word}"
    assert sentence in last(view)[1]


async def test_device_that_wakes_and_sleeps_for_ever_does_not_hold_the_job(site: Site) -> None:
    patience = site.network.patience
    patience.whole_interview_s, patience.interview_s, patience.wake_s = 0.5, 30.0, 30.0
    link = await site.connect()
    job = await site.searching(security="none")
    link.added(described(5, listening=False, ready=False))
    await site.said(job.id, "install_configuring")

    async def flap() -> None:
        while True:
            link.tell("sleep", nodeId=5)
            await asyncio.sleep(0.02)
            link.tell("wake up", nodeId=5)
            await asyncio.sleep(0.02)

    flapping = asyncio.create_task(flap())
    try:
        assert (await site.ended(job.id)).state == "failed"
    finally:
        flapping.cancel()


async def test_sleeping_device_that_is_asked_again_is_woken_by_a_person(site: Site) -> None:
    link = await site.connect(described(7, listening=False, status=ASLEEP))
    job = await site.start("interview", node=7)
    await wait_for(lambda: "node.refresh_info" in site.server.told)
    link.tell("interview started", nodeId=7)
    view = await site.ended(job.id)
    assert any("Wake it up: press its button" in one.detail for one in view.steps)
    assert last(view)[0] == "install_rwu_fail"


async def test_interview_that_the_server_does_not_begin_is_no_success(site: Site) -> None:
    await site.connect(described(7))
    view = await site.ended((await site.start("interview", node=7)).id)
    assert last(view)[0] == "install_busy"


# -------------------------------------------------------------------------------------------------- security


async def test_nobody_at_the_button_after_a_failed_key_exchange(site: Site) -> None:
    link = await site.connect()
    site.server.answers["node.ping"] = {"responded": True}
    job = await site.searching()
    link.added(described(5, ready=False), lowSecurity=True, lowSecurityReason=3)
    view = await site.ended(job.id)
    assert view.state == "failed"
    assert last(view)[0] == "deinst_timeout"
    assert "Device 5 is still in the network, without security" in last(view)[1]


@pytest.mark.parametrize("how", ["lost", "refused"])
async def test_device_without_security_is_told_of_whatever_happens_next(site: Site, how: str) -> None:
    link = await site.connect()
    site.network.patience.rescue_s = 30.0
    site.server.answers["node.ping"] = {"responded": True}
    if how == "refused":
        site.server.answers["controller.begin_exclusion"] = RefusedError("no", hint="Never.")
    job = await site.searching()
    link.added(described(5, ready=False), lowSecurity=True, lowSecurityReason=3)
    if how == "lost":
        await site.said(job.id, "deinst_searching")
        link.lose()
    view = await site.ended(job.id)
    assert view.state == "failed"
    assert "Device 5 is still in the network, without security" in last(view)[1]


async def test_refused_grant_waits_for_what_becomes_of_the_device(site: Site) -> None:
    link = await site.connect()
    site.network.patience.exchange_s = 30.0
    site.server.answers["controller.grant_security_classes"] = RefusedError("too late", hint="")
    job = await site.searching()
    link.tell("node found", node={"id": 5})
    link.tell("grant security classes", requested={"securityClasses": [0, 1], "clientSideAuth": False})
    await wait_for(lambda: "controller.grant_security_classes" in site.server.told)
    link.added(described(5, ready=False), lowSecurity=True, lowSecurityReason=0)
    view = await site.ended(job.id)
    assert any(one.status == "install_sec_hs_fail" for one in view.steps)


async def test_device_without_s2_in_the_place_of_one_with_a_code(site: Site) -> None:
    link = await site.connect()
    site.server.answers["utils.parse_qr_code_string"] = {"qrProvisioningInformation": QR}
    job = await site.searching(code="9000" + "1" * 50)
    link.added(described(5, ready=False))
    view = await site.ended(job.id)
    assert "The device has no S2 security" in " ".join(one.detail for one in view.steps)


async def test_qr_code_without_smart_start_goes_with_the_order_and_spares_the_pin(site: Site) -> None:
    await site.connect()
    site.server.answers["utils.parse_qr_code_string"] = {"qrProvisioningInformation": QR}
    job = await site.searching(code=" 9000" + "1" * 25 + "\n" + "1" * 25)
    options = site.server.newest["controller.begin_inclusion"]["options"]
    assert options == {"strategy": 4, "provisioning": "9000" + "1" * 50}
    await site.network.cancel(job.id)


async def test_whole_dsk_of_another_device_is_refused(site: Site) -> None:
    link = await site.connect()
    site.network.patience.exchange_s = 30.0
    job = await site.searching()
    link.tell("node found", node={"id": 5})
    rest = "-11111-22222-33333-44444-55555-00000-12345"
    link.tell("validate dsk and enter pin", dsk=rest)
    await site.until(job.id, lambda view: view.asks == "pin")
    with pytest.raises(RefusedError, match="another device's label"):
        await site.network.answer(job.id, f"54321{rest[:-1]}9")
    for text in ("1234", "123456", "12 34", "abcde", "", "١٢٣٤٥"):
        with pytest.raises(RefusedError, match="is no PIN"):
            await site.network.answer(job.id, text)
    view = await site.network.answer(job.id, f"54321{rest}")
    assert view.asks == ""
    with pytest.raises(RefusedError, match="asks nothing"):
        await site.network.answer(job.id, "54321")
    await site.network.cancel(job.id)


# ---------------------------------------------------------------------------- taking out, healing, saving


async def test_sleeping_device_is_not_struck_off_by_mistake(site: Site) -> None:
    await site.connect(described(7, listening=False, status=ASLEEP))
    site.server.answers["node.ping"] = {"responded": False}
    view = await site.ended((await site.start("remove", node=7)).id)
    assert last(view)[0] == "deinst_aborted"
    assert "it sleeps, and was heard not long ago" in last(view)[1]
    assert "controller.remove_failed_node" not in site.server.told
    for asleep, status in ((True, NodeStatus.AVAILABLE), (False, NodeStatus.NO_CONNECTION)):
        site.devices.get(7).status = status  # type: ignore[union-attr]
        site.server.told.clear()
        await site.ended((await site.start("remove", node=7, asleep=asleep)).id)
        assert "controller.remove_failed_node" in site.server.told


async def test_device_that_stays_on_the_sticks_list_is_not_called_removed(site: Site) -> None:
    await site.connect(described(7))
    site.server.answers["node.ping"] = {"responded": False}
    view = await site.ended((await site.start("remove", node=7)).id)
    assert (view.state, last(view)[0]) == ("failed", "deinst_proto_fail")
    assert "could not be removed" in last(view)[1]


async def test_product_without_a_device_is_not_excluded(site: Site) -> None:
    await site.connect(described(7))
    await site.shelf.declare(
        jobs.ProductDescription(identity="product:1", name="Meter", medium=jobs.Medium.OTHER), []
    )
    view = await site.ended((await site.start("exclude", product="Meter")).id)
    assert last(view) == (
        "deinst_not_modified",
        '"Meter" has no device, so none is taken out. `meterkast zwave nodes` lists what is in the network.',
    )
    assert "controller.begin_exclusion" not in site.server.told


async def test_device_that_goes_by_itself_is_not_the_one_at_the_button(site: Site) -> None:
    link = await site.connect(described(7), described(8))
    job = await site.searching("exclude")
    link.removed(7, reason=6)
    link.tell("exclusion stopped")
    link.removed(8)
    assert "Device 8 is out" in last(await site.ended(job.id))[1]


async def test_healing_that_is_cancelled_is_stopped(site: Site) -> None:
    site.network.patience.heal_s = 30.0
    site.server.answers["controller.begin_rebuilding_routes"] = {"success": True}
    site.server.answers["controller.stop_rebuilding_routes"] = {"success": True}
    link = await site.connect(described(7))
    job = await site.start("heal")
    await site.said(job.id, "heal_running")
    link.tell("rebuild routes progress", progress={"7": "pending"})
    view = await site.network.cancel(job.id)
    assert last(view) == ("heal_aborted", "Healing has stopped.")
    assert "controller.stop_rebuilding_routes" in site.server.told


LEFT_OUT = "left out (asleep, or no longer there)."


@pytest.mark.parametrize(
    ("outcome", "counted", "sentence"),
    [
        (
            {"7": "done", "8": "done", "9": "skipped"},
            "2 of 2 devices are done.",
            f"2 of 2 devices know their way to the stick again. 1 more was {LEFT_OUT}",
        ),
        (
            {"7": "done", "8": "skipped", "9": "skipped"},
            "1 of 1 devices is done.",
            f"1 of 1 devices knows its way to the stick again. 2 more were {LEFT_OUT}",
        ),
        (
            {"7": "done", "8": "failed", "9": "done"},
            "3 of 3 devices are done.",
            "2 of 3 devices know their way to the stick again. Not so: 8. Check their power and place.",
        ),
    ],
)
async def test_healing_counts_each_device_once(
    site: Site, outcome: dict[str, str], counted: str, sentence: str
) -> None:
    site.network.patience.heal_s = 30.0
    site.server.answers["controller.begin_rebuilding_routes"] = {"success": True}
    link = await site.connect(described(7), described(8), described(9))
    job = await site.start("heal")
    await site.said(job.id, "heal_running")
    begun = {node: status if status == "skipped" else "pending" for node, status in outcome.items()}
    link.tell("rebuild routes progress", progress=begun)
    link.tell("rebuild routes progress", progress=outcome)
    link.tell("rebuild routes done", result=outcome)
    view = await site.ended(job.id)
    assert [one.detail for one in view.steps if one.status == "heal_running"][1:] == [counted]
    assert last(view)[1] == sentence


async def test_a_backup_is_told_with_its_whole_path(site: Site, tmp_path: Path) -> None:
    site.server.answers["controller.backup_nvm_raw"] = {"nvmData": "AAECAw=="}
    await site.connect(supportedFunctionTypes=[0x2E])
    view = await site.ended((await site.start("backup")).id)
    (file,) = (tmp_path / "backups").iterdir()
    assert last(view) == ("backup_success", f"The stick's memory is saved as {file}.")
    await site.connect(described(7), supportedFunctionTypes=[0x2E])
    view = await site.searching()
    assert any(f"saved as {tmp_path}/backups/nvm-" in one.detail for one in view.steps)


async def test_a_device_is_added_where_it_will_stay_and_else_near_the_stick(site: Site) -> None:
    await site.connect()
    view = await site.searching()
    said = last(view)[1]
    assert "where it will stay" in said
    assert "If it is not heard there: add it within a metre of the stick" in said
    assert "`meterkast zwave heal NODE`" in said


async def test_backup_that_fails_is_told_and_stops_no_other_job(site: Site) -> None:
    site.server.answers["controller.backup_nvm_raw"] = RefusedError("the stick said no", hint="Try again.")
    await site.connect(supportedFunctionTypes=[0x2E])
    view = await site.ended((await site.start("backup")).id)
    assert last(view) == ("backup_fail", "No backup: the stick said no. Try again.")
    view = await site.searching()
    assert any(one.detail.startswith("Warning: the stick's memory could not be saved") for one in view.steps)


async def test_backup_that_is_never_answered(site: Site) -> None:
    site.server.answers["controller.backup_nvm_raw"] = asyncio.Event()
    await site.connect(supportedFunctionTypes=[0x2E])
    view = await site.ended((await site.start("backup")).id)
    assert (view.state, last(view)[0]) == ("failed", "backup_fail")


async def test_stick_that_gives_no_backup(site: Site) -> None:
    await site.connect(supportedFunctionTypes=[1, 2])
    view = await site.ended((await site.start("backup")).id)
    assert last(view)[1].startswith("No backup: this stick does not give its memory. Keep a list")


async def test_no_name_is_longer_than_a_label(site: Site) -> None:
    await site.connect()
    for name in (" ", "x" * 101, "9" * 5000):
        with pytest.raises(RefusedError, match="product"):
            await site.start("include", product=name)
