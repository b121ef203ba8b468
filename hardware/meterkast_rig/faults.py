"""Fault switches of the rig: `lost_acks=0.1,refuse_auth` on a command line, JSON at run time.

A stand-in names its switches once, as a mapping from the switch to what its value is, and asks a `Faults`
for chances, seconds and texts while it runs. Chances come from one seeded generator: a run can be repeated.
"""

from __future__ import annotations

import difflib
import math
import random
from collections.abc import Callable, Mapping

from meterkast.model.errors import ConfigError

FaultValue = bool | int | float | str
Kind = Callable[[str], FaultValue]
"""What a switch's value is: `bool`, `int`, `float`, `str`, `probability`, `seconds`, or a function like them.

A function takes the text and raises ValueError; given "" or else "0" it returns what off is.
"""


def probability(text: str) -> float:
    """A chance between 0 (never) and 1 (always).

    Raises:
        ValueError: Not a number, or outside 0 to 1.
    """
    value = float(text)
    if not 0 <= value <= 1:
        raise ValueError(f"{text} is not between 0 and 1")
    return value


def seconds(text: str) -> float:
    """A duration in seconds, not negative.

    Raises:
        ValueError: Not a number, not finite, or negative.
    """
    value = float(text)
    if not 0 <= value < math.inf:
        raise ValueError(f"{text} is not a number of seconds")
    return value


def parse_faults(text: str, switches: Mapping[str, Kind]) -> dict[str, FaultValue]:
    """The switches a text turns on.

    Args:
        text: `name=value` joined by commas; a bool needs no value (`refuse_auth` is `refuse_auth=true`).
            Blanks around names and values do not count. A value cannot hold a comma.
        switches: Every switch there is, and what its value is.

    Returns:
        Only the switches the text names.

    Raises:
        ConfigError: A switch that does not exist (the hint names the nearest), named twice, or with a value
            of another kind.
    """
    values: dict[str, FaultValue] = {}
    for part in text.split(","):
        if not part.strip():
            continue
        name, equals, value = (piece.strip() for piece in part.partition("="))
        if name in values:
            raise ConfigError(f"fault {name!r} is given twice", hint="Give every switch once.")
        values[name] = fault_value(name, value if equals else True, switches)
    return values


def fault_value(name: str, value: object, switches: Mapping[str, Kind]) -> FaultValue:
    """One switch's value, checked; `value` is text or came from JSON, and None means off.

    Raises:
        ConfigError: There is no such switch, or the value is of another kind.
    """
    if name not in switches:
        near = difflib.get_close_matches(name, switches, n=1, cutoff=0.5)
        nearest = f"Did you mean {near[0]!r}? " if near else ""
        valid = ", ".join(sorted(switches))
        raise ConfigError(f"no fault switch {name!r}", hint=f"{nearest}There are: {valid}.")
    kind = switches[name]
    if value is None:
        return _off(kind)
    try:
        if kind is bool:
            return _bool(value)
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise ValueError("needs a value")
        return kind(str(value))
    except ValueError as error:
        raise ConfigError(
            f"fault {name!r}: {value!r} will not do ({error})", hint=f"Give {name}=<{_kind_name(kind)}>."
        ) from error


class Faults:
    """The switches of one stand-in as they stand now, and the seeded chances they ask for."""

    def __init__(self, switches: Mapping[str, Kind], text: str = "", *, seed: int = 0) -> None:
        self._switches = dict(switches)
        self._values = {name: _off(kind) for name, kind in switches.items()}
        self._values.update(parse_faults(text, switches))
        self._seed = seed
        self._random = random.Random(seed)

    def set(self, changes: Mapping[str, object]) -> None:
        """Set the switches named, leave the others; None turns one off. All or nothing.

        Raises:
            ConfigError: As `fault_value`.
        """
        checked = {name: fault_value(name, value, self._switches) for name, value in changes.items()}
        self._values.update(checked)

    def restart(self) -> None:
        """Begin the chances again from the seed."""
        self._random = random.Random(self._seed)

    def chance(self, name: str) -> bool:
        """Whether the fault happens this time; a switch at 0 draws nothing, so it does not shift others."""
        odds = self.number(name)
        return odds > 0 and self._random.random() < odds

    def coin(self) -> bool:
        """One of two, evenly."""
        return self._random.random() < 0.5

    def number(self, name: str) -> float:
        """The value of a probability, seconds or number switch."""
        return float(self._values[name])

    def on(self, name: str) -> bool:
        """Whether a switch is anything but off."""
        return bool(self._values[name])

    def text(self, name: str) -> str:
        """The value of a text switch; empty when off."""
        return str(self._values[name])

    def as_json(self) -> dict[str, FaultValue]:
        """Every switch and its value, in the order they were declared."""
        return dict(self._values)


def _off(kind: Kind) -> FaultValue:
    if kind is bool:
        return False
    try:
        return kind("")
    except ValueError:
        return kind("0")


def _bool(value: object) -> bool:
    if isinstance(value, bool):
        return value
    if str(value).lower() in ("1", "true", "yes", "on"):
        return True
    if str(value).lower() in ("0", "false", "no", "off"):
        return False
    raise ValueError("neither true nor false")


def _kind_name(kind: Kind) -> str:
    return "text" if kind is str else getattr(kind, "__name__", "value")
