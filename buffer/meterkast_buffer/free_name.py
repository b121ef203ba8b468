"""A name for what is put aside: what was put aside before is never replaced."""

from __future__ import annotations

import os
from collections.abc import Callable
from itertools import count


def free_name(base: str, taken: Callable[[str], bool] = os.path.exists) -> str:
    """The name itself, or with the lowest number behind it that makes it free: base, base-2, base-3, …"""
    if not taken(base):
        return base
    return next(name for number in count(2) if not taken(name := f"{base}-{number}"))
