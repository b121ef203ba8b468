"""The page itself: HTML from templates, whole or in parts. Jinja2 is imported at the first request."""

from __future__ import annotations

import asyncio
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from aiohttp import web

from meterkast import words
from meterkast.model.datatypes import METER, Kind
from meterkast.model.errors import StorageError
from meterkast.model.product import Medium
from meterkast.pipeline.health import ProductHealth, PropertyHealth, Snapshot
from meterkast.web import tones
from meterkast.web.answers import BadRequestError, UnknownError
from meterkast.web.api import asked_day, asked_property
from meterkast.web.assets import Assets
from meterkast.web.gateway import Gateway
from meterkast.web.half_hours import Day, read_day

if TYPE_CHECKING:
    from jinja2 import Environment

PARTS = ("verdict", "products", "uplinks", "gateway")
"""The parts of the page that change by themselves, named as template and element."""

# What an electrician looks for first, besides registers: power taken and produced, temperature, humidity
# and CO2.
_FIRST_DATATYPES = {18, 62, 12, 75, 80}
# How many values are shown at once of a device that has none of those.
_FEW = 4


class Pages:
    """The handlers of `/` and `/half-hours`, and the parts for live pages."""

    def __init__(self, gateway: Gateway, assets: Assets) -> None:
        self._gateway = gateway
        self._assets = assets
        self._templates: Environment | None = None
        self._lock = asyncio.Lock()

    async def whole(self, request: web.Request) -> web.Response:
        """`GET /`: everything, readable without JavaScript."""
        context = self._context(self._gateway.seen())
        context.update(await self._day(request, context["s"]))
        return _html(await self._render("page.html", context))

    async def half_hours(self, request: web.Request) -> web.Response:
        """`GET /half-hours`: the part with the chart, for a page that is live."""
        context = self._context(self._gateway.seen())
        context.update(await self._day(request, context["s"]))
        return _html(await self._render("half_hours.html", context))

    async def parts(self) -> dict[str, str]:
        """The parts that change by themselves, and `closed`, which changes with every close."""
        snapshot = self._gateway.seen()
        context = self._context(snapshot)
        parts = {name: await self._render(f"{name}.html", context) for name in PARTS}
        return {**parts, "title": _title(snapshot), "closed": _closed(snapshot), "stamp": self._assets.stamp}

    async def _render(self, name: str, context: dict[str, Any]) -> str:
        async with self._lock:
            if self._templates is None:
                # Half a second on a small Pi: not on the loop that reads the meters.
                self._templates = await asyncio.to_thread(_compiled, self._assets)
        return self._templates.get_template(name).render(context)

    def _context(self, snapshot: Snapshot) -> dict[str, Any]:
        now_ms = snapshot.clock.now_ms
        return {
            "s": snapshot,
            "now_ms": now_ms,
            "time": words.SiteTime(self._gateway.grid.zone, now_ms),
            "title": _title(snapshot),
            "closed": _closed(snapshot),
        }

    async def _day(self, request: web.Request, snapshot: Snapshot) -> dict[str, Any]:
        """What the part with the chart needs; asking for something odd shows the usual, and says so."""
        today = self._gateway.grid.date_of(snapshot.clock.now_ms)
        notice = ""
        entry: PropertyHealth | None = None
        day: date | None = None
        try:
            entry = asked_property(request.query, snapshot)
            day = asked_day(request.query)
        except (BadRequestError, UnknownError) as error:
            notice = str(error)
        choices = [
            (product, entries)
            for product in snapshot.products
            if (
                entries := [
                    each for each in product.properties if each.kind in (Kind.REGISTER, Kind.MOMENTARY)
                ]
            )
        ]
        entry = entry or _usual(choices)
        shown = day or today
        found: Day | None = None
        if entry is not None:
            try:
                found = await read_day(
                    self._gateway.store, self._gateway.grid, entry, shown, snapshot.clock.now_ms
                )
            except StorageError as error:
                notice = f"{error} {error.hint}"
        return {
            "choices": choices,
            "entry": entry,
            "day": found,
            "notice": notice,
            "today": today,
            "shown": shown,
            "before": shown - timedelta(days=1),
            "after": shown + timedelta(days=1) if shown < today else None,
        }


def _usual(choices: list[tuple[ProductHealth, list[PropertyHealth]]]) -> PropertyHealth | None:
    """What is charted unless asked otherwise: electricity from the grid, in total where there is one."""

    def rank(product: ProductHealth, entry: PropertyHealth) -> tuple[bool, bool, bool, bool]:
        return (
            entry.kind != Kind.REGISTER,
            product.medium != Medium.ELECTRICITY,
            not entry.key.startswith("import"),
            entry.key not in ("import", "import_total"),
        )

    ranked = [(rank(product, entry), entry) for product, entries in choices for entry in entries]
    return min(ranked, key=lambda each: each[0])[1] if ranked else None


def ordered(product: ProductHealth) -> tuple[list[PropertyHealth], list[PropertyHealth]]:
    """A product's properties: those shown at once, and those behind "more"."""
    first = [
        each
        for each in product.properties
        if each.datatype in _FIRST_DATATYPES
        or (each.kind == Kind.REGISTER and each.datatype != METER and not each.key.startswith("reactive"))
    ]
    # What the meter's own display shows first: the totals, then everything in the telegram's order.
    first.sort(key=lambda each: not each.key.endswith("_total"))
    if not first or len(product.properties) - len(first) <= 1:
        first = list(product.properties)[: max(_FEW, len(first) + 1)]
    return first, [each for each in product.properties if each not in first]


def _title(snapshot: Snapshot) -> str:
    mark = {"ok": "✓", "attention": "!", "problem": "✕"}[snapshot.verdict]
    return f"{mark} {snapshot.site}"


def _closed(snapshot: Snapshot) -> str:
    ends = [
        entry.last_half_hour.end_ms
        for product in snapshot.products
        for entry in product.properties
        if entry.last_half_hour is not None
    ]
    return str(max(ends, default=0))


def _compiled(assets: Assets) -> Environment:
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    templates = Environment(
        loader=FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        auto_reload=False,
    )
    templates.globals.update(
        asset=assets.address, stamp=assets.stamp, tones=tones, words=words, ordered=ordered
    )
    templates.filters.update(
        span=words.span, ago=words.ago, size=words.size, unit=words.unit_name, shown=words.shown
    )
    for name in templates.list_templates():
        templates.get_template(name)
    return templates


def _html(body: str) -> web.Response:
    return web.Response(text=body, content_type="text/html")
