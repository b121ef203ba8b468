"""`python -m meterkast_rig.bench [NAME…] [--quick]`: measure, and write docs/benchmarks.md."""

from __future__ import annotations

import argparse
import asyncio
import importlib
import os
import platform
import signal
import sys
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from string import Template
from typing import cast

from meterkast.clock import SystemClock
from meterkast.model.time import iso_utc
from meterkast_rig.bench.figure import Figure

FIGURES = ("parse", "disk", "idle", "memory", "start", "backlog")
PAGE = Path("docs/benchmarks.md")
LIMIT_S = 600.0
"""No figure takes longer unless something hangs."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure what is asked for; a missed target is told and fails nothing.

    All figures of a whole run go to the page; of a quick or partial one only where --output asks for it.
    """
    parser = argparse.ArgumentParser(prog="python -m meterkast_rig.bench", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(FIGURES)} (default: all)")
    parser.add_argument(
        "--quick", action="store_true", help="shorter runs, rougher figures: under two minutes"
    )
    parser.add_argument(
        "--output", type=Path, help=f"where to write the page (default for a whole run: {PAGE})"
    )
    args = parser.parse_args(arguments)
    if unknown := [name for name in args.names if name not in FIGURES]:
        parser.error(f"no figure {unknown[0]!r}; there are: {', '.join(FIGURES)}")
    # So that what was mounted and started is taken away again.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    names = args.names or FIGURES
    began_s = time.monotonic()
    figures = [run(name, args.quick) for name in names]
    passed_s = time.monotonic() - began_s
    output = args.output or (PAGE if not args.quick and not args.names else None)
    if output is not None:
        output.parent.mkdir(parents=True, exist_ok=True)
        output.write_text(page(figures, quick=args.quick, passed_s=passed_s), encoding="utf-8")
        print(f"Written to {output}.")
    missed = [row.what for figure in figures for row in figure.rows if row.met is False]
    print(
        f"{passed_s:.0f} s; {len(missed)} targets missed." + "".join(f"\n  missed: {what}" for what in missed)
    )
    return 0


def run(name: str, quick: bool) -> Figure:
    """One figure, shown as soon as it is there; what cannot be measured here says why."""
    module = importlib.import_module(f"meterkast_rig.bench.{name}")
    measure = cast(Callable[[bool], Awaitable[Figure]], module.measure)

    async def limited() -> Figure:
        async with asyncio.timeout(LIMIT_S):
            return await measure(quick)

    figure = asyncio.run(limited())
    print(figure.text(), flush=True)
    return figure


def page(figures: Sequence[Figure], *, quick: bool, passed_s: float) -> str:
    """docs/benchmarks.md, from the template beside this file."""
    template = Template((Path(__file__).parent / "benchmarks.md").read_text(encoding="utf-8"))
    missed = sum(row.met is False for figure in figures for row in figure.rows)
    return template.substitute(
        interpreter=interpreter(),
        machine=machine(),
        date=iso_utc(SystemClock().now_ms())[:10],
        kind="a quick run: rough figures" if quick else "a whole run",
        passed=f"{passed_s / 60:.0f} min",
        missed="every target is met" if not missed else f"{missed} targets are missed, see **no**",
        figures="\n".join(figure.markdown() for figure in figures),
    )


def interpreter() -> str:
    """Its name, version and whose build it is: some builds are a quarter slower than a distribution's."""
    system = Path(sys.base_prefix) == Path("/usr")
    build = f"{_distribution()}'s own" if system else f"not {_distribution()}'s own build"
    name = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{name}, {build}, {platform.python_compiler()}"


def _distribution() -> str:
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def machine() -> str:
    """Processor, cores, memory, kernel."""
    model = platform.machine()
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            model = f"{line.partition(':')[2].strip()}, {model}"
            break
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{model}, {os.cpu_count()} cores, {gib:.0f} GiB, Linux {platform.release()}"


if __name__ == "__main__":
    sys.exit(main())
