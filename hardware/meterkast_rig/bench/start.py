"""From exec to ready for the first telegram."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from statistics import median

from meterkast_rig import configuration
from meterkast_rig.bench.figure import Figure
from meterkast_rig.bench.process import running
from meterkast_rig.demo_uplinks import uplinks

TITLE = "Start: from exec to ready for the first telegram"
RUNS = 7


async def measure(quick: bool) -> Figure:
    """CPU time of `meterkast run` until it says that it runs; the best of seven.

    Args:
        quick: Three runs.
    """
    figure = Figure(TITLE)
    runs = 3 if quick else RUNS
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # Nobody answers there; there is nothing to send either.
        nowhere = uplinks("http://127.0.0.1:9/v2", "http://127.0.0.1:9/")
        for sent, what in (
            (configuration.NONE, "P1, storage, page"),
            (nowhere, "P1, storage, page, RESET, Wattics"),
        ):
            config = configuration.write(folder, configuration.gateway(folder, uplinks=sent))
            cpu_s, wall_s = [], []
            for _ in range(runs):
                began_s = time.monotonic()
                async with running(config, log=folder / "log") as gateway:
                    cpu_s.append(gateway.cpu_s())
                    wall_s.append(time.monotonic() - began_s)
            figure.at_most(f"CPU time: {what}", min(cpu_s) * 1000, 250, "ms")
            figure.tell("… median", median(cpu_s) * 1000, "ms")
            figure.tell("… on the wall, best", min(wall_s) * 1000, "ms")
    figure.notes.append(f"Best of {runs}, with compiled modules and the files in the page cache.")
    return figure
