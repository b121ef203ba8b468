"""What the running gateway costs while nothing is wanted of it but to read and to keep."""

from __future__ import annotations

import asyncio
import tempfile
import time
from pathlib import Path

from meterkast.clock import SystemClock
from meterkast_rig.bench import load
from meterkast_rig.bench.figure import Figure
from meterkast_rig.bench.process import BASIC, running
from meterkast_rig.p1_line import serving as p1_line

TITLE = "Idle: the real process at a telegram a second"
WARM_S = 10.0
"""Finding the meter, the first telegram and the first transaction are not what a day is made of."""


async def measure(quick: bool) -> Figure:
    """CPU and context switches of `meterkast run` on a pty, with storage and the page, and nobody looking.

    Args:
        quick: 15 s instead of 60 s.
    """
    figure = Figure(TITLE)
    warm_s, seconds = (5.0, 15.0) if quick else (WARM_S, 60.0)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        config = folder / "meterkast.toml"
        config.write_text(BASIC.substitute(folder=folder), encoding="utf-8")
        async with (
            p1_line(load.NoisyMeter(), SystemClock(), link=folder / "p1") as line,
            running(config) as gateway,
        ):
            await asyncio.sleep(warm_s)
            sent = line.counts["sent"]
            began_s, cpu_s, switches = time.monotonic(), gateway.cpu_s(), gateway.switches()
            await asyncio.sleep(seconds)
            passed_s = time.monotonic() - began_s
            spent_s, woken = gateway.cpu_s() - cpu_s, gateway.switches() - switches
            sent = line.counts["sent"] - sent
            rss_kib = gateway.rss_kib()
    figure.at_most("CPU time per second", spent_s / passed_s * 1000, 2.0, "ms")
    figure.at_most("Context switches per second, all threads", woken / passed_s, 10)
    figure.tell("Resident memory then", rss_kib / 1024, "MiB")
    figure.notes.append(
        f"{passed_s:.0f} s of real time, {sent} telegrams in packets of 62 bytes as an FTDI adapter hands "
        "them over; P1, storage and the page that nobody looks at. CPU time is an upper bound where others "
        "use the machine."
    )
    return figure
