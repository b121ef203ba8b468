"""Fails where the branches of the parts that must not be wrong are covered by less than the floor."""

from __future__ import annotations

import json
import sys
from collections import Counter
from pathlib import Path

FLOOR = 90.0
PARTS = {
    "model": "agent/meterkast/model/",
    "p1": "drivers/meterkast_drivers/p1/",
    "zwave": "drivers/meterkast_drivers/zwave/",
    "buffer": "buffer/meterkast_buffer/",
    "uplinks": "agent/meterkast/uplinks/",
}


def main() -> int:
    """Print each part's covered branches; exit status 1 where one is below the floor."""
    files = json.loads(Path("coverage.json").read_text(encoding="utf-8"))["files"]
    there: Counter[str] = Counter()
    covered: Counter[str] = Counter()
    for path, found in files.items():
        for part, folder in PARTS.items():
            if path.startswith(folder):
                there[part] += found["summary"]["num_branches"]
                covered[part] += found["summary"]["covered_branches"]
    low = False
    for part in PARTS:
        share = 100 * covered[part] / there[part] if there[part] else 0.0
        low |= share < FLOOR
        print(f"branches of {part}: {share:.1f} % of {there[part]}{'' if share >= FLOOR else ', too few'}")
    return 1 if low else 0


sys.exit(main())
