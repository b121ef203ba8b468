"""The report as people get it: on the terminal, as a table, and as one page to read and print."""

from __future__ import annotations

import csv
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

from meterkast.cli import main
from meterkast.model.boot import Boot
from meterkast.model.epoch import Break, Epoch
from meterkast.model.half_hour import Cause
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, UtcMs
from meterkast.ports.store import Keep
from meterkast.proof.body import Body, ClockPart, DoubtPart
from meterkast.proof.language import _WORDS, words
from meterkast.proof.render import Wording, as_html, as_text
from meterkast.proof.verify import verify
from meterkast.timing.machine import boot_id, boot_ns

from .site import REGISTER, Site, at, wh

LONG = "connection-with-a-name-of-many-letters/power_consumption_of_the_whole_building"


@pytest.fixture
async def full(site: Site) -> Body:
    """An October with something of everything."""
    from msgspec.structs import replace

    begin, end = at("2026-10-01"), at("2026-11-01")
    gaps = {
        **{UtcMs(at("2026-10-25T01:30") + step * HALF_HOUR_MS): Cause.GATEWAY_OFF for step in range(1, 5)},
        at("2026-10-07T10:00"): Cause.LINK_LOST,
    }
    await site.owe(begin)
    await site.owe(begin, name=LONG, stream="m1")
    await site.fill(begin, end, lacks=gaps)
    await site.deliver(at("2026-10-30"))
    items = await site.store.pending("wattics", "m1", 1)
    words = '400 Bad Request: "pC_1" <b>too</b> ' + "x" * 120
    await site.store.quarantine([one.id for one in items], words, end)
    await site.store.set_state(
        "proof",
        "reconcile",
        json.dumps(
            [
                {"uplink": "wattics", "stream": "m1", "asked_ms": end, "outcome": "sent again"}
                | {"held_ms": begin, "delivered_ms": end, "again": 7}
            ]
        ),
    )
    await site.store.set_state(
        "proof",
        "conservation",
        '{"day":"2026-10-31","rows":48,"unchecked":0,"registers":1,"wrong":0,"sentences":[],'
        '"checked":[["2026-09-01","2026-10-12"],["2026-10-15","2026-10-31"]]}',
    )
    swap = Epoch(
        property_id=REGISTER,
        number=1,
        kind=Break.SWAP,
        at_ms=at("2026-10-12T09:12"),
        first=Quantity(12),
        last=Quantity(4711),
        offset=Quantity(4699),
        signed_by="J. de Vries",
    )
    await site.store.keep(Keep(now_ms=end, epochs=[swap]))
    await site.seal(end)
    body = await site.report("2026-10")
    return replace(
        body,
        clock=(
            ClockPart(after_ms=at("2026-10-20T10:00"), before_ms=at("2026-10-20T11:00"), duration_ms=3e6),
        ),
        doubts=(DoubtPart(at_ms=at("2026-10-21T10:00"), kind="lost", detail="one half-hour"),),
    )


@pytest.mark.parametrize(
    ("language", "says"),
    [
        (
            "en",
            [
                "Half-hours of October 2026 · Stationsweg 12",
                "The gateway was off",
                "The link to the meter was lost",
                "The meter was swapped",
                "J. de Vries",
                "7 sent again",
                "2026-10-01 – 2026-10-12",
                "2026-10-13 – 2026-10-14",
                "Not checked against the samples",
                "Refused",
            ],
        ),
        (
            "nl",
            [
                "Halfuren van oktober 2026 · Stationsweg 12",
                "De gateway was uit",
                "De meter is gewisseld",
                "7 opnieuw gestuurd",
                "Geweigerd",
            ],
        ),
    ],
)
def test_the_first_line_says_complete_or_not(full: Body, language: str, says: list[str]) -> None:
    text = as_text(Wording(full, language).shown("aaaa bbbb"))
    first = text.splitlines()[0]
    assert (
        first
        == {
            "en": "Not complete: 10 of 2980 values are not measured, 202 are not confirmed.",
            "nl": "Niet volledig: 10 van 2980 waarden zijn niet gemeten, 202 niet bevestigd.",
        }[language]
    )
    html = as_html(Wording(full, language).shown("aaaa bbbb"))
    for said in says:
        assert said in text
        assert said in html
    # Both spans in the night in which an hour comes twice, with the offset that tells them apart.
    for edge in ("2026-10-25 01:30 +0200", "2026-10-25 02:30 +0100"):
        assert edge in text
    assert "400 Bad Request" in text
    assert "&lt;b&gt;too&lt;/b&gt;" in html
    assert "4.711 kWh" in text, "as the display shows it"
    assert not re.search(r"\d Wh\b", text)
    assert text.count("Half-hours compared" if language == "en" else "Halfuren vergeleken") == 1
    assert full.seals[3].digest in html


def test_nothing_is_asked_of_any_other_host_and_no_script_runs(full: Body) -> None:
    html = as_html(Wording(full, "en").shown("aaaa"))
    assert not re.search(r"<script|<link|<img|src=|href=|url\(|@import|https?:", html)


def test_every_word_is_there_in_both_languages() -> None:
    assert all(len(both) == 2 and all(both) for both in _WORDS.values())
    for kind in (*Cause, *Break):
        assert kind.value in words("nl")


@pytest.mark.parametrize("language", ["en", "nl"])
@pytest.mark.parametrize(
    ("width", "media"),
    [(360, "screen"), (1200, "screen"), (688, "print")],  # 688 px: A4's 210 mm without 2 × 14 mm
)
async def test_nothing_is_cut_off(
    full: Body, browser: Any, tmp_path: Path, width: int, media: str, language: str
) -> None:
    path = tmp_path / "report.html"
    path.write_text(as_html(Wording(full, language).shown("aaaa bbbb cccc")), encoding="utf-8")
    page = await browser.new_page(viewport={"width": width, "height": 900})
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    await page.emulate_media(media=media)
    await page.goto(path.as_uri())
    beyond = await page.evaluate(
        """() => [...document.querySelectorAll("body *")]
            .filter(one => one.getClientRects().length && one.getBoundingClientRect().right > innerWidth + 1
              && getComputedStyle(one).position !== "absolute"
              && getComputedStyle(one.closest("thead") || one).position !== "absolute")
            .map(one => one.tagName + ": " + one.textContent.slice(0, 40))"""
    )
    assert beyond == []
    assert await page.evaluate("document.documentElement.scrollWidth") <= width
    clipped = await page.evaluate(
        """() => [...document.querySelectorAll("td")]
            .filter(one => one.scrollWidth > one.clientWidth + 1).length"""
    )
    assert clipped == 0
    assert await page.locator("p.verdict").first.is_visible()
    assert complaints == []


async def test_it_prints_on_a4(full: Body, browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(as_html(Wording(full, "en").shown("aaaa")), encoding="utf-8")
    page = await browser.new_page()
    await page.goto(path.as_uri())
    pdf = await page.pdf(prefer_css_page_size=True)
    [size] = set(re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", pdf))
    assert [round(float(one)) for one in size] in ([595, 842], [596, 842])


def config(tmp_path: Path) -> str:
    path = tmp_path / "meterkast.toml"
    path.write_text(
        f'[site]\nname = "Stationsweg 12"\n[storage]\npath = "{tmp_path / "meterkast.db"}"\n',
        encoding="utf-8",
    )
    return str(path)


async def run(*arguments: str) -> int:
    """A command, in a thread of its own: the gateway runs beside it."""
    import asyncio

    return await asyncio.to_thread(main, list(arguments))


async def test_commands_work_beside_the_gateway(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin, end = at("2025-10-01"), at("2025-11-01")
    await site.owe(begin, until_ms=end)
    await site.fill(begin, end, lacks={at("2025-10-05T10:00"): Cause.METER_SILENT})
    await site.deliver(end)
    await site.seal(end)
    # `site.store` holds the database open for writing all the while.
    options = ["--month", "2025-10", "--config", config(tmp_path)]
    assert await run("report", *options) == 2
    text = capsys.readouterr().out
    assert text.startswith("Not complete: 1 of 1490 values are not measured")
    out = tmp_path / "report.json"
    assert await run("report", *options, "--format", "json", "--output", str(out)) == 2
    assert (await verify(out.read_text(encoding="utf-8"))).wrong == []
    assert await run("verify", str(out)) == 0
    told = capsys.readouterr().out
    assert await run("key", "show", "--config", options[3]) == 0
    fingerprint = capsys.readouterr().out.splitlines()[0].removeprefix("fingerprint").strip()
    assert fingerprint in told
    assert fingerprint in text
    assert await run("report", *options, "--format", "csv", "--output", str(out)) == 2
    with out.open(encoding="utf-8", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == 1490
    assert [row["cause"] for row in rows if row["state"] == "missing"] == ["meter silent"]
    assert rows[0]["value"] == str(wh(UtcMs(begin + HALF_HOUR_MS)))
    assert (rows[0]["end_local"], rows[0]["delivery"]) == ("2025-10-01T00:30:00.000+02:00", "delivered")
    assert (rows[0]["receipt"], rows[-1]["end_local"]) == ("200", "2025-11-01T00:00:00.000+01:00")
    assert await run("report", *options, "--format", "html", "--language", "nl", "--output", str(out)) == 2
    assert out.read_text(encoding="utf-8").count("<table>") >= 3
    assert await run("report", "--month", "2025-13", "--config", options[3]) == 1
    assert "is no month" in capsys.readouterr().err
    assert [name for name in os.listdir(tmp_path) if name.startswith("report")] == ["report.json"]


async def test_what_a_platform_says_is_no_formula(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin, end = at("2025-10-01"), at("2025-10-01T01:00")
    await site.owe(begin, until_ms=end, stream="=m", name="+p")
    await site.fill(begin, end, stream="=m")
    items = await site.store.pending("wattics", "=m", 2)
    await site.store.acknowledge([items[0].id], "@200", end)
    await site.store.quarantine([items[1].id], '=HYPERLINK("http://evil")', end)
    await run("report", "--month", "2025-10", "--format", "csv", "--config", config(tmp_path))
    first, second = csv.DictReader(capsys.readouterr().out.splitlines())
    assert (first["stream"], first["channel"], first["receipt"]) == ("'=m", "'+p", "'@200")
    assert second["words"] == '\'=HYPERLINK("http://evil")'


async def test_a_running_month_is_complete_so_far_and_an_empty_one_is_not(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    begin, now_ms = at("2027-10-01"), at("2027-10-03T12:00")
    await site.owe(begin)
    await site.fill(begin, now_ms)
    await site.deliver(now_ms)
    at_ms = boot_ns() // 1_000_000
    boot = Boot(
        id=boot_id(), first_ms=0, last_ms=at_ms, offset_ms=now_ms - at_ms, trust="meter", learned_ms=0
    )
    await site.store.keep(Keep(now_ms=now_ms, boot=boot))
    for month, status in (("2027-10", 0), ("2027-09", 2)):
        for format in ("text", "csv"):
            options = ["--month", month, "--format", format, "--config", config(tmp_path)]
            assert await run("report", *options) == status, (month, format)
    assert capsys.readouterr().out.startswith("Complete so far: all 120 values")


async def test_without_a_network_a_report_knows_the_time_that_the_gateway_learned(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Only the gateway hears the meter; the system's clock may be anything."""
    begin, now_ms = at("2027-10-01"), at("2027-10-03T12:00")
    await site.owe(begin)
    await site.fill(begin, now_ms)
    at_ms = boot_ns() // 1_000_000
    boot = Boot(
        id=boot_id(), first_ms=0, last_ms=at_ms, offset_ms=now_ms - at_ms, trust="meter", learned_ms=0
    )
    await site.store.keep(Keep(now_ms=now_ms, boot=boot))
    await run("report", "--month", "2027-10", "--config", config(tmp_path))
    text = capsys.readouterr().out
    assert "this is how it was at 2027-10-03 12:0" in text
    assert "120" in text.partition("Channels")[2].splitlines()[2]
