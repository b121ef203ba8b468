"""Devices of a network on the page, in `/api/status`, in `/metrics` and in `meterkast status`."""

from __future__ import annotations

import json
from typing import Any

import pytest
from msgspec.structs import replace

from meterkast.cli.status import as_text
from meterkast.pipeline.health import HalfHourHealth, ProductHealth, PropertyHealth, Snapshot
from meterkast.web import tones

from .house import House


def value(number: int, key: str, kind: str, newest: str | None, **more: Any) -> PropertyHealth:
    fields: dict[str, Any] = {
        "datatype": 56,
        "datatype_name": key,
        "reference": "49-0-x",
        "unit": "",
        "at_ms": None,
        "age_s": None if newest is None else 30.0,
        "fresh": newest is not None,
        "last_half_hour": None,
    }
    return PropertyHealth(id=number, key=key, name=key, kind=kind, value=newest, **{**fields, **more})


DOOR = ProductHealth(
    id=20,
    name="Back door",
    medium="sensor",
    serial="",
    fresh=True,
    availability="available",
    properties=tuple(
        value(100 + number, key, kind, newest)
        for number, (key, kind, newest) in enumerate(
            [
                ("contact", "state", "255"),
                ("tamper", "event", None),
                ("battery", "momentary", None),
                ("mode", "state", "1"),
                ("lock", "state", "0"),
                ("switch_2", "state", "255"),
                ("movement", "event", "0"),
            ]
        )
    ),
)


def tone(house: House, product: ProductHealth) -> tones.Tone:
    return tones.of_product(product, house.snapshot)


async def test_a_device_with_states_only_is_shown_like_the_others(house: House) -> None:
    house.change(products=(*house.snapshot.products, DOOR))
    status, page = await house.get("/")
    card = page[page.index("Back door") : page.index("</article>", page.index("Back door"))]
    assert status == 200
    assert '<span class="tag good">' in card
    assert "Available" in card
    assert card.count("<li>") == 7
    assert "<summary>3 more values</summary>" in card
    assert "not read since the start" in card
    assert "None" not in card


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, ("good", "Available")),
        ({"availability": "retrying"}, ("attention", "Hard to reach")),
        ({"availability": "unreachable", "fresh": False}, ("attention", "Cannot be reached")),
        ({"availability": "", "removed": True, "fresh": False}, ("wait", "Removed")),
        ({"properties": (), "availability": "", "fresh": False}, ("wait", "No device yet")),
    ],
)
async def test_each_state_of_a_device_has_its_word(
    house: House, changes: dict[str, Any], expected: tuple[str, str]
) -> None:
    assert tone(house, replace(DOOR, **changes)) == expected


async def test_a_meter_out_of_reach_is_a_problem(house: House) -> None:
    electricity = replace(house.snapshot.products[0], availability="unreachable", fresh=False)
    assert tone(house, electricity) == ("problem", "Cannot be reached")


async def test_values_that_a_device_never_tells_do_not_count(house: House) -> None:
    missing = HalfHourHealth(
        end_ms=house.snapshot.products[0].properties[0].last_half_hour.end_ms,  # type: ignore[union-attr]
        value=None,
        state="missing",
        cause="meter silent",
    )
    register = replace(house.snapshot.products[0].properties[0], id=200)
    never = value(201, "reactive", "register", None, last_half_hour=missing)
    plug = replace(DOOR, properties=(register, never))
    assert tone(house, plug) == ("good", "Fresh")
    spoken = replace(plug, properties=(replace(register, last_half_hour=missing), never))
    assert tone(house, spoken) == ("attention", "Last half-hour missing")


async def test_programs_see_which_devices_can_be_reached(house: House) -> None:
    gone = replace(DOOR, id=21, name="Shed", availability="unreachable", fresh=False)
    house.change(products=(*house.snapshot.products, DOOR, gone))
    _, body = await house.get("/api/status")
    assert [one["availability"] for one in json.loads(body)["products"]] == [
        "", "", "available", "unreachable",
    ]  # fmt: skip
    _, metrics = await house.get("/metrics")
    assert 'meterkast_node_available{product="20"} 1.0' in metrics
    assert 'meterkast_node_available{product="21"} 0.0' in metrics
    assert 'meterkast_node_available{product="1"}' not in metrics


def test_status_on_the_terminal_says_it_too(trouble: Snapshot) -> None:
    gone = replace(DOOR, name="Shed", availability="", removed=True)
    new = replace(DOOR, name="Boiler", availability="", properties=(), fresh=False)
    text = as_text(replace(trouble, products=(*trouble.products, DOOR, gone, new)))
    assert "meter     Boiler: no device yet\n" in text
    assert "meter     Back door: fresh, available" in text
    assert "meter     Shed: removed" in text
    assert "meter     Gas meter: not fresh\n" in text
