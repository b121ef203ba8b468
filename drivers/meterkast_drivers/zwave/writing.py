"""What a person wants written, as a number for the device: words, ranges and units. Pure.

Neither zwave-js nor its server holds a value against the device's own range (zwave.md, 3, trap 3): it is
done here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal

from meterkast.model.datatypes import BASIC, DIMMER, LOCK, WINDOW_DIMMER
from meterkast.model.errors import RefusedError
from meterkast.model.quantity import text as plain
from meterkast_drivers.zwave.mapping import Target, raw_of
from meterkast_drivers.zwave.target import OFF, ON
from meterkast_drivers.zwave.value import ZwaveValue

_WORDS: Mapping[str, bool] = {
    "on": True,
    "true": True,
    "yes": True,
    "off": False,
    "false": False,
    "no": False,
}
_LOCK_WORDS: Mapping[str, bool] = {"lock": True, "locked": True, "unlock": False, "unlocked": False}
_COVER_WORDS: Mapping[str, bool] = {"open": True, "close": False, "closed": False}

# No longer than devices need, and without an exponent: 1e999999999 is a text of a gigabyte.
_NUMBER = re.compile(r"[+-]?[0-9]{1,12}([.,][0-9]{1,12})?")

_LEVELS = (DIMMER, WINDOW_DIMMER)
_FULL = Decimal(99)


def number_from(text: str, target: Target) -> Decimal:
    """The number that a person means, in the canonical unit.

    Args:
        text: A number, a word such as "on" or "lock", or the name of a mode.
        target: What is written.

    Raises:
        RefusedError: The text means nothing for this property.
    """
    word = text.strip().casefold()
    for code, name in target.states.items():
        if word == name.casefold() and _NUMBER.fullmatch(code):
            return Decimal(code)
    on = _meaning(word, target)
    if on is not None:
        full = _FULL if target.datatype in _LEVELS else Decimal(ON)
        return full if on else Decimal(OFF)
    if not _NUMBER.fullmatch(word):
        raise RefusedError(f'{target.name}: "{text}" is no value for it', hint=_takes(target, None))
    number = Decimal(word.replace(",", "."))
    if target.datatype in _LEVELS and number == 100:
        return _FULL
    if target.switching and number == 1:
        return Decimal(ON)
    return number


def raw_from(number: Decimal, target: Target, written: ZwaveValue) -> bool | int | float:
    """What is sent for that number.

    Args:
        number: In the canonical unit.
        target: What is written.
        written: The value that takes it, which need not be the one that is read.

    Raises:
        RefusedError: The device does not take that number.
    """

    def refused() -> RefusedError:
        unit = f" {target.unit.value}" if target.unit.value else ""
        return RefusedError(
            f"{target.name}: {plain(number)}{unit} is not in its range", hint=_takes(target, written)
        )

    if (target.low is not None and number < target.low) or (target.high is not None and number > target.high):
        raise refused()
    if target.switching and number not in (OFF, ON):
        raise refused()
    if target.codes is not None and number not in target.codes.values():
        raise refused()
    raw = raw_of(target, number)
    if isinstance(raw, bool):
        return raw
    if (written.low is not None and raw < written.low) or (written.high is not None and raw > written.high):
        raise refused()
    if _has_closed_states(target, written) and str(raw) not in written.states:
        raise refused()
    return raw


def _meaning(word: str, target: Target) -> bool | None:
    """Whether the word switches this on or off; None where it is no such word."""
    if target.datatype == LOCK:
        return _LOCK_WORDS.get(word)
    if target.datatype == WINDOW_DIMMER and word in _COVER_WORDS:
        return _COVER_WORDS[word]
    if target.switching or target.datatype in (*_LEVELS, BASIC):
        return _WORDS.get(word)
    return None


def _has_closed_states(target: Target, written: ZwaveValue) -> bool:
    """Whether only the device's named states may be written."""
    return bool(written.states) and target.datatype not in (*_LEVELS, BASIC)


def _takes(target: Target, written: ZwaveValue | None) -> str:
    """What may be written, as a sentence."""
    if target.datatype == LOCK:
        return "It takes lock or unlock."
    if target.switching:
        return "It takes on or off."
    if target.datatype == BASIC:
        return "It takes 0 to 99, on or off."
    if target.states and target.datatype not in _LEVELS:
        return f"It takes one of: {', '.join(target.states.values())}."
    low, high = target.low, target.high
    if written is not None and low is None and written.low is not None:
        low = target.conversion.to_canonical(Decimal(str(written.low)))
    if written is not None and high is None and written.high is not None:
        high = target.conversion.to_canonical(Decimal(str(written.high)))
    unit = f" {target.unit.value}" if target.unit.value else ""
    if low is not None and high is not None:
        return f"It takes {plain(low)} to {plain(high)}{unit}."
    if low is not None:
        return f"It takes at least {plain(low)}{unit}."
    if high is not None:
        return f"It takes at most {plain(high)}{unit}."
    return f"It takes a number{f' in {target.unit.value}' if target.unit.value else ''}."
