"""`python -m meterkast_rig.virtual`: lives a stretch of time and says what came of it, as a line of JSON."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from meterkast.model.time import parse_iso
from meterkast_rig.virtual.oracle import judge
from meterkast_rig.virtual.year import run

_MEMORY = Path("/dev/shm")
_SAID = 20


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m meterkast_rig.virtual", description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--days", type=int, default=365)
    parser.add_argument("--start", default="2026-01-01T00:00:00Z")
    args = parser.parse_args()
    began_s = time.process_time()
    with tempfile.TemporaryDirectory(dir=_MEMORY if _MEMORY.is_dir() else None) as folder:
        lived = run(args.seed, parse_iso(args.start), args.days, Path(folder))
    verdict = judge(lived)
    figures = {
        "seed": args.seed,
        "days": args.days,
        "trace": lived.trace,
        "processes": lived.processes,
        "cpu_s": round(time.process_time() - began_s, 1),
        **verdict.counts,
        "wrong": len(verdict.wrong),
    }
    print(json.dumps(figures))
    for words in verdict.wrong[:_SAID]:
        print(words, file=sys.stderr)
    return 1 if verdict.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
