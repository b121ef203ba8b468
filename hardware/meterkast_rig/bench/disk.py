"""What a day costs the card: bytes to the device and fsyncs, beside the obvious way; and its own size."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from meterkast_rig.bench.ext4 import Card, NoCardError, card, fsync_counter
from meterkast_rig.bench.figure import Figure
from meterkast_rig.bench.process import output_of

TITLE = "Disk: one day of a DSMR 5 meter, a telegram a second; with fifty Z-Wave devices besides"
DAY_S = 86_400
NAIVE_S = 3_600

FSYNCS = 1550
"""At most in a day: one a minute, one for the second copy of each half-hour, some for checkpoints."""


async def measure(quick: bool) -> Figure:
    """A day on a loop device with ext4; without root only what needs no device.

    Args:
        quick: Two hours and ten minutes instead of a day and an hour, scaled.
    """
    return await days(7_200 if quick else DAY_S, 600 if quick else NAIVE_S)


async def days(seconds: int, naive_s: int) -> Figure:
    """The figure of so many seconds of our side, and of the obvious one."""
    figure = Figure(TITLE)
    with tempfile.TemporaryDirectory() as tools:
        counter = fsync_counter(Path(tools))
        if counter is None:
            figure.notes.append("fsyncs are not counted: there is no C compiler (cc).")
        try:
            with card() as one:
                ours = await _run("ours", one, seconds, counter)
            with card() as one:
                both = await _run("zwave", one, seconds, counter)
            with card() as one:
                naive = await _run("naive", one, naive_s, counter)
        except NoCardError as error:
            figure.notes.append(f"Device bytes are not counted: {error}.")
            with tempfile.TemporaryDirectory() as folder:
                ours = await _run("ours", Card(Path(folder), ""), seconds, counter)
            with tempfile.TemporaryDirectory() as folder:
                both = await _run("zwave", Card(Path(folder), ""), seconds, counter)
            naive = {}
    _tell(figure, ours, naive, seconds, naive_s)
    _tell_zwave(figure, both, seconds)
    return figure


def _tell(figure: Figure, ours: dict[str, Any], naive: dict[str, Any], seconds: int, naive_s: int) -> None:
    day, hour = DAY_S / seconds, DAY_S / naive_s
    figure.tell("Objects with a number in each telegram", ours["objects"])
    if ours["bytes"] is not None:
        figure.at_most("Bytes to the device in a day", ours["bytes"] * day / 1e6, 80, "MB")
        figure.tell("… a row per sample and a commit per telegram", naive["bytes"] * hour / 1e6, "MB")
        figure.at_least(
            "… which is so many times as many", naive["bytes"] * hour / (ours["bytes"] * day), 20, "×"
        )
    if ours["fsyncs"] is not None:
        figure.at_most("fsyncs in a day", ours["fsyncs"] * day, FSYNCS)
        if naive:
            figure.tell("… a row per sample and a commit per telegram", naive["fsyncs"] * hour)
    if ours["flushes"] is not None:
        figure.tell("Flushes of the device in a day, with the kernel's own", ours["flushes"] * day)
    figure.at_most("Raw history of a day: blocks", ours["block_bytes"] * day / 1e6, 3.3, "MB")
    figure.tell("The whole database file after it", ours["file_bytes"] / 1e6, "MB")
    figure.holds(
        f"All {ours['samples']:,} samples come back as they were", not ours["different"], "every one"
    )
    figure.tell("CPU of the day, from bytes to disk", ours["cpu_s"] * day, "s")
    whole = "A whole day" if seconds == DAY_S else f"{seconds / 3600:g} hours, scaled to a day"
    figure.notes.append(
        f"{whole}: {ours['blocks']:,} blocks, {ours['half_hours']:,} half-hours and quarter-hours, "
        f"{ours['delivered']:,} deliveries acknowledged ({ours['undelivered']} not), in transactions "
        "of one minute."
    )
    if naive:
        figure.notes += [
            f"The other side is scaled from {naive_s / 3600:.3g} h. Its key is (time, property), in WAL "
            "mode with synchronous=FULL; the other order of the key writes ten times as much.",
            "ext4 with its defaults on a loop device, sectors counted by the kernel, its journal included. "
            "The day is worked through faster than real, with the kernel's timers done by the simulated "
            "clock: a commit each 5 s and write-back each 30 s. That was seen to read up to 16 % high.",
        ]


def _tell_zwave(figure: Figure, both: dict[str, Any], seconds: int) -> None:
    day = DAY_S / seconds
    figure.tell("With Z-Wave: reports in a day", both["reports"] * day)
    if both["bytes"] is not None:
        figure.at_most("With Z-Wave: bytes to the device in a day", both["bytes"] * day / 1e6, 80, "MB")
    if both["fsyncs"] is not None:
        figure.at_most("With Z-Wave: fsyncs in a day", both["fsyncs"] * day, FSYNCS)
    if both["flushes"] is not None:
        figure.tell("With Z-Wave: flushes of the device in a day", both["flushes"] * day)
    figure.at_most("With Z-Wave: raw history of a day: blocks", both["block_bytes"] * day / 1e6, 3.3, "MB")
    figure.tell("With Z-Wave: the whole database file after it", both["file_bytes"] / 1e6, "MB")
    figure.holds(
        f"With Z-Wave: all {both['samples']:,} samples come back as they were",
        not both["different"],
        "every one",
    )
    figure.tell("With Z-Wave: CPU of the day, from batches to disk", both["cpu_s"] * day, "s")
    figure.notes.append(
        f"With Z-Wave: fifty devices of four values, five reports a second, each of one value; "
        f"{both['half_hours']:,} half-hours and quarter-hours."
    )


async def _run(side: str, one: Card, seconds: int, counter: Path | None) -> dict[str, Any]:
    out, _ = await output_of(
        sys.executable, "-m", "meterkast_rig.bench.disk_run",
        side, str(one.folder), one.device, str(seconds),
        environment={**os.environ, **({"LD_PRELOAD": str(counter)} if counter else {})},
    )  # fmt: skip
    result: dict[str, Any] = json.loads(out)
    return result
