"""No order is left as being sent when nobody sends it: whatever fails, its status says how it ended."""

from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest

from meterkast.model.errors import RefusedError, StorageError
from meterkast.network import WriteRequest
from meterkast_drivers.zwave import errands, sending

VALVE, PLUG = 9, 5


async def under_way(cupboard: Any, kinds: Any) -> asyncio.Task[Any]:
    """An order that was sent, and that the server does not answer."""
    await cupboard.connect(kinds.plug(PLUG))
    cupboard.server.answers["node.set_value"] = asyncio.Event()
    order: asyncio.Task[Any] = cupboard.writing(PLUG, "switch", "on")
    await cupboard.sent(1)
    return order


async def test_link_lost_while_sending_is_told(cupboard: Any, kinds: Any) -> None:
    order = await under_way(cupboard, kinds)
    await cupboard.lose()
    failed = await order
    assert failed.status == "failed"
    assert "The connection was lost while it was being sent" in failed.detail
    assert await cupboard.stored() == ["failed"]


async def test_server_and_device_that_do_not_answer_are_told(cupboard: Any, kinds: Any) -> None:
    await cupboard.connect(kinds.plug(PLUG))
    cupboard.driver.network.patience.send_s = 0.05
    cupboard.server.answers["node.set_value"] = asyncio.Event()
    failed = await cupboard.write(PLUG, "switch", "on")
    assert failed.status == "failed"
    assert failed.detail.startswith("Neither device nor server answered in time.")


async def test_device_removed_while_sending_is_told(cupboard: Any, kinds: Any) -> None:
    await cupboard.connect(kinds.plug(PLUG), kinds.valve(VALVE))
    cupboard.server.answers["node.set_value"] = gate = asyncio.Event()
    cupboard.server.status = 254  # acknowledged by radio alone
    order = cupboard.writing(PLUG, "switch", "on")
    await cupboard.sent(1)
    cupboard.link.removed(PLUG)
    await cupboard.until(lambda: cupboard.driver.devices.get(PLUG) is None, "removed")
    gate.set()
    assert (await order).status == "failed"
    assert await cupboard.stored() == ["failed"]


async def test_what_waits_for_a_device_that_is_removed_is_given_up_at_once(cupboard: Any, kinds: Any) -> None:
    setpoints = (kinds.setpoint(18), kinds.value(64, "mode", value=0, writeable=True, states={"1": "Heat"}))
    await cupboard.connect(kinds.of(VALVE, *setpoints, isListening=False, status=1), kinds.valve(8))
    await cupboard.write(VALVE, "setpoint_heating", "21")
    await cupboard.write(VALVE, "mode", "heat")
    await cupboard.write(8, "setpoint_heating", "22")
    cupboard.server.answers["node.set_value"] = gate = asyncio.Event()
    cupboard.link.tell("wake up", VALVE)
    await cupboard.sent(1)
    cupboard.link.removed(VALVE)  # while the first of them is being sent
    gone = "The device was taken out of the network."
    await cupboard.until_stored(lambda rows: rows[1].detail == gone)
    gate.set()
    await cupboard.until_stored(lambda rows: [one.status for one in rows] == ["done", "failed", "wakeup"])


async def test_what_was_being_sent_when_the_gateway_died_has_failed(cupboard: Any, kinds: Any) -> None:
    order = await under_way(cupboard, kinds)
    await cupboard.crash()
    await order
    assert await cupboard.stored() == ["sending"]
    # Also where the stick does not come back.
    (failed,) = await cupboard.listed()
    assert failed.status == "failed"
    assert failed.detail == "The gateway stopped while it was being sent: look at the device."
    assert await cupboard.stored() == ["failed"]


async def test_what_was_being_sent_has_failed_though_the_database_does_not_take_it_yet(
    cupboard: Any, kinds: Any
) -> None:
    order = await under_way(cupboard, kinds)
    await cupboard.crash()
    await order
    cupboard.disk.full = {"update_pending"}
    await cupboard.connect(kinds.plug(PLUG))
    assert [one.status for one in await cupboard.listed()] == ["failed"]
    assert await cupboard.stored() == ["sending"]
    cupboard.disk.full.clear()
    await cupboard.until_stored(lambda rows: rows[0].status == "failed")


async def test_clean_stop_of_the_gateway_while_sending_is_told(cupboard: Any, kinds: Any) -> None:
    await cupboard.connect(kinds.valve(VALVE))
    await cupboard.write(VALVE, "setpoint_heating", "21")
    cupboard.server.answers["node.set_value"] = asyncio.Event()
    cupboard.link.tell("wake up", VALVE)
    await cupboard.sent(1)
    await cupboard.stop()
    (row,) = await cupboard.disk.pendings(open_only=False)
    assert row.description.status == "failed"
    assert row.description.detail == "The gateway stopped while it was being sent: look at the device."


async def test_end_that_the_database_refuses_is_true_and_stored_later(
    cupboard: Any, kinds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await cupboard.connect(kinds.plug(PLUG))
    cupboard.disk.full = {"update_pending"}
    done = await cupboard.write(PLUG, "switch", "on")
    assert done.status == "done"
    assert [one.status for one in await cupboard.listed()] == ["done"]
    (told,) = [one for one in caplog.records if one.message.startswith("status of a value not stored")]
    assert (told.value, told.status) == (done.id, "done")  # type: ignore[attr-defined]
    assert await cupboard.stored() == ["sending"]
    refused = cupboard.disk.refused
    await cupboard.until(lambda: cupboard.disk.refused > refused + 1, "tried again and again")
    cupboard.disk.full.clear()
    await cupboard.until_stored(lambda rows: rows[0].status == "done")


async def test_fault_of_ours_while_sending_is_told_and_does_not_keep_the_others(
    cupboard: Any, kinds: Any, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    mode = kinds.value(64, "mode", value=0, writeable=True, states={"0": "Off", "1": "Heat"})
    await cupboard.connect(kinds.of(VALVE, kinds.setpoint(18), mode, isListening=False, status=1))
    first = await cupboard.write(VALVE, "setpoint_heating", "21")
    await cupboard.write(VALVE, "mode", "heat")
    shown = sending.shown
    monkeypatch.setattr(
        sending, "shown", lambda device, one: 1 / 0 if one.value.command_class == 67 else shown(device, one)
    )
    cupboard.link.tell("wake up", VALVE)
    failed, done = await cupboard.told("failed", "done")
    assert failed.detail.startswith("The gateway failed at it; its log tells how.")
    assert cupboard.server.sent == [(VALVE, "mode", 1)]
    (told,) = [one for one in caplog.records if one.message == "value not sent"]
    assert (told.levelno, told.node, told.value) == (logging.ERROR, VALVE, first.id)  # type: ignore[attr-defined]
    assert told.exc_info is not None
    assert done.detail == ""


async def test_value_that_cannot_be_marked_as_being_sent_goes_on_waiting(
    cupboard: Any, kinds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await cupboard.connect(kinds.valve(VALVE))
    await cupboard.write(VALVE, "setpoint_heating", "21")
    cupboard.disk.full = {"update_pending"}
    cupboard.link.tell("wake up", VALVE)
    await cupboard.until(lambda: "values on their way not sent" in caplog.messages, "told")
    assert [one.status for one in await cupboard.listed()] == ["wakeup"]
    assert cupboard.server.sent == []
    cupboard.disk.full.clear()
    cupboard.link.tell("wake up", VALVE)
    await cupboard.told("done")
    assert cupboard.server.sent == [(VALVE, "setpoint", 21)]


async def test_what_waits_is_taken_up_when_the_database_reads_again(
    cupboard: Any, kinds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    await cupboard.connect(kinds.valve(VALVE))
    await cupboard.write(VALVE, "setpoint_heating", "21")
    await cupboard.stop()
    cupboard.begin()
    cupboard.disk.full = {"pendings"}
    await cupboard.connect(kinds.valve(VALVE, status=2))  # awake
    await cupboard.until(lambda: "values on their way not read, tried again" in caplog.messages, "told")
    with pytest.raises(StorageError):
        await cupboard.write(VALVE, "setpoint_heating", "22")
    assert cupboard.server.sent == []
    cupboard.disk.full.clear()
    await cupboard.told("done")


async def test_server_that_takes_no_options_is_told_and_written_to(
    cupboard: Any, kinds: Any, caplog: pytest.LogCaptureFixture
) -> None:
    cupboard.server.answers["driver.update_options"] = RefusedError("unknown command", hint="")
    await cupboard.connect(kinds.plug(PLUG))
    assert (await cupboard.write(PLUG, "switch", "on")).status == "done"
    assert "options of the Z-Wave server" in caplog.messages


async def test_order_that_comes_before_the_server_is_ready_waits_for_it(cupboard: Any, kinds: Any) -> None:
    cupboard.server.answers["driver.update_options"] = ready = asyncio.Event()
    await cupboard.connect(kinds.plug(PLUG))
    order = cupboard.writing(PLUG, "switch", "on")
    done, _ = await asyncio.wait({order}, timeout=0.3)
    assert not done
    assert await cupboard.stored() == []
    ready.set()
    assert (await order).status == "done"


async def test_link_lost_before_the_order_is_sent(cupboard: Any, kinds: Any, monkeypatch: Any) -> None:
    await cupboard.connect(kinds.plug(PLUG))
    pend = cupboard.disk.pend

    async def slow(description: Any) -> Any:
        made = await pend(description)
        await cupboard.lose()
        return made

    monkeypatch.setattr(cupboard.disk, "pend", slow, raising=False)
    failed = await cupboard.write(PLUG, "switch", "on")
    assert (failed.status, cupboard.server.sent) == ("failed", [])
    with pytest.raises(RefusedError, match="cannot be reached: the Z-Wave server is not connected"):
        await cupboard.driver.network.write(
            WriteRequest(property_id=cupboard.property(PLUG, "switch"), value="on")
        )


async def test_device_removed_before_the_order_is_sent(cupboard: Any, kinds: Any, monkeypatch: Any) -> None:
    await cupboard.connect(kinds.plug(PLUG))
    pend = cupboard.disk.pend

    async def slow(description: Any) -> Any:
        made = await pend(description)
        cupboard.link.removed(PLUG)
        return made

    monkeypatch.setattr(cupboard.disk, "pend", slow, raising=False)
    failed = await cupboard.write(PLUG, "switch", "on")
    assert (failed.status, failed.detail) == ("failed", "the device is not in the network now.")
    assert cupboard.server.sent == []


async def test_order_before_the_first_connection_is_refused(cupboard: Any) -> None:
    with pytest.raises(RefusedError, match="not of a Z-Wave device that is known now"):
        await cupboard.driver.network.write(WriteRequest(property_id=1, value="on"))


async def test_status_that_is_stored_later_does_not_undo_a_newer_one(
    cupboard: Any, kinds: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(errands, "RETRY_S", 0.3)
    await cupboard.connect(kinds.valve(VALVE, status=2))  # awake
    cupboard.server.answers["node.set_value"] = gate = asyncio.Event()
    order = cupboard.writing(VALVE, "setpoint_heating", "21")
    await cupboard.sent(1)
    cupboard.disk.full = {"update_pending"}
    cupboard.link.tell("sleep", VALVE)
    assert (await order).status == "wakeup"
    cupboard.disk.full.clear()
    gate.set()
    cupboard.link.tell("wake up", VALVE)
    await cupboard.told("done")
    tasks = cupboard.driver.network._commands._errands._tasks
    await cupboard.until(lambda: not tasks, "nothing left to be stored")
    assert await cupboard.stored() == ["done"]
