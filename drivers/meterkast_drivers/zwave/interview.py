"""After a device was added it is asked for its abilities: the interview, which every kind of adding ends
with.
"""

from __future__ import annotations

import asyncio
from typing import Any

from meterkast_drivers.zwave import library  # noqa: F401

# isort: split
# `library` has to be imported before this.
from zwave_js_server.const import NodeStatus

from meterkast_drivers.zwave.hearing import Hearing
from meterkast_drivers.zwave.job import EndedError, Job
from meterkast_drivers.zwave.means import Means

WAKE = (
    "The device is asleep, and not all was asked. Wake it up: press its button once, or as its manual says. "
    "Keep it close to the stick."
)
_LATER = "It is in the network, and the rest is asked by itself whenever it wakes up: its values come then."


async def interview(job: Job, means: Means, hearing: Hearing, live: Any) -> None:
    """Wait until the device has told everything.

    Raises:
        EndedError: It went to sleep too early, stopped answering, or the server gave up.
        LinkLostError: The connection was lost.
    """
    node, patience, loop = live.node_id, means.patience, asyncio.get_running_loop()
    asleep = live.status == NodeStatus.ASLEEP
    await job.say("configuring", f"Device {node} is asked what it can do. Leave it close to the stick.")
    if asleep and not live.ready:
        job.waits(patience.wake_s)
        await job.say("configuring", WAKE)
    last_s = loop.time() + patience.whole_interview_s
    until_s = loop.time() + (patience.wake_s if asleep else patience.interview_s)
    while not live.ready:
        heard = await hearing.next(min(until_s, last_s) - loop.time())
        if heard is None:
            job.waits(None)
            if asleep:
                raise EndedError("rwu_fail", f"Device {node} is asleep. {_LATER}")
            raise EndedError(_gone(live), f"Device {node} did not answer in time. {_advice(live)}")
        if heard.get("nodeId", node) != node:
            continue
        match heard["event"]:
            case "ready":
                return
            case "sleep" if not asleep:
                asleep, until_s = True, loop.time() + patience.wake_s
                job.waits(patience.wake_s)
                await job.say("configuring", WAKE)
            case "wake up" | "alive" | "interview stage completed":
                asleep, until_s = False, loop.time() + patience.interview_s
                job.waits(None)
            case "dead":
                raise EndedError(_gone(live), f"Device {node} stopped answering. {_advice(live)}")
            case "interview failed" if heard.get("args", {}).get("isFinal", True):
                raise EndedError(_gone(live), f"Device {node} did not tell all it can do. {_advice(live)}")
            case "node removed" if heard["node"].node_id == node:
                raise EndedError("internal", f"Device {node} was taken out by somebody else meanwhile.")


def _gone(live: Any) -> str:
    """BeNext's word for a device that stopped answering."""
    return "conf_fail_l" if live.is_listening or live.is_frequent_listening else "conf_fail_w"


def _advice(live: Any) -> str:
    return (
        f"It is in the network. Check its power and bring it closer, then ask it again: "
        f"`meterkast zwave interview {live.node_id}`."
    )
