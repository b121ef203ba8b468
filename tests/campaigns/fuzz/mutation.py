"""Damage to bytes and to JSON, drawn from a seed, and how much of it a run makes."""

from __future__ import annotations

import copy
import os
from random import Random
from typing import Any

SEED = int(os.environ.get("METERKAST_CAMPAIGN_SEED", 1))
SIZE = int(os.environ.get("METERKAST_CAMPAIGN_SIZE", 1))
"""How many times the examples of `make test`."""

ODD: tuple[Any, ...] = (
    None,
    True,
    -1,
    0,
    2**31,
    2**63,
    10**40,
    1e308,
    float("inf"),
    float("nan"),
    "",
    "1",
    "NaN",
    "\0",
    "é" * 300,
    "x" * 70_000,
    [],
    {},
    [[]],
    {"": None},
    [0] * 1000,
)


HALF_PAIR = "\ud800"
"""JSON can say it, UTF-8 cannot."""


def damaged(data: bytes, chance: Random, tokens: tuple[bytes, ...], most: int = 6) -> bytes:
    """The bytes with a few places changed: flipped, cut out, doubled, overwritten, torn off."""
    made = bytearray(data)
    for _ in range(chance.randint(1, most)):
        at = chance.randrange(len(made) + 1)
        how = chance.randrange(7)
        if how == 0:
            made[at:at] = chance.randbytes(chance.randint(1, 8))
        elif how == 1:
            del made[at : at + chance.randint(1, 40)]
        elif how == 2 and at < len(made):
            made[at] ^= 1 << chance.randrange(8)
        elif how == 3:
            made[at:at] = made[max(0, at - 30) : at] * chance.randint(1, 4)
        elif how == 4:
            made[at:at] = chance.choice(tokens)
        elif how == 5:
            made[at : at + chance.randint(1, 12)] = chance.randbytes(chance.randint(0, 12))
        elif chance.random() < 0.3:
            del made[at:]
    return bytes(made)


def twisted(tree: Any, chance: Random, *more: Any) -> Any:
    """A JSON value of which some parts are missing, odd, of another type, nested or moved.

    Args:
        more: Odd values besides those of `ODD`.
    """
    made = copy.deepcopy(tree)
    for _ in range(chance.randint(1, 3)):
        made = _twist(made, chance, (*ODD, *more))
    return made


def _twist(value: Any, chance: Random, odd: tuple[Any, ...]) -> Any:
    if isinstance(value, dict) and value and chance.random() < 0.85:
        key = chance.choice(sorted(value))
        how = chance.random()
        if how < 0.15:
            del value[key]
        elif how < 0.25:
            value[str(chance.choice(odd))[:40]] = value.pop(key)
        else:
            value[key] = _twist(value[key], chance, odd)
        return value
    if isinstance(value, list) and value and chance.random() < 0.8:
        place = chance.randrange(len(value))
        value[place] = _twist(value[place], chance, odd)
        return value
    how = chance.random()
    if how < 0.1:
        deep: Any = value
        for _ in range(chance.choice((1, 3, 200))):
            deep = [deep] if chance.random() < 0.5 else {"a": deep}
        return deep
    if how < 0.2 and isinstance(value, (int, float)) and not isinstance(value, bool):
        return value * chance.choice((-1, 1000, 10**20))
    return copy.deepcopy(chance.choice(odd))
