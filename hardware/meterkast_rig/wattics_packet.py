"""What a Wattics packet must be, by "REST API – Smart Meter Energy Data API"."""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime
from typing import Any

ELECTRICAL = frozenset(
    [f"{quantity}_{phase}" for quantity in ("aP", "rP", "apP", "v", "c", "pC") for phase in (1, 2, 3)]
    + ["v_12", "v_13", "v_23"]
)
"""Section "JSON Packet Format", electrical packet: every key but id and tsISO8601."""

_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}[+-]\d\d:\d\d")


class RefusedError(Exception):
    """The packet is answered with this status and these words, and not stored."""

    def __init__(self, status: int, words: str) -> None:
        super().__init__(words)
        self.status = status


def check_packet(raw: bytes) -> dict[str, Any]:
    """One packet as the document wants it.

    Args:
        raw: The body of the request.

    Returns:
        The packet: `id`, `tsISO8601`, and `value` or a subset of the electrical keys, all finite numbers.

    Raises:
        RefusedError: 400, with the reason.

    Source:
        "REST API – Smart Meter Energy Data API", sections "JSON Packet Format" and "IMPORTANT NOTES".
    """
    if b"\n" in raw or b"\r" in raw:
        raise _bad("the packet must be sent in one line, no line breaks")
    try:
        body = json.loads(raw.decode("utf-8"), object_pairs_hook=_object, parse_constant=_constant)
    except (ValueError, RecursionError) as error:
        raise _bad(f"not a JSON packet: {error}") from error
    if not isinstance(body, dict):
        raise _bad("one packet per transaction: the body must be one JSON object")
    for key in ("id", "tsISO8601"):
        if not isinstance(body.get(key), str) or not body[key].strip():
            raise _bad(f"{key} must be a string that is not blank")
    stamp_ms(body["tsISO8601"])
    values = body.keys() - {"id", "tsISO8601"}
    if not values:
        raise _bad("the packet holds no value")
    if values != {"value"} and not values <= ELECTRICAL:
        strange = ", ".join(sorted(values - ELECTRICAL))
        raise _bad(f"an electrical packet has no key {strange} (a single-value packet has value alone)")
    for key in values:
        number = body[key]
        if isinstance(number, bool) or not isinstance(number, int | float) or not _finite(number):
            raise _bad(f"{key} must be a finite number, not {json.dumps(number)[:80]}")
    return body


def stamp_ms(stamp: str) -> int:
    """Epoch milliseconds of a stamp `yyyy-mm-ddThh:mm:ss.sss±hh:mm`.

    Raises:
        RefusedError: 400: another format, or no date and time that exists.
    """
    if not _STAMP.fullmatch(stamp):
        raise _bad(f"tsISO8601 must be yyyy-mm-ddThh:mm:ss.sss+|-hh:mm, not {stamp!r}")
    try:
        moment = datetime.fromisoformat(stamp)
    except ValueError as error:
        raise _bad(f"tsISO8601 {stamp!r} is no date and time that exists") from error
    # The fraction apart: a float of the whole stamp would round some milliseconds down.
    return int(moment.replace(microsecond=0).astimezone(UTC).timestamp()) * 1000 + moment.microsecond // 1000


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    packet = dict(pairs)
    if len(packet) != len(pairs):
        raise ValueError("a key is there twice")
    return packet


def _constant(name: str) -> float:
    raise ValueError(f"{name} is no JSON number")


def _bad(words: str) -> RefusedError:
    return RefusedError(400, f"Bad Request: {words}")


def _finite(number: float) -> bool:
    return -math.inf < number < math.inf  # math.isfinite cannot take a whole number past 1e308
