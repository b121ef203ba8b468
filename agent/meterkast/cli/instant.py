"""Instants and channels as a person writes them on the command line."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime, tzinfo

from meterkast.model.errors import ConfigError
from meterkast.model.life import Life
from meterkast.model.product import Product, Property
from meterkast.model.time import YEARS, UtcMs, from_datetime
from meterkast.pipeline.binding import resolve, set_aside
from meterkast.ports.uplink import Binding

_EXAMPLES = "Write it like 2026-03-29T14:30 (the site's time), 2026-03-29T14:30+02:00 or 2026-03-29T12:30Z."


def instant(text: str, option: str, where: tzinfo) -> UtcMs:
    """The instant of an ISO 8601 text; without an offset it is the site's wall clock, a date its midnight.

    Raises:
        ConfigError: It is none, or the wall clock showed it twice, or never.
    """
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise ConfigError(f"{option} {text}: not a time", hint=_EXAMPLES) from error
    if moment.year not in YEARS:
        raise ConfigError(f"{option} {text}: its year is not from {YEARS[0]} to {YEARS[-1]}", hint=_EXAMPLES)
    if moment.tzinfo is not None:
        return from_datetime(moment)
    first, second = (from_datetime(moment.replace(tzinfo=where, fold=fold)) for fold in (0, 1))
    if first != second:
        raise ConfigError(
            f"{option} {text}: the site's clock was changed then, and showed this time twice or never",
            hint="Write it with its offset, such as 2026-10-25T02:30+02:00.",
        )
    return first


def properties_of(
    channel: str, products: Sequence[Product], properties: Sequence[Property], lives: Iterable[Life]
) -> list[tuple[Product, Property]]:
    """The properties of `<product>/<property>`: as the configuration writes it, or by the product's id.

    Returns:
        What it means now; then what it meant before, or may mean from now on: meters that were replaced or
        retired, and one whose swap is not signed off.

    Raises:
        ConfigError: There is none, or several.
    """
    name, slash, key = channel.rpartition("/")
    if not slash:
        raise ConfigError(
            f"--channel {channel}: not <product>/<property>", hint="Write it like electricity/import_total."
        )
    by_id = {str(product.id): product for product in products}
    binding, aside = Binding(product=name, key=key), set_aside(lives)
    found, why = resolve(binding, products, properties, aside)
    if found is None and name in by_id:
        found = next((one for one in properties if str(one.product_id) == name and one.key == key), None)
    if found is None:
        known = ", ".join(f"{one.id} {one.description.identity}" for one in products) or "none yet"
        raise ConfigError(f"--channel {why or channel}", hint=f"Products by id: {known}.")
    others = [resolve(binding, [one], properties, ())[0] for one in products if one.id in aside]
    meant = [found, *(one for one in others if one is not None and one.id != found.id)]
    return [(by_id[str(one.product_id)], one) for one in meant]
