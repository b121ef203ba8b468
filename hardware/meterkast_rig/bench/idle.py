"""What the running gateway costs while nothing is wanted of it but to read and to keep."""

from __future__ import annotations

import asyncio
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from meterkast.clock import SystemClock
from meterkast_rig import configuration
from meterkast_rig.bench import load, zwave
from meterkast_rig.bench.figure import Figure
from meterkast_rig.bench.process import GatewayProcess, running
from meterkast_rig.p1_line import P1Line
from meterkast_rig.p1_line import serving as p1_line

TITLE = "Idle: the real process at a telegram a second; with fifty Z-Wave devices besides"
WARM_S = 10.0
"""Finding the meter, the first telegram and the first transaction are not what a day is made of."""


PERIOD_S = 30.0
"""Between two reports of a Z-Wave device: some five values a second from all of them."""


async def measure(quick: bool) -> Figure:
    """CPU and context switches of `meterkast run` on a pty, with storage and the page, and nobody looking.

    Args:
        quick: 15 s instead of 60 s.
    """
    figure = Figure(TITLE)
    warm_s, seconds = (5.0, 15.0) if quick else (WARM_S, 60.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = configuration.write(folder, configuration.gateway(folder))
        async with (
            p1_line(load.NoisyMeter(), SystemClock(), link=folder / "p1") as line,
            running(config) as gateway,
        ):
            await asyncio.sleep(warm_s)
            spent = await _spent(gateway, line, seconds)
    figure.at_most("CPU time per second", spent.cpu_ms, 2.0, "ms")
    figure.at_most("Context switches per second, all threads", spent.switches, 10)
    figure.tell("Resident memory then", spent.rss_mib, "MiB")
    figure.notes.append(
        f"{seconds:.0f} s of real time, {spent.telegrams} telegrams in packets of 62 bytes as an FTDI "
        "adapter hands them over; P1, storage and the page that nobody looks at. CPU time is an upper "
        "bound where others use the machine."
    )
    await _with_zwave(figure, quick)
    return figure


async def _with_zwave(figure: Figure, quick: bool) -> None:
    seconds = PERIOD_S if quick else 3 * PERIOD_S
    with tempfile.TemporaryDirectory(prefix="mk-") as name:
        folder = Path(name)
        async with (
            p1_line(load.NoisyMeter(), SystemClock(), link=folder / "p1") as line,
            zwave.network(folder, period_s=PERIOD_S) as stick,
        ):
            tree = configuration.gateway(folder, drivers=zwave.driver(stick, folder))
            config = configuration.write(folder, tree)
            async with running(config) as gateway:
                await zwave.ready(gateway)
                await asyncio.sleep(PERIOD_S)
                reports = await zwave.reports(stick)
                spent = await _spent(gateway, line, seconds)
                reports = await zwave.reports(stick) - reports
    figure.tell("With Z-Wave: values reported per second", reports / seconds)
    figure.at_most("With Z-Wave: CPU time per second", spent.cpu_ms, 2.5, "ms")
    figure.tell("With Z-Wave: context switches per second, all threads", spent.switches)
    figure.tell("With Z-Wave: resident memory then", spent.rss_mib, "MiB")
    figure.notes.append(
        "With Z-Wave: the real driver, the real Z-Wave server on the simulated stick, and fifty devices that "
        f"were interviewed before; {seconds:.0f} s. The server's own process (Node.js) is not counted."
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class _Spent:
    """What the gateway used, per second."""

    cpu_ms: float
    switches: float
    rss_mib: float
    telegrams: int


async def _spent(gateway: GatewayProcess, line: P1Line, seconds: float) -> _Spent:
    sent = line.counts["sent"]
    began_s, cpu_s, switches = time.monotonic(), gateway.cpu_s(), gateway.switches()
    await asyncio.sleep(seconds)
    passed_s = time.monotonic() - began_s
    return _Spent(
        cpu_ms=(gateway.cpu_s() - cpu_s) / passed_s * 1000,
        switches=(gateway.switches() - switches) / passed_s,
        rss_mib=gateway.rss_kib() / 1024,
        telegrams=line.counts["sent"] - sent,
    )
