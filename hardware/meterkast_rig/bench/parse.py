"""CPU instructions per telegram, from bytes to the stored block, beside dsmr-parser."""

from __future__ import annotations

import asyncio
import importlib.metadata
import importlib.util
import os
import re
import shutil
import sys
import tempfile
from pathlib import Path

from meterkast.model.time import UtcMs
from meterkast_rig.bench import load
from meterkast_rig.bench.figure import Figure
from meterkast_rig.bench.process import output_of
from meterkast_rig.p1_telegram import Dialect

TITLE = "Parsing: CPU instructions per telegram"
COUNTS = 60, 180

_NAMES = {Dialect.DSMR5: "DSMR 5, three phases", Dialect.BE: "Belgian"}
_TOLD = re.compile(r"^==(\d+)== Collected : (\d+)", re.MULTILINE)


async def measure(quick: bool) -> Figure:
    """Count instructions with valgrind: what 120 telegrams more cost.

    Args:
        quick: One dialect.
    """
    figure = Figure(TITLE)
    if shutil.which("valgrind") is None:
        figure.notes.append("Not measured: valgrind is missing. On Debian: apt-get install valgrind.")
        return figure
    wheel = importlib.util.find_spec("fastcrc") is not None
    for dialect in (Dialect.DSMR5,) if quick else (Dialect.DSMR5, Dialect.BE):
        await _compare(figure, dialect, wheel)
    first, last = COUNTS
    figure.notes += [
        f"Instructions of {last} telegrams less those of {first}, over {last - first}: `valgrind "
        "--tool=callgrind`. They hardly depend on the machine; on the interpreter they do.",
        "The values of both sides come from the same telegrams, one for each second of a household's night, "
        "given whole to both framers.",
        "*To an encoded block* ends with the minute's compressed block; *to the block in the database* is "
        "the whole minute's work besides: half-hours, and the transaction in SQLite.",
    ]
    if not wheel:
        figure.notes.append("Without the compiled CRC: its wheel (extra `crc`) is not installed.")
    return figure


async def _compare(figure: Figure, dialect: Dialect, wheel: bool) -> None:
    telegrams = [
        one
        for _, one in load.stream(load.NoisyMeter(dialect=dialect), UtcMs(load.START_MS + 1000), COUNTS[1])
    ]
    name = _NAMES[dialect]
    ours = ["parse+pure", "block+pure", "stored+pure", *(["parse", "block", "stored"] if wheel else [])]
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{dialect}.bin"
        load.save(path, telegrams)
        counted, theirs = await asyncio.gather(_count(path, ours), _count(path, ["dsmr-parser"]))
    other = theirs["dsmr-parser"]
    figure.tell(f"{name}: bytes of a telegram", sum(map(len, telegrams)) / len(telegrams))
    figure.tell(f"{name}: objects that change from one to the next", load.changes(telegrams))
    version = importlib.metadata.version("dsmr-parser")
    figure.tell(f"{name}: dsmr-parser {version}, framing and parsing", other / 1e6, "M")
    figure.tell(f"{name}: Meterkast in pure Python, framing and parsing", counted["parse+pure"] / 1e6, "M")
    figure.tell(f"{name}: … to an encoded block", counted["block+pure"] / 1e6, "M")
    figure.at_most(f"{name}: … to the block in the database", counted["stored+pure"] / 1e6, 0.6, "M")
    if wheel:
        figure.at_most(
            f"{name}: Meterkast with compiled CRC, framing and parsing", counted["parse"] / 1e6, 0.16, "M"
        )
        figure.tell(f"{name}: … to an encoded block", counted["block"] / 1e6, "M")
        figure.tell(f"{name}: … to the block in the database", counted["stored"] / 1e6, "M")
    figure.at_least(
        f"{name}: dsmr-parser takes so many times as many, framing and parsing, pure Python",
        other / counted["parse+pure"],
        12,
        "×",
    )
    if wheel:
        figure.at_least(f"{name}: … with compiled CRC", other / counted["parse"], 12, "×")


async def _count(path: Path, sides: list[str]) -> dict[str, float]:
    """Instructions per telegram of each side."""
    out, told = await output_of(
        "valgrind", "--tool=callgrind", "--callgrind-out-file=/dev/null",
        sys.executable, "-m", "meterkast_rig.bench.parse_run", str(path), *sides, "--", *map(str, COUNTS),
        environment={**os.environ, "PYTHONHASHSEED": "0"},
    )  # fmt: skip
    collected = {int(pid): int(count) for pid, count in _TOLD.findall(told)}
    jobs = [line.split() for line in out.splitlines()]
    spent = {(side, int(count)): collected[int(pid)] for pid, side, count in jobs}
    first, last = COUNTS
    return {side: (spent[side, last] - spent[side, first]) / (last - first) for side in sides}
