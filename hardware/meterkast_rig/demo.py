"""`make demo`: the real gateway against a simulated meter cupboard and stand-ins for the platforms.

The meter's line and the platforms run in this process, the Z-Wave stick and the gateway each in their own, as
on a device; the gateway runs the real Z-Wave server itself. Its clock runs 120 times as fast, so that a
half-hour takes 15 seconds. At the end everything that the platforms received is held against what the devices
showed.
"""

from __future__ import annotations

import argparse
import asyncio
import socket
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from meterkast.clock import FastClock
from meterkast.model.time import UtcMs, iso_utc
from meterkast_rig import configuration, demo_gateway, demo_zwave, zwave
from meterkast_rig.compare import Findings, compare
from meterkast_rig.compare_sources import unwanted
from meterkast_rig.cupboard import Cupboard, opened
from meterkast_rig.stopping import ended_first, stop_event

PAGE_PORT = 8080
PERIOD_S = 300
"""Between two reports of a device, in its own time: six in each half-hour."""

REPORT_S = 900
_TOLERANCE_S = 1.0
"""How well the gateway's clock is known, in real time: a report takes its time on a busy machine."""

_EMPTIED_S = 50.0
_NAMED = 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """What the stand-ins have at the end, and how it compares with what was shown.

    Attributes:
        slowest_s: What the slowest answer of the gateway's page took.
    """

    received: Sequence[tuple[str, int]]
    findings: Findings
    unwanted: Sequence[str]
    slowest_s: float

    @property
    def good(self) -> bool:
        """Whether everything arrived as it was shown, once and in order."""
        return not self.findings.wrong and not self.unwanted


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `meterkast rig demo`."""
    parser.add_argument("--seconds", type=float, default=0, help="end by itself after so long (0: never)")
    parser.add_argument("--speed", type=float, default=120.0, help="how many times as fast (default 120)")
    parser.add_argument(
        "--port", type=int, default=PAGE_PORT, help="the page's port; passed over where taken"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the simulated household and devices")


def run(args: argparse.Namespace) -> int:
    """Run the demo until Ctrl-C or for the given time.

    Returns:
        0 if everything reached the stand-ins as it was shown, or it was ended by hand; 1 otherwise.
    """
    return asyncio.run(_demo(args))


async def _demo(args: argparse.Namespace) -> int:
    stop = stop_event()
    clock = FastClock(args.speed, UtcMs(time.time_ns() // 1_000_000))
    with tempfile.TemporaryDirectory(prefix="mk-demo-") as folder:
        async with opened(
            Path(folder), clock, seed=args.seed, period_s=PERIOD_S, report_s=REPORT_S
        ) as cupboard:
            outcome = await _with_gateway(cupboard, args, stop)
    if outcome is None:
        print("The gateway ended by itself; its messages are above.")
        return 1
    if stop.is_set() and not outcome.findings.right:
        print("Ended before a half-hour was delivered.")
        return 0
    _report(outcome)
    return 0 if outcome.good or stop.is_set() else 1


async def _with_gateway(cupboard: Cupboard, args: argparse.Namespace, stop: asyncio.Event) -> Outcome | None:
    """Run the gateway in the cupboard; None where it ended by itself."""
    tree = cupboard.configuration()
    page = {"port": _free(args.port)}
    config = configuration.write(cupboard.folder, {**tree, "site": {"name": "Demo cupboard"}, "page": page})
    watch = demo_gateway.Watch(args.speed)
    async with demo_gateway.running(config, args.speed, iso_utc(cupboard.clock.now_ms())) as gateway:
        assert gateway.stdout is not None
        said = (await gateway.stdout.readline()).decode().rstrip()
        watch.page = said.rpartition(" ")[2] if "http" in said else ""
        watch.clocks.note(time.time() * 1000, cupboard.clock.now_ms())  # until the page has answered
        print(said, flush=True)
        print(_announcement(cupboard, config, args), flush=True)
        helpers = [asyncio.create_task(watch.run()), asyncio.create_task(_empty_the_bin(cupboard.stick))]
        try:
            ended_early = await ended_first(gateway, stop, args.seconds or None)
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        ended_ms = time.time() * 1000
    if ended_early:
        return None
    return await _outcome(cupboard, watch, ended_ms)


def _announcement(cupboard: Cupboard, config: Path, args: argparse.Namespace) -> str:
    called = Path(sys.argv[0])
    command = str(called) if called.name == "meterkast" else f"{sys.executable} -m meterkast"
    stick = cupboard.stick
    ends = f"Ends after {args.seconds:g} s" if args.seconds else "End with Ctrl-C"
    return f"""\
  RESET stand-in:   {cupboard.reset.origin}/
  Wattics stand-in: {cupboard.wattics.origin}/
  Z-Wave stick:     {stick.url} with {len(cupboard.devices)} devices, its verbs at {stick.origin}/
  The clock runs {args.speed:g} times as fast: a half-hour takes {1800 / args.speed:g} s.
  The devices are interviewed first, which takes half a minute.
  Try, in another terminal:
    {command} zwave nodes --config {config}
    {command} zwave mapping 6 --config {config}
    curl -d '{{"id": 5}}' {stick.origin}/dead     (the water meter falls silent; /alive ends it)
  {ends}."""


async def _empty_the_bin(stick: zwave.Stick) -> None:
    """Somebody empties the paper bin, again and again."""
    while True:
        await asyncio.sleep(_EMPTIED_S)
        await stick.verb("empty", id=demo_zwave.BIN)


async def _outcome(cupboard: Cupboard, watch: demo_gateway.Watch, ended_ms: float) -> Outcome:
    sides = await cupboard.sides(watch.clocks, ended_ms, tolerance_s=_TOLERANCE_S)
    wires = [*demo_zwave.p1_wires(), *demo_zwave.zwave_wires()]
    return Outcome(
        received=_received(sides.at_reset, sides.at_wattics),
        findings=compare(sides.series(wires)),
        unwanted=unwanted(sides.at_reset, sides.at_wattics),
        slowest_s=watch.slowest_s,
    )


def _received(at_reset: Mapping[str, Any], at_wattics: Mapping[str, Any]) -> list[tuple[str, int]]:
    found = []
    for name, monitor in sorted(at_reset["monitors"].items()):
        ends = {slot["end_ms"] for slot in at_reset["readings"] if slot["connection_id"] == name}
        found.append((f"RESET {monitor['module']} monitor {name}", len(ends)))
    for name, packets in sorted(at_wattics["meters"].items()):
        found.append((f"Wattics meter {name}", len(packets)))
    return found


def _report(outcome: Outcome) -> None:
    print("\nReceived, half-hours:")
    for name, count in outcome.received:
        print(f"  {count:4}  {name}")
    findings = outcome.findings
    print("\nHeld against what the devices showed:")
    for rule, count in sorted(findings.right.items()):
        print(f"  {count:4}  {rule}: right")
    if findings.bounded:
        print(f"        of the means, {findings.bounded} lie within what was shown (the first half-hours)")
    for cause, count in sorted(findings.missing.items()):
        print(f"  {count:4}  missing: {cause}")
    wrong = [*outcome.unwanted, *findings.wrong]
    print(f"  {len(wrong):4}  wrong")
    for trouble in wrong[:_NAMED]:
        print(f"        {trouble}")
    if wrong and outcome.slowest_s > _TOLERANCE_S:
        print(
            f"  This machine is too busy for such a fast clock: the page took {outcome.slowest_s:.1f} s to "
            "answer.\n  Try again with a slower one: meterkast rig demo --speed 60"
        )


def _free(port: int) -> int:
    """The port asked for; 0, which is any, where that is taken."""
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return 0
    return port
