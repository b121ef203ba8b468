"""What the page says, as HTML without a browser."""

from __future__ import annotations

import re

import pytest
from msgspec.structs import replace

from meterkast.pipeline.health import Snapshot

from .house import House


def text_of(html: str) -> str:
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", html))


async def test_one_sentence_says_that_all_is_well(house: House) -> None:
    status, html = await house.get("/")
    assert status == 200
    assert 'class="verdict good"' in html
    assert "All is well: every meter is read" in html
    assert "<title>✓ Stationsweg 12</title>" in html


async def test_every_problem_says_what_to_do(house: House, trouble: Snapshot) -> None:
    house.snapshot = trouble
    _, html = await house.get("/")
    assert 'class="verdict problem"' in html
    assert "Check that the gas meter is paired with the electricity meter." in html
    # The platform's own words, and only as words.
    assert "&lt;b&gt;value&lt;/b&gt; below the previous register" in html
    assert "<b>value</b>" not in html


async def test_an_unknown_value_is_a_dash_with_its_reason(house: House, trouble: Snapshot) -> None:
    house.snapshot = trouble
    page = text_of((await house.get("/"))[1])
    assert "not read since the start —" in page
    assert "last was 2177.114 m³, 1 h ago: too old to count —" in page
    assert "14:30 · missing: meter silent" in page


async def test_no_serial_is_shown_in_full_anywhere(house: House, trouble: Snapshot) -> None:
    house.snapshot = trouble
    for path in ("/", "/half-hours", "/api/status", "/healthz", "/metrics"):
        _, body = await house.get(path)
        for serial in ("E0047000001234517", "G0039001234567819", "G0039009876543210"):
            assert serial not in body, path
    assert "…4517" in (await house.get("/"))[1]


async def test_names_from_devices_are_never_markup(house: House) -> None:
    product = house.snapshot.products[0]
    house.change(products=(replace(product, name="<script>alert(1)</script>", serial='"><img src=x>'),))
    _, html = await house.get("/")
    assert "<script>alert" not in html
    assert "<img" not in html


async def test_a_fast_clock_is_announced(house: House) -> None:
    assert "Rehearsal" not in (await house.get("/"))[1]
    house.change(clock=replace(house.snapshot.clock, speed=60.0))
    assert "Rehearsal: this clock runs 60 times as fast" in (await house.get("/"))[1]


async def test_electricity_import_in_total_is_charted_unless_asked_otherwise(house: House) -> None:
    _, html = await house.get("/")
    assert re.search(r'<option value="3" selected>', html)
    assert "From 09:00 to 11:00 together: 0.380 kWh" in html
    _, html = await house.get("/?property=9")
    assert re.search(r'<option value="9" selected>', html)
    assert "Nothing is closed yet today" in html


async def test_days_lead_to_the_day_before_and_after(house: House) -> None:
    _, today = await house.get("/?property=3")
    assert 'href="/?property=3&amp;day=2025-11-20#half-hours"' in today
    assert 'rel="next"' not in today
    _, before = await house.get("/?property=3&day=2025-11-20")
    assert 'href="/?property=3#half-hours" rel="next"' in before
    assert '<input type="hidden" name="day" value="2025-11-20">' in before


@pytest.mark.parametrize(
    "query", ["property=99", "property=x", "day=yesterday", "day=9999-12-31", "day=2025-02-30"]
)
async def test_an_odd_question_shows_the_usual_and_says_so(house: House, query: str) -> None:
    status, html = await house.get(f"/?{query}")
    assert status == 200
    assert re.search(r"There is no property 99|is not a number|is not a day", html)


async def test_a_house_without_anything_still_has_a_page(house: House) -> None:
    house.change(products=(), uplinks=(), drivers=())
    status, html = await house.get("/")
    assert status == 200
    assert "No meter was found yet" in html
    assert "No uplink is configured" in html


@pytest.mark.parametrize(
    ("drivers", "cable", "radio"),
    [
        ((), True, False),
        (("p1",), True, False),
        (("zwave.roof",), False, True),
        (("p1", "zwave"), True, True),
    ],
)
async def test_a_house_without_meters_says_how_they_come(
    house: House, drivers: tuple[str, ...], cable: bool, radio: bool
) -> None:
    first = house.snapshot.drivers[0]
    house.change(products=(), drivers=tuple(replace(first, name=name) for name in drivers))
    _, html = await house.get("/")
    assert "No meter was found yet" in html
    assert ("first telegram" in html, "meterkast zwave include" in html) == (cable, radio)


async def test_a_store_that_refuses_costs_the_chart_and_not_the_page(house: House) -> None:
    await house.store.close()
    status, html = await house.get("/")
    assert status == 200
    assert "All half-hours of the day" not in html
    assert "Electricity meter" in html
    status, body = await house.get("/api/half-hours?property=3")
    assert status == 503
    assert '"do":' in body


async def test_nothing_is_inline_and_nothing_comes_from_elsewhere(house: House, trouble: Snapshot) -> None:
    house.snapshot = trouble
    _, html = await house.get("/")
    assert not re.search(r"\sstyle=|\son\w+=|<style|<script(?![^>]*\ssrc=)|https?://", html)


async def test_first_load_is_small(house: House) -> None:
    _, html = await house.get("/")
    size = len(html.encode())
    for address in re.findall(r'(?:src|href)="(/static/[^"]+)"', html):
        status, body = await house.get(address)
        assert status == 200
        size += len(body.encode())
    assert size <= 200_000
