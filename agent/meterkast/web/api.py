"""For programs: `/api/status`, `/api/half-hours` and `/healthz`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import date
from typing import Any

from aiohttp import web

from meterkast.model.quantity import text
from meterkast.model.time import iso_local
from meterkast.pipeline.health import PropertyHealth, Snapshot
from meterkast.web.answers import BadRequestError, UnknownError, as_json, number
from meterkast.web.gateway import Gateway
from meterkast.web.half_hours import Row, read_day

_DAY = re.compile(r"\d{4}-\d{2}-\d{2}", re.ASCII)


class Api:
    """The handlers."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway

    async def status(self, request: web.Request) -> web.Response:
        """`GET /api/status`: the whole snapshot."""
        return as_json(self._gateway.seen())

    async def healthz(self, request: web.Request) -> web.Response:
        """`GET /healthz`: 200 "ok", or 503 and the problems. "attention" is still 200: data flows."""
        snapshot = self._gateway.seen()
        if snapshot.verdict != "problem":
            return web.Response(text="ok")
        return as_json({"sentence": snapshot.sentence, "problems": snapshot.problems}, status=503)

    async def half_hours(self, request: web.Request) -> web.Response:
        """`GET /api/half-hours?property=ID&day=YYYY-MM-DD`: the closed half-hours of one day."""
        gateway = self._gateway
        snapshot = gateway.seen()
        entry = asked_property(request.query, snapshot)
        if entry is None:
            raise BadRequestError(
                "`property` is missing.", hint="Give a property's id; /api/status lists them."
            )
        day = asked_day(request.query) or gateway.grid.date_of(snapshot.clock.now_ms)
        found = await read_day(gateway.store, gateway.grid, entry, day, snapshot.clock.now_ms)
        return as_json(
            {
                "property": entry.id,
                "unit": entry.unit,
                "day": day.isoformat(),
                "zone": snapshot.clock.zone,
                "half_hours": [self._row(row) for row in found.rows if row.state != "open"],
            }
        )

    def _row(self, row: Row) -> dict[str, Any]:
        where = self._gateway.grid.zone
        return {
            "end": iso_local(row.end_ms, where),
            "value": None if row.value is None else text(row.value),
            "difference": None if row.difference is None else text(row.difference),
            "difference_since": None if row.since_ms is None else iso_local(row.since_ms, where),
            "state": row.state,
            "cause": row.cause,
            "revision": row.revision,
        }


def asked_property(query: Mapping[str, str], snapshot: Snapshot) -> PropertyHealth | None:
    """The property a query asks for; None where it asks for none.

    Raises:
        BadRequestError: It is no number.
        UnknownError: There is no such property.
    """
    asked = query.get("property")
    if asked is None:
        return None
    wanted = number(asked, "property", "Give a property's id; /api/status lists them.")
    for product in snapshot.products:
        for entry in product.properties:
            if entry.id == wanted:
                return entry
    raise UnknownError(f"There is no property {wanted}.", hint="/api/status lists them.")


def asked_day(query: Mapping[str, str]) -> date | None:
    """The day a query asks for; None where it asks for none.

    Raises:
        BadRequestError: It is no day between the years 2000 and 2200.
    """
    asked = query.get("day")
    if not asked:
        return None
    try:
        day = date.fromisoformat(asked) if _DAY.fullmatch(asked) else None
    except ValueError:
        day = None
    if day is None or not 2000 <= day.year <= 2200:
        raise BadRequestError("`day` is not a day.", hint="Write it as 2025-11-21.")
    return day
