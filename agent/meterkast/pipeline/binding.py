"""From what an uplink asks for to properties with ids."""

from __future__ import annotations

from collections.abc import Container, Iterable, Sequence

from meterkast.model.life import Life
from meterkast.model.product import Product, ProductId, Property
from meterkast.ports.uplink import Binding


def named(product: Product, name: str) -> bool:
    """Whether a configuration's word for a product means this one: its serial, its identity, or its name."""
    described = product.description
    return name in (described.identity, described.serial, described.name) or described.identity.endswith(
        f":{name}"
    )


def set_aside(lives: Iterable[Life]) -> set[ProductId]:
    """Products that a name means only where it can mean no other."""
    return {one.product_id for one in lives if one.set_aside}


def resolve(
    binding: Binding,
    products: Iterable[Product],
    properties: Iterable[Property],
    aside: Container[ProductId],
) -> tuple[Property | None, str]:
    """The property a binding means.

    Args:
        binding: What is asked for.
        products, properties: All that are known.
        aside: Products that are meant only where no other could be: retired ones, and a new meter whose swap
            is not signed off; see `set_aside`.

    Returns:
        The property; or None and a sentence that says what is waited for or what to write instead.
    """
    known = list(products)
    # An identity is whole and unique; the shorter words may mean several.
    candidates = [product for product in known if product.description.identity == binding.product] or [
        product for product in known if named(product, binding.product)
    ]
    candidates = _standing(candidates, aside)
    if not candidates:
        candidates = [product for product in known if product.description.medium == binding.product]
        # A medium's bare name means the utility's own meter before any behind it: adding a sub-meter must not
        # stop what was bound before.
        candidates = _standing(candidates, aside)
        candidates = [product for product in candidates if product.description.is_utilitys] or candidates
        if len(candidates) > 1:
            return None, _ambiguous(binding, candidates)
    if not candidates:
        return None, f"{binding}: no such meter was read yet"
    ids = {product.id for product in candidates}
    own = [prop for prop in properties if prop.product_id in ids]
    found = [prop for prop in own if prop.key == binding.key]
    if not found:
        keys = ", ".join(prop.key for prop in own) or "nothing"
        return None, f"{binding}: the meter has no {binding.key} yet; it has {keys}"
    if len(found) > 1:
        owners = {prop.product_id for prop in found}
        return None, _ambiguous(binding, [product for product in candidates if product.id in owners])
    if binding.unit is not None and found[0].unit is not binding.unit:
        return None, f"{binding}: is kept in {found[0].unit}, and {binding.unit} is asked for"
    return found[0], ""


def _standing(candidates: list[Product], aside: Container[ProductId]) -> list[Product]:
    return [product for product in candidates if product.id not in aside] or candidates


def _ambiguous(binding: Binding, candidates: Sequence[Product]) -> str:
    words = [product.description.serial or product.name for product in candidates]
    if len(set(words)) < len(words):  # only the identity tells them apart
        words = [product.description.identity for product in candidates]
    return f"{binding}: there are {len(words)} such devices; write one of {', '.join(words)} instead"
