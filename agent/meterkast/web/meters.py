"""Meters over the control socket: the list, a swap that is signed off, one that is retired."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from aiohttp import web

from meterkast.pipeline.meter_desk import MeterDesk, RetireOrder, SwapOrder
from meterkast.web.answers import BadRequestError, as_json

S = TypeVar("S", bound=msgspec.Struct)


def add_meters(app: web.Application, desk: MeterDesk) -> None:
    """Add the routes; before those with a driver's name in them."""

    async def listed(request: web.Request) -> web.Response:
        return as_json(desk.meters())

    async def swap(request: web.Request) -> web.Response:
        return as_json(await desk.swap(await _asked(request, SwapOrder)))

    async def retire(request: web.Request) -> web.Response:
        return as_json(await desk.retire(await _asked(request, RetireOrder)))

    app.router.add_route("GET", "/meters", listed)
    app.router.add_route("POST", "/meters/swap", swap)
    app.router.add_route("POST", "/meters/retire", retire)


async def _asked(request: web.Request, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        raise BadRequestError(f"The question is not understood: {error}.", hint="Correct it.") from error
