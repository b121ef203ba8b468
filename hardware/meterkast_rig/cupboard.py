"""A whole simulated cupboard: the P1 meter's line, the Z-Wave stick, and stand-ins for both platforms."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meterkast.clock import FastClock
from meterkast.model.time import UtcMs
from meterkast_rig import configuration, demo_uplinks, demo_zwave, reset, wattics, zwave
from meterkast_rig.compare_sources import Causes, Clocks, Sides, Spell
from meterkast_rig.configuration import Section
from meterkast_rig.p1_line import P1Line
from meterkast_rig.p1_line import serving as p1_line
from meterkast_rig.p1_meter import SimulatedMeter

Devices = Mapping[int, tuple[str, str]]
"""Node number: kind in the rig, and name in the gateway."""

_DELIVERED_S = 5.0
"""Of real time; a half-hour that ended longer ago than this and its grace must have arrived."""

_GRACE_MS = 90_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Cupboard:
    """Everything outside the gateway, running.

    Attributes:
        folder: Where the gateway's configuration and its database are.
        monitors, meters: At the platforms, besides the demo's.
        report_s: How often the gateway has the devices report, at least.
    """

    folder: Path
    clock: FastClock
    meter: SimulatedMeter
    line: P1Line
    stick: zwave.Stick
    reset: reset.ResetStandIn
    wattics: wattics.WatticsStandIn
    devices: Devices
    monitors: Sequence[Section]
    meters: Sequence[Section]
    report_s: int

    def configuration(self, **of_reset: float) -> dict[str, Any]:
        """The gateway's.

        Args:
            of_reset: Settings of `[uplinks.reset]`.
        """
        names = {node: name for node, (_, name) in self.devices.items()}
        driver = configuration.zwave(self.stick.url, self.folder, names, report_s=self.report_s)
        uplinks = {
            "reset": configuration.reset(
                self.reset.url,
                [*demo_uplinks.MONITORS, *demo_zwave.MONITORS, *self.monitors],
                counters="restart",  # as the devices show them: what is received is held against that
                **of_reset,
            ),
            "wattics": configuration.wattics(self.wattics.url, _all(self.meters)),
        }
        return configuration.gateway(self.folder, drivers={"zwave": driver}, uplinks=uplinks)

    async def sides(
        self,
        clocks: Clocks,
        ended_ms: float,
        *,
        tolerance_s: float,
        deaf: Sequence[Spell] = (),
        off: Sequence[Spell] = (),
    ) -> Sides:
        """What was shown and what was received, to be compared.

        Args:
            ended_ms: When the gateway was stopped, in real time.
            tolerance_s: How well its clock is known, in real time.
            deaf, off: See `Sides`.
        """
        return Sides(
            clocks=clocks,
            records=await self.stick.shown(),
            meter=self.meter,
            sent=list(self.line.sent),
            at_reset=await self.reset.received(),
            at_wattics=await self.wattics.received(),
            causes=Causes(self.folder / "meterkast.db"),
            until_ms=UtcMs(
                clocks.gateway_ms(ended_ms - _DELIVERED_S * 1000) - self.clock.allowance_ms(_GRACE_MS)
            ),
            tolerance_ms=round(tolerance_s * 1000 * self.clock.speed),
            hold_ms=2 * self.report_s * 1000,
            deaf=deaf,
            off=off,
        )


@contextlib.asynccontextmanager
async def opened(
    folder: Path,
    clock: FastClock,
    *,
    seed: int,
    period_s: int,
    report_s: int,
    devices: Devices = demo_zwave.DEVICES,
    monitors: Sequence[Section] = (),
    meters: Sequence[Section] = (),
) -> AsyncIterator[Cupboard]:
    """A cupboard while the block lasts.

    Args:
        folder: Its path must be short: the sockets of the gateway and of its Z-Wave server are in it.
        seed: Of the simulated household and devices.
        period_s: Between two reports of a device, in its own time.
        report_s, monitors, meters: See `Cupboard`.

    Raises:
        ConfigError: No Node.js, or its packages cannot be installed.
    """
    meter = SimulatedMeter(seed=seed)
    keys = zwave.write_keys(folder / "zwave" / "keys.json")
    network = ",".join(f"{kind}:{node}" for node, (kind, _) in devices.items())
    async with (
        reset.serving() as at_reset,
        wattics.serving(meters=[one["id"] for one in _all(meters)]) as at_wattics,
        zwave.serving(
            devices=network,
            seed=seed,
            speed=clock.speed,
            start=clock.now_ms(),
            period_s=period_s,
            keys=keys,
        ) as stick,
        p1_line(meter, clock, link=folder / "p1") as line,
    ):
        yield Cupboard(
            folder=folder,
            clock=clock,
            meter=meter,
            line=line,
            stick=stick,
            reset=at_reset,
            wattics=at_wattics,
            devices=devices,
            monitors=monitors,
            meters=meters,
            report_s=report_s,
        )


def _all(meters: Sequence[Section]) -> list[Section]:
    return [*demo_uplinks.METERS, *demo_zwave.METERS, *meters]
