"""Asking the platforms what they have: the gap, and nothing but the gap, goes again, in order."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from meterkast.cli import main
from meterkast.clock import FastClock
from meterkast.model.delivery import NewItem, StreamStatus
from meterkast.model.errors import NotDeliveredError
from meterkast.model.time import DAY_MS, HALF_HOUR_MS, UtcMs, iso_local
from meterkast.pipeline.delivery import Delivery
from meterkast.ports.store import Keep
from meterkast.ports.uplink import Uplink
from meterkast.proof.reconcile import kept, lacking, reconcile
from meterkast.uplinks.context import Context
from meterkast.uplinks.wattics import Settings, create
from meterkast.uplinks.wattics.settings import Meter
from meterkast_rig import wattics

from .site import GRID, Site, at

START = at("2026-04-01T12:00")
KEY = ("wattics", "m1")


@contextlib.asynccontextmanager
async def gateway(site: Site, url: str) -> AsyncIterator[tuple[Uplink, Delivery]]:
    """An uplink with its delivery running."""
    clock = FastClock(1, at("2026-04-02T03:17"))
    clock.offer(at("2026-04-02T03:17"), 0)
    clock.offer(at("2026-04-02T03:17"), 0)
    uplink = create(
        Settings(
            endpoint=url, user="demo", password="demo", meters=(Meter(id="m1", interval_min=30, meter="E"),)
        ),
        Context(device_id="gw1", grid=GRID, clock=clock, store=site.store, random=lambda: 0.5),
    )
    delivery = Delivery(uplink, site.store, clock, slot_ms=0, random=lambda: 0.5)
    running = asyncio.create_task(delivery.run())
    try:
        yield uplink, delivery
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def put(site: Site, first: int, count: int) -> None:
    ends = [UtcMs(START + number * HALF_HOUR_MS) for number in range(first, first + count)]
    items = [NewItem(uplink=KEY[0], stream=KEY[1], at_ms=end_ms, payload=payload(end_ms)) for end_ms in ends]
    await site.store.keep(Keep(now_ms=ends[-1], items=items, composed={KEY: ends[-1]}))


def payload(end_ms: UtcMs) -> bytes:
    return f'{{"id":"m1","tsISO8601":"{iso_local(end_ms, GRID.zone)}","pC_1":{end_ms // 1000}}}'.encode()


async def emptied(site: Site, delivery: Delivery) -> StreamStatus:
    delivery.announce()
    while (status := site.store.streams()[KEY]).pending:  # noqa: ASYNC110 - the store tells by its books
        await asyncio.sleep(0.01)
    return status


def stamps(received: dict[str, Any]) -> list[str]:
    return [packet["tsISO8601"] for packet in received["meters"].get("m1", [])]


async def test_only_the_gap_goes_again_and_in_order(site: Site) -> None:
    async with wattics.serving() as far_end, gateway(site, far_end.url) as (uplink, delivery):
        await put(site, 1, 20)
        await emptied(site, delivery)
        whole = await far_end.received()
        [agrees] = await reconcile(site.store, {"wattics": uplink}, START)
        assert (agrees.outcome, agrees.again) == ("agrees", 0)

        await far_end.set_faults(forget=7)
        posts = (await far_end.received())["posts"]
        [dry] = await reconcile(site.store, {"wattics": uplink}, START, dry_run=True)
        assert (dry.outcome, dry.again) == ("would be sent again", 7)
        assert site.store.streams()[KEY].pending == 0
        [again] = await reconcile(site.store, {"wattics": uplink}, START)
        assert (again.outcome, again.again, again.held_ms) == (
            "sent again",
            7,
            START + 13 * HALF_HOUR_MS,
        )
        assert site.store.streams()[KEY].pending == 7
        await emptied(site, delivery)
        received = await far_end.received()
        assert stamps(received) == stamps(whole)
        assert (received["posts"] - posts, received["discarded"], received["conflicts"]) == (7, [], [])
        assert [one.outcome for one in await kept(site.store)] == ["sent again"]
        [after] = await reconcile(site.store, {"wattics": uplink}, START)
        assert after.outcome == "agrees"


async def test_a_platform_that_never_shows_it_is_not_sent_it_every_night(site: Site) -> None:
    async with wattics.serving() as far_end, gateway(site, far_end.url) as (uplink, delivery):
        await put(site, 1, 5)
        await emptied(site, delivery)
        for night, outcome in enumerate(["sent again", "not shown", "not shown"]):
            await far_end.set_faults(forget=5)
            answers = await reconcile(site.store, {"wattics": uplink}, UtcMs(START + night))
            assert [one.outcome for one in answers] == [outcome]
            await emptied(site, delivery)
        assert [one.stream for one in lacking(answers)] == ["m1"]


async def test_what_cannot_be_asked_says_so(site: Site) -> None:
    class Mute:
        name = "wattics"

    await put(site, 1, 2)
    await site.deliver(UtcMs(START + 2 * HALF_HOUR_MS))
    [answer] = await reconcile(site.store, {"wattics": Mute()}, START)  # type: ignore[dict-item]
    assert (answer.outcome, answer.again) == ("cannot tell", 0)
    async with wattics.serving() as far_end, gateway(site, far_end.url) as (uplink, _):
        await far_end.set_faults(refuse_auth=True)
        [answer] = await reconcile(site.store, {"wattics": uplink}, START)
    assert answer.outcome == "not asked"
    assert "password" in answer.words


async def test_a_platform_that_cannot_be_asked_is_told_after_some_nights(
    site: Site, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    await put(site, 1, 2)
    await site.deliver(UtcMs(START + 2 * HALF_HOUR_MS))
    async with wattics.serving() as far_end, gateway(site, far_end.url) as (uplink, _):
        await far_end.set_faults(refuse_auth=True)
        for night in range(3):
            answers = await reconcile(site.store, {"wattics": uplink}, UtcMs(START + night * DAY_MS))
            assert [one.outcome for one in answers] == ["not asked"]
            assert [one.stream for one in lacking(answers)] == (["m1"] if night == 2 else [])
        config = tmp_path / "meterkast.toml"
        config.write_text(
            f'[storage]\npath = "{site.path}"\n[uplinks.wattics]\nendpoint = "{far_end.url}"\nuser = "demo"\n'
            'password = "x"\n[[uplinks.wattics.meters]]\nid = "m1"\ninterval_min = 30\nmeter = "E"\n',
            encoding="utf-8",
        )
        assert await asyncio.to_thread(main, ["reconcile", "--dry-run", "--config", str(config)]) == 2
        assert "Could not be asked" in capsys.readouterr().out
        await far_end.set_faults(refuse_auth=False)
        [answer] = await reconcile(site.store, {"wattics": uplink}, UtcMs(START + 3 * DAY_MS))
        assert answer.mute_ms is None


async def test_what_is_composed_while_the_platform_answers_is_not_overtaken(site: Site) -> None:
    """An older packet that is put behind a newer one would be discarded for good."""

    class Slow:
        name = "wattics"

        async def held_until(self, stream: str) -> UtcMs | None:
            await put(site, 3, 1)
            return UtcMs(START + HALF_HOUR_MS)

    await put(site, 1, 2)
    await site.deliver(UtcMs(START + 2 * HALF_HOUR_MS))
    [answer] = await reconcile(site.store, {"wattics": Slow()}, START)  # type: ignore[dict-item]
    assert (answer.outcome, answer.again) == ("backlog", 0)
    assert [item.at_ms for item in await site.store.pending(*KEY, 9)] == [START + 3 * HALF_HOUR_MS]


async def test_a_stamp_that_proves_nothing_puts_nothing_back(site: Site) -> None:
    await put(site, 1, 2)
    await site.deliver(UtcMs(START + 2 * HALF_HOUR_MS))
    async with wattics.serving() as far_end, gateway(site, far_end.url) as (uplink, _):
        body = json.loads(payload(UtcMs(START + HALF_HOUR_MS)))
        body["tsISO8601"] = body["tsISO8601"].replace("+02:00", "+07:00")
        far_end._received.store(body, 1)
        with pytest.raises(NotDeliveredError, match="not this site's"):
            await uplink.held_until("m1")  # type: ignore[attr-defined]
        [answer] = await reconcile(site.store, {"wattics": uplink}, START)
    assert (answer.outcome, answer.again) == ("not asked", 0)
