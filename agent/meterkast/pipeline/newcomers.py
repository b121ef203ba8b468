"""Devices of a network that were never asked to the end what they can do: none of their values is read."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Set
from typing import TYPE_CHECKING

from meterkast.model.product import Availability
from meterkast.pipeline.health import Problem
from meterkast.ports.clock import Clock

if TYPE_CHECKING:
    # Its classes cost memory, and only a network has them.
    from meterkast.network import Network, NodeView

log = logging.getLogger(__name__)

PATIENCE_S = 600.0
"""So long an interview may take, in real time: it is the radio that is slow."""

_WAKE_UPS = 2


class Newcomers:
    """Remembers since when each device is not ready; in real seconds.

    Args:
        networks: By the driver's name.
        clock: Wake-up intervals are in its time.
    """

    def __init__(self, networks: Mapping[str, Network], clock: Clock) -> None:
        self._networks = networks
        self._clock = clock
        self._broken: set[str] = set()
        self._since: dict[tuple[str, int], float] = {}
        self._late: list[NodeView] = []

    def look(self, reading: Set[str]) -> None:
        """Look at the devices of those drivers; of others nothing is known while they read nothing."""
        now_s = self._clock.boot_ns() / self._clock.speed / 1e9
        waiting: dict[tuple[str, int], NodeView] = {}
        for name, network in self._networks.items():
            if name not in reading:
                continue
            try:
                waiting |= {(name, one.node): one for one in network.nodes() if _is_unknown(one)}
                self._broken.discard(name)
            except Exception:  # a driver's fault must end neither the gateway nor the page
                if name not in self._broken:
                    log.exception("devices not examined", extra={"driver": name})
                self._broken.add(name)
        unseen = self._broken | (self._networks.keys() - reading)
        left = {key: since for key, since in self._since.items() if key[0] in unseen}
        self._since = left | {key: self._since.get(key, now_s) for key in waiting}
        self._late = [one for key, one in waiting.items() if now_s - self._since[key] > self._patience_s(one)]

    def problems(self) -> list[Problem]:
        """Those that take too long, and drivers whose devices cannot be looked at."""
        broken = [
            Problem(
                severity="attention",
                where=name,
                what=f"The devices of {name} could not be examined: one that is not read would not be told.",
                do="Please report this, with the log.",
            )
            for name in sorted(self._broken)
        ]
        return broken + [
            Problem(
                severity="attention",
                where=one.name or f"device {one.node}",
                what=f"{_named(one)} was not interviewed to the end, so its values are not read. {_why(one)}",
                do=_cure(one),
            )
            for one in self._late
        ]

    def _patience_s(self, one: NodeView) -> float:
        return max(PATIENCE_S, _WAKE_UPS * (one.wake_up_s or 0) / self._clock.speed)


def _is_unknown(one: NodeView) -> bool:
    """A product that cannot be reached is told as such already."""
    if one.product_id is None:
        return True
    return not one.ready and one.availability != Availability.UNREACHABLE.value


def _named(one: NodeView) -> str:
    return f'Device {one.node}, "{one.name}",' if one.name else f"Device {one.node} of the Z-Wave network"


def _why(one: NodeView) -> str:
    return "It sleeps." if one.state == "asleep" else "It does not answer." if one.state == "dead" else ""


def _cure(one: NodeView) -> str:
    out = "or take it out: `meterkast zwave exclude`."
    if one.state == "asleep":
        return f"Wake it up by its button; {out}"
    if one.state == "dead":
        return f"Check its power; or remove it: `meterkast zwave remove {one.node}`."
    return f"Ask it again, close to the stick: `meterkast zwave interview {one.node}`; {out}"
