"""`make demo`: the real gateway against a simulated meter cupboard and stand-ins for the platforms.

The meter's line and the platforms run in this process, the gateway in its own, as it would on a device. Its
clock runs 120 times as fast, so that a half-hour takes 15 seconds.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import socket
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from string import Template

from meterkast.clock import FastClock
from meterkast.model.time import UtcMs, iso_utc
from meterkast_rig import reset, wattics
from meterkast_rig.demo_uplinks import METERS, UPLINKS
from meterkast_rig.p1_line import serving as p1_line
from meterkast_rig.p1_meter import SimulatedMeter

PAGE_PORT = 8080

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
class Outcome:
    """What the stand-ins have at the end: half-hours at RESET, packets at Wattics, and what went wrong."""

    reset: int
    wattics: int
    faults: tuple[str, ...]

    @property
    def good(self) -> bool:
        """Whether half-hours reached both, and none was doubled with another value or out of order."""
        return self.reset > 0 and self.wattics > 0 and not self.faults


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `meterkast rig demo`."""
    parser.add_argument("--seconds", type=float, default=0, help="end by itself after so long (0: never)")
    parser.add_argument("--speed", type=float, default=120.0, help="how many times as fast (default 120)")
    parser.add_argument(
        "--port", type=int, default=PAGE_PORT, help="the page's port; passed over where taken"
    )
    parser.add_argument("--seed", type=int, default=1, help="of the simulated household")


def run(args: argparse.Namespace) -> int:
    """Run the demo until Ctrl-C or for the given time.

    Returns:
        0 if half-hours reached both stand-ins, or it was ended by hand; 1 otherwise.
    """
    return asyncio.run(_demo(args))


async def _demo(args: argparse.Namespace) -> int:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    start_ms = UtcMs(time.time_ns() // 1_000_000)
    clock = FastClock(args.speed, start_ms)
    with tempfile.TemporaryDirectory(prefix="meterkast-demo-") as name:
        folder = Path(name)
        meter = SimulatedMeter(seed=args.seed)
        async with (
            reset.serving() as reset_server,
            wattics.serving(meters=METERS) as wattics_server,
            p1_line(meter, clock, link=folder / "p1"),
        ):
            config = folder / "meterkast.toml"
            config.write_text(
                CONFIGURATION.substitute(folder=folder, page_port=_free_port(args.port))
                + UPLINKS.substitute(reset_url=reset_server.url, wattics_url=wattics_server.url),
                encoding="utf-8",
            )
            async with _gateway(config, args.speed, iso_utc(clock.now_ms())) as gateway:
                print(f"  RESET stand-in:   {reset_server.origin}/")
                print(f"  Wattics stand-in: {wattics_server.origin}/")
                lasts = f"a half-hour takes {1800 / args.speed:g} s"
                print(f"  The clock runs {args.speed:g} times as fast: {lasts}.")
                ends = f"Ends after {args.seconds:g} s" if args.seconds else "End with Ctrl-C"
                print(f"  {ends}.", flush=True)
                ended_early = await _until(stop, gateway, args.seconds)
            outcome = await _outcome(reset_server, wattics_server)
    print(
        f"Received: {outcome.reset} half-hours at the RESET stand-in, "
        f"{outcome.wattics} packets at the Wattics stand-in."
    )
    for fault in outcome.faults:
        print(f"  wrong: {fault}")
    if ended_early:
        print("The gateway ended by itself; its messages are above.")
        return 1
    return 0 if outcome.good or stop.is_set() else 1


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


@contextlib.asynccontextmanager
async def _gateway(config: Path, speed: float, start: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """The gateway as a process of its own, in its own group: Ctrl-C is for us, and we tell it."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "meterkast", "run",
        "--config", str(config), "--speed", f"{speed:g}", "--start", start, "--log-level", "warning",
        stdout=asyncio.subprocess.PIPE, start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    try:
        print((await process.stdout.readline()).decode().rstrip(), flush=True)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
        await process.wait()


async def _outcome(reset_server: reset.ResetStandIn, wattics_server: wattics.WatticsStandIn) -> Outcome:
    at_reset, at_wattics = await reset_server.received(), await wattics_server.received()
    faults = [
        f"RESET got {len(at_reset[name])} × {name}"
        for name in ("conflicts", "out_of_order", "refused")
        if at_reset[name]
    ]
    faults += [
        f"Wattics got {len(at_wattics[name])} × {name}"
        for name in ("conflicts", "discarded", "refused")
        if at_wattics[name]
    ]
    return Outcome(
        reset=len({(slot["connection_id"], slot["reading_time"]) for slot in at_reset["readings"]}),
        wattics=sum(len(packets) for packets in at_wattics["meters"].values()),
        faults=tuple(faults),
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
