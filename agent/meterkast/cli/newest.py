"""The newest closed interval of a stream: what the `show` commands print."""

from __future__ import annotations

from collections.abc import Sequence

from meterkast.model.product import Product, Property
from meterkast.model.time import UtcMs
from meterkast.pipeline.binding import resolve, set_aside
from meterkast.ports.store import Store
from meterkast.ports.uplink import Wanted
from meterkast.uplinks.context import Closed, Newest


async def newest_in(store: Store) -> Newest:
    """What finds the newest interval that is closed for all that a stream is made of."""
    products: Sequence[Product] = await store.products()
    properties: Sequence[Property] = await store.properties()
    aside = set_aside(await store.lives())
    closed = await store.closed_until()

    async def newest(wanted: Wanted) -> Closed | None:
        found = {binding: resolve(binding, products, properties, aside)[0] for binding in wanted.bindings}
        ids = {binding: prop.id for binding, prop in found.items() if prop is not None}
        ends = [closed.get((property_id, wanted.length_ms)) for property_id in ids.values()]
        known = [end for end in ends if end is not None]
        if len(known) < len(wanted.bindings):
            return None
        end_ms = min(known)
        rows = await store.half_hours(
            UtcMs(end_ms - 1), end_ms, length_ms=wanted.length_ms, properties=tuple(ids.values())
        )
        by_id = {row.property_id: row for row in rows}
        return end_ms, {binding: by_id[one] for binding, one in ids.items() if one in by_id}

    return newest
