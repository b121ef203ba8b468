"""The page in a real browser: Debian's Chromium, steered by playwright."""

from __future__ import annotations

import re
from typing import Any

import pytest
from msgspec.structs import replace

from meterkast.pipeline.health import Snapshot

from .house import House

Browser = Any  # playwright is imported only where it is there

PHONE = {"width": 360, "height": 740}


async def opened(browser: Browser, url: str, complaints: list[str], **options: Any) -> Any:
    """The page in a tab of its own; what the console says against it is gathered."""
    context = await browser.new_context(**{"viewport": PHONE, **options})
    page = await context.new_page()
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("requestfailed", lambda request: complaints.append(f"{request.url}: {request.failure}"))
    await page.goto(url)
    return page


async def painted(page: Any) -> int:
    """How many pixels of the chart's canvas are not empty."""
    return int(
        await page.evaluate(
            """() => {
              const canvas = document.querySelector("#chart canvas");
              if (!canvas) return 0;
              const { data } = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
              return data.filter((value, place) => place % 4 === 3 && value > 0).length;
            }"""
        )
    )


async def test_chart_is_drawn_and_nothing_breaks_the_policy(house: House, browser: Browser) -> None:
    complaints: list[str] = []
    hosts: set[str] = set()
    page = await opened(browser, "about:blank", complaints)
    page.on("request", lambda request: hosts.add(request.url.split("/")[2]))
    await page.goto(house.url)
    await page.wait_for_selector("#chart canvas")
    assert await painted(page) > 1000
    await page.wait_for_selector("[data-live=live]")
    assert complaints == []
    assert hosts == {house.url.split("/")[2]}


async def test_what_changes_arrives_and_what_was_opened_stays_open(house: House, browser: Browser) -> None:
    complaints: list[str] = []
    page = await opened(browser, house.url, complaints)
    await page.wait_for_selector("[data-live=live]")
    await page.click("#products summary")
    meter = house.snapshot.products[0]
    first = replace(meter.properties[0], value="4821.999")
    house.change(
        products=(replace(meter, properties=(first, *meter.properties[1:])), *house.snapshot.products[1:]),
        verdict="attention",
        sentence="The gas meter is late.",
    )
    await page.wait_for_selector("text=4821.999")
    await page.wait_for_selector(".verdict.attention >> text=The gas meter is late.")
    assert await page.evaluate("document.querySelector('#products details').open")
    assert await page.title() == "! Stationsweg 12"
    assert complaints == []


async def test_a_closed_half_hour_joins_the_chart(house: House, browser: Browser, make_day: Any) -> None:
    complaints: list[str] = []
    page = await opened(browser, house.url, complaints)
    await page.wait_for_selector("[data-live=live]")
    assert await page.locator("#table tbody tr").count() == 29
    half_hour = 1_800_000
    snapshot = house.snapshot
    newest = max(row.end_ms for row in await house.store.half_hours(0, snapshot.clock.now_ms, properties=[3]))
    await house.keep([replace_end(make_day, newest + half_hour)])
    meter = snapshot.products[0]
    later = [
        replace(each, last_half_hour=replace(each.last_half_hour, end_ms=newest + half_hour))
        for each in meter.properties
    ]
    house.change(
        clock=replace(snapshot.clock, now_ms=snapshot.clock.now_ms + half_hour),
        products=(replace(meter, properties=tuple(later)), snapshot.products[1]),
    )
    await page.wait_for_selector("#table tbody tr:nth-child(30)", state="attached")
    await page.wait_for_selector("#chart canvas")
    assert "15:00" in await page.inner_text(".total")
    assert complaints == []


def replace_end(make_day: Any, end_ms: int) -> Any:
    from meterkast.model.time import UtcMs, to_datetime

    return make_day(3, 10_937_500, [], to_datetime(UtcMs(end_ms)))[0]


async def test_a_bar_is_read_by_touch(house: House, browser: Browser) -> None:
    page = await opened(browser, house.url, [], has_touch=True)
    await page.wait_for_selector("#chart canvas")
    await page.locator("#readout").scroll_into_view_if_needed()
    box = await page.locator("#chart .u-over").bounding_box()
    await page.touchscreen.tap(box["x"] + box["width"] * 17.5 / 48, box["y"] + box["height"] / 2)
    await page.locator("#readout", has_text=re.compile(r"09:00\s+0\.420 kWh")).wait_for()
    await page.touchscreen.tap(box["x"] + box["width"] * 19.5 / 48, box["y"] + box["height"] / 2)
    await page.locator("#readout", has_text=re.compile(r"10:00\s+— link lost")).wait_for()


async def test_a_lost_gateway_is_told_and_not_shown_as_fine(house: House, browser: Browser) -> None:
    page = await opened(browser, house.url, [])
    await page.wait_for_selector("[data-live=live]")
    await house.running.close()
    await page.wait_for_selector("text=No connection: this is as of")


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 1280])
async def test_nothing_is_wider_than_the_screen(
    house: House, browser: Browser, trouble: Snapshot, scheme: str, width: int
) -> None:
    house.snapshot = replace(
        trouble, site="Bedrijfsverzamelgebouw-Stationsweg-12-te-Nieuwerkerk-aan-den-IJssel"
    )
    page = await opened(browser, house.url, [], viewport={"width": width, "height": 740}, color_scheme=scheme)
    await page.wait_for_selector("#chart canvas")
    await page.click("#products summary")
    await page.click("#table summary")
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    over = await page.evaluate(
        """() => [...document.querySelectorAll("main *")]
          .filter((element) => !element.closest("#chart, label"))
          .filter((element) => element.getBoundingClientRect().right > innerWidth)
          .map((element) => element.outerHTML.slice(0, 80))"""
    )
    assert over == []


async def test_text_has_enough_contrast(house: House, browser: Browser, trouble: Snapshot) -> None:
    house.snapshot = replace(trouble, clock=replace(trouble.clock, speed=60.0))
    for scheme in ("light", "dark"):
        page = await opened(browser, house.url, [], color_scheme=scheme)
        await page.wait_for_selector("#chart canvas")
        assert await page.evaluate(CONTRAST) == [], scheme


# WCAG 2.2, 1.4.3: 4.5 to 1, 3 to 1 for large text. Every element with text of its own, on the nearest
# background that is not transparent.
CONTRAST = """() => {
  const numbers = (colour) => colour.match(/[\\d.]+/g).map(Number);
  const light = (colour) => numbers(colour).slice(0, 3)
    .map((part) => part / 255)
    .map((part) => (part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4))
    .reduce((sum, part, place) => sum + part * [0.2126, 0.7152, 0.0722][place], 0);
  const behind = (element) => {
    for (; element; element = element.parentElement) {
      const colour = getComputedStyle(element).backgroundColor;
      if ((numbers(colour)[3] ?? 1) > 0) return colour;
    }
    return "rgb(255, 255, 255)";
  };
  return [...document.querySelectorAll("body *")]
    .filter((element) => [...element.childNodes].some((node) => node.nodeType === 3 && node.nodeValue.trim()))
    .filter((element) => element.checkVisibility())
    .map((element) => {
      const style = getComputedStyle(element);
      const [high, low] = [light(style.color), light(behind(element))].sort((a, b) => b - a);
      const large = parseFloat(style.fontSize) >= 24;
      return [element.outerHTML.slice(0, 60), (high + 0.05) / (low + 0.05), large ? 3 : 4.5];
    })
    .filter(([, ratio, least]) => ratio < least);
}"""


async def test_without_javascript_everything_is_there(house: House, browser: Browser) -> None:
    page = await opened(browser, house.url, [], java_script_enabled=False)
    assert await page.locator(".verdict").inner_text() == house.snapshot.sentence
    assert await page.locator("#table tbody tr").count() == 29
    assert await page.locator("#table tbody tr").first.is_visible()
    assert not await page.locator("#chart").is_visible()
    await page.select_option("#property", "5")
    await page.click(".choose button")
    await page.wait_for_url("**/?property=5")
    assert await page.locator("#property").input_value() == "5"


async def test_without_javascript_the_page_renews_itself(house: House, browser: Browser) -> None:
    page = await opened(browser, house.url, [], java_script_enabled=False)
    house.change(sentence="Renewed.")
    await page.wait_for_selector(".verdict >> text=Renewed.", timeout=30_000)
