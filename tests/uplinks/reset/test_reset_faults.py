"""Faults between the gateway and the RESET stand-in: readings are kept, sent again, and arrive once."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meterkast.model.errors import MisconfiguredError, NotDeliveredError, RejectedError
from meterkast_rig.reset import ResetStandIn

# A module's tests share the stand-in, and the event loop it was started in.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"lost_acks": 1}, "did not answer `readings`"),
        ({"lost_messages": 1}, "did not answer `readings`"),
        ({"late_acks": 5}, "did not answer `readings`"),
        ({"freeze": 30}, "did not answer `readings`"),
        ({"disconnect": 1}, "lost before it answered `readings`"),
        ({"error_10500": 1}, "10500 Internal Server Error"),
    ],
    ids=["lost_acks", "lost_messages", "late_acks", "freeze", "disconnect", "error_10500"],
)
async def test_after_a_doubt_the_same_values_are_sent_again_until_acknowledged(
    server: ResetStandIn, gateway: Any, fault: dict[str, Any], says: str
) -> None:
    uplink = gateway.uplink(ack_timeout_s=0.5)
    await gateway.arrives(uplink, gateway.items(uplink))
    await server.set_faults(**fault)
    items = gateway.items(uplink, 2, begin=1)
    for _ in range(3):
        error = await gateway.fails(uplink, items)
        assert says in str(error)
        assert error.in_doubt
        if "freeze" in fault:
            break
    await server.set_faults(**dict.fromkeys(fault))
    await gateway.arrives(uplink, items)
    received = await server.received()
    assert [one["value"] for one in received["readings"]] == [84.270, 84.271, 84.272]
    assert (received["conflicts"], received["out_of_order"]) == ([], [])
    assert all("used before" not in one["message"] for one in received["refused"])
    assert received["connections"] > 1  # no answer may come for another message's


async def test_refused_connection_is_told_without_doubt(server: ResetStandIn, gateway: Any) -> None:
    await server.set_faults(refuse="connect")
    uplink = gateway.uplink()
    error = await gateway.fails(uplink, gateway.items(uplink))
    assert not error.in_doubt
    assert "127.0.0.1" in str(error)


async def test_connection_closed_by_reset_between_two_half_hours_is_made_again(
    server: ResetStandIn, gateway: Any
) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    await server.set_faults(refuse="connect")
    await gateway.until(lambda received: received["disconnects"])
    await server.set_faults(refuse=None)
    await uplink.deliver("MK1-energy", gateway.items(uplink, begin=1))
    assert await gateway.values() == [84.270, 84.271]


async def test_stop_in_the_middle_of_a_message_leaves_nothing_behind(
    server: ResetStandIn, gateway: Any
) -> None:
    await server.set_faults(lost_acks=1)
    uplink = gateway.uplink()
    delivering = asyncio.create_task(uplink.deliver("MK1-energy", gateway.items(uplink)))
    await gateway.until(lambda received: received["messages"]["monitors"])
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)
    await uplink.close()
    await gateway.until(lambda received: received["disconnects"])


@pytest.mark.slow
async def test_everything_arrives_in_order_and_once_through_all_faults_together(
    server: ResetStandIn, gateway: Any
) -> None:
    await server.set_faults(
        lost_acks=0.1,
        lost_messages=0.1,
        disconnect=0.1,
        error_10500=0.1,
        stray_errors=0.2,
        duplicate_acks=0.2,
        answer_key="mixed",
    )
    uplink = gateway.uplink(ack_timeout_s=0.3, stray_wait_s=0.1)
    done = 0
    while done < 40:
        items = gateway.items(uplink, min(4, 40 - done), begin=done)
        for _ in range(50):
            try:
                await uplink.deliver("MK1-energy", items)
                break
            except (NotDeliveredError, RejectedError, MisconfiguredError):
                continue  # a stray error and a lost ack together look like a refusal
        else:
            pytest.fail("never delivered")
        done += len(items)
    received = await server.received()
    assert [round(one["value"] * 1000) for one in received["readings"]] == [84_270 + n for n in range(40)]
    assert (received["conflicts"], received["out_of_order"], received["falls"]) == ([], [], [])
