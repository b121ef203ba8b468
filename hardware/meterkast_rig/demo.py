"""`make demo`: the real gateway against a simulated meter cupboard and stand-ins for the platforms.

The meter's line and the platforms run in this process, the Z-Wave stick and the gateway each in their own, as
on a device; the gateway runs the real Z-Wave server itself. Its clock runs 120 times as fast, so that a
half-hour takes 15 seconds. At the end everything that the platforms received is held against what the devices
showed.
"""

from __future__ import annotations

import argparse
import asyncio
import signal
import socket
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from string import Template
from typing import Any

from meterkast.clock import FastClock
from meterkast.model.time import UtcMs, iso_utc
from meterkast_rig import demo_gateway, demo_uplinks, demo_zwave, reset, wattics, zwave
from meterkast_rig.compare import Findings, compare
from meterkast_rig.compare_sources import Causes, Sides, unwanted
from meterkast_rig.p1_line import P1Line
from meterkast_rig.p1_line import serving as p1_line
from meterkast_rig.p1_meter import SimulatedMeter

PAGE_PORT = 8080
PERIOD_S = 300
"""Between two reports of a device, in its own time: six in each half-hour."""

REPORT_S = 900
_HOLD_MS = 2 * REPORT_S * 1000
_TOLERANCE_S = 1.0
"""How well the gateway's clock is known, in real time: a report takes its time on a busy machine."""

_DELIVERED_S = 5.0
"""Of real time; a half-hour that ended longer ago than this and its grace must have arrived."""

_GRACE_MS = 90_000
_EMPTIED_S = 50.0
_NAMED = 20

CONFIGURATION = Template("""\
[site]
name = "Demo cupboard"
time_zone = "Europe/Amsterdam"

[storage]
path = "$folder/meterkast.db"

[page]
port = $page_port

[delivery]
spread_s = 0

[drivers.p1]
port = "$folder/p1"
""")


@dataclass(frozen=True, slots=True, kw_only=True)
class Cupboard:
    """Everything outside the gateway, running."""

    clock: FastClock
    meter: SimulatedMeter
    line: P1Line
    stick: zwave.Stick
    reset: reset.ResetStandIn
    wattics: wattics.WatticsStandIn


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
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    start_ms = UtcMs(time.time_ns() // 1_000_000)
    clock = FastClock(args.speed, start_ms)
    with tempfile.TemporaryDirectory(prefix="mk-demo-") as name:
        folder = Path(name)
        meter = SimulatedMeter(seed=args.seed)
        keys = zwave.write_keys(folder / "zwave" / "keys.json")
        async with (
            reset.serving() as at_reset,
            wattics.serving(meters=demo_uplinks.METERS + demo_zwave.METERS) as at_wattics,
            zwave.serving(
                devices=demo_zwave.NETWORK,
                seed=args.seed,
                speed=args.speed,
                start=clock.now_ms(),
                period_s=PERIOD_S,
                keys=keys,
            ) as stick,
            p1_line(meter, clock, link=folder / "p1") as line,
        ):
            cupboard = Cupboard(
                clock=clock, meter=meter, line=line, stick=stick, reset=at_reset, wattics=at_wattics
            )
            outcome = await _with_gateway(cupboard, folder, args, stop)
    if outcome is None:
        print("The gateway ended by itself; its messages are above.")
        return 1
    if stop.is_set() and not outcome.findings.right:
        print("Ended before a half-hour was delivered.")
        return 0
    _report(outcome)
    return 0 if outcome.good or stop.is_set() else 1


async def _with_gateway(
    cupboard: Cupboard, folder: Path, args: argparse.Namespace, stop: asyncio.Event
) -> Outcome | None:
    """Run the gateway in the cupboard; None where it ended by itself."""
    config = folder / "meterkast.toml"
    config.write_text(_configuration(cupboard, folder, _free_port(args.port)), encoding="utf-8")
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
            ended_early = await _until(stop, gateway, args.seconds)
        finally:
            for task in helpers:
                task.cancel()
            await asyncio.gather(*helpers, return_exceptions=True)
        ended_ms = time.time() * 1000
    if ended_early:
        return None
    return await _outcome(cupboard, watch, folder / "meterkast.db", ended_ms)


def _configuration(cupboard: Cupboard, folder: Path, page_port: int) -> str:
    names = {node: name for node, (_, name) in demo_zwave.DEVICES.items()}
    return (
        CONFIGURATION.substitute(folder=folder, page_port=page_port)
        + demo_zwave.driver(cupboard.stick.url, f"{folder}/zwave", names, report_s=REPORT_S)
        + demo_uplinks.UPLINKS.substitute(reset_url=cupboard.reset.url, wattics_url=cupboard.wattics.url)
        + demo_zwave.UPLINKS
    )


def _announcement(cupboard: Cupboard, config: Path, args: argparse.Namespace) -> str:
    called = Path(sys.argv[0])
    command = str(called) if called.name == "meterkast" else f"{sys.executable} -m meterkast"
    stick = cupboard.stick
    ends = f"Ends after {args.seconds:g} s" if args.seconds else "End with Ctrl-C"
    return f"""\
  RESET stand-in:   {cupboard.reset.origin}/
  Wattics stand-in: {cupboard.wattics.origin}/
  Z-Wave stick:     {stick.url} with {len(demo_zwave.DEVICES)} devices, its verbs at {stick.origin}/
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


async def _until(stop: asyncio.Event, gateway: asyncio.subprocess.Process, seconds: float) -> bool:
    """Wait for Ctrl-C or the end of the time; True where the gateway ended before that."""
    stopping = asyncio.create_task(stop.wait())
    ending = asyncio.create_task(gateway.wait())
    done, _ = await asyncio.wait(
        (stopping, ending), timeout=seconds or None, return_when=asyncio.FIRST_COMPLETED
    )
    for task in (stopping, ending):
        task.cancel()
    await asyncio.gather(stopping, ending, return_exceptions=True)
    return ending in done and not stop.is_set()


async def _outcome(cupboard: Cupboard, watch: demo_gateway.Watch, database: Path, ended_ms: float) -> Outcome:
    at_reset, at_wattics = await cupboard.reset.received(), await cupboard.wattics.received()
    speed = cupboard.clock.speed
    grace_ms = cupboard.clock.allowance_ms(_GRACE_MS)
    sides = Sides(
        clocks=watch.clocks,
        records=await cupboard.stick.shown(),
        meter=cupboard.meter,
        sent=list(cupboard.line.sent),
        at_reset=at_reset,
        at_wattics=at_wattics,
        causes=Causes(database),
        until_ms=UtcMs(watch.clocks.gateway_ms(ended_ms - _DELIVERED_S * 1000) - grace_ms),
        tolerance_ms=round(_TOLERANCE_S * 1000 * speed),
        hold_ms=_HOLD_MS,
    )
    wires = [*demo_zwave.p1_wires(), *demo_zwave.zwave_wires()]
    return Outcome(
        received=_received(at_reset, at_wattics),
        findings=compare(sides.series(wires)),
        unwanted=unwanted(at_reset, at_wattics),
        slowest_s=watch.slowest_s,
    )


def _received(at_reset: dict[str, Any], at_wattics: dict[str, Any]) -> list[tuple[str, int]]:
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


def _free_port(wanted: int) -> int:
    """The port asked for, or a free one where that is taken."""
    for port in (wanted, 0):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return int(probe.getsockname()[1])
    return 0
