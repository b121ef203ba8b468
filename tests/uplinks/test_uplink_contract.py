"""The contract of `meterkast.ports.uplink.Uplink`: one suite, run on every uplink against its stand-in.

A new uplink adds one `Far` to the table; what is promised of all then holds for it too, or the suite says so.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest

from meterkast.clock import SystemClock
from meterkast.config.decoding import decode
from meterkast.model.delivery import Item, ItemId, Stream
from meterkast.model.errors import (
    ConfigError,
    MeterkastError,
    MisconfiguredError,
    NotDeliveredError,
    RejectedError,
)
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, Grid, UtcMs, iso_local, parse_iso, zone
from meterkast.ports.uplink import Uplink
from meterkast.uplinks import KINDS, reset, wattics
from meterkast.uplinks.context import Context
from meterkast_buffer.store import SqliteStore
from meterkast_rig import reset as reset_rig
from meterkast_rig import wattics as wattics_rig

AMSTERDAM = zone("Europe/Amsterdam")
FIRST = parse_iso("2026-01-15T12:00:00+01:00")
CANARY = "canary-5f1c"


@dataclass(frozen=True, kw_only=True)
class Far:
    """One uplink and its far end.

    Attributes:
        serving: Starts the stand-in with the right secret.
        settings: A section for the given address and secret, with one stream named `stream`.
        create: The uplink of a section.
        slots: What the stand-in has: (instant, value), in the order in which it came.
        wrong: What it must never have: conflicts, disorder.
        lost: The switch that loses answers after the far end took the item.
        failing: The switch that makes it fail for a while.
        frozen: The switch that makes it silent.
        poison: The switch for one item that it refuses for good, by its time.
    """

    stream: str
    serving: Callable[[], contextlib.AbstractAsyncContextManager[Any]]
    settings: Callable[[str, str], dict[str, Any]]
    create: Callable[[dict[str, Any], Context], Uplink]
    slots: Callable[[dict[str, Any]], list[tuple[UtcMs, float]]]
    wrong: tuple[str, ...]
    lost: dict[str, Any]
    failing: dict[str, Any]
    frozen: dict[str, Any]
    poison: Callable[[UtcMs], dict[str, Any]]


FAR = {
    "reset": Far(
        stream="MK1",
        serving=lambda: reset_rig.serving(client_secret=CANARY, seed=1),
        settings=lambda url, secret: {
            "url": url,
            "client_id": "demo",
            "client_secret": secret,
            "connect_timeout_s": 5,
            "auth_timeout_s": 5,
            "ack_timeout_s": 2,
            "monitors": [
                {
                    "connection_id": "MK1",
                    "module": "energy",
                    "brand": "b",
                    "sku": "s",
                    "serial": "n",
                    "channels": [{"id": "c1", "readings": {"power_consumption": "E/import_total"}}],
                }
            ],
        },
        create=lambda tree, context: reset.create(decode(reset.Settings, tree, "uplinks.reset"), context),
        slots=lambda received: [
            (parse_iso(one["reading_time"]), float(one["value"])) for one in received["readings"]
        ],
        wrong=("conflicts", "out_of_order", "falls"),
        lost={"lost_acks": 1.0},
        failing={"error_10500": 1.0},
        frozen={"freeze": 30.0},
        poison=lambda at_ms: {"poison": iso_local(at_ms, AMSTERDAM)},
    ),
    "wattics": Far(
        stream="m1",
        serving=lambda: wattics_rig.serving(password=CANARY, meters=["m1"], seed=1),
        settings=lambda url, secret: {
            "endpoint": url,
            "user": "demo",
            "password": secret,
            "timeout_s": 5,
            "meters": [
                {
                    "id": "m1",
                    "kind": "value",
                    "value": "E/import_total",
                    "unit": "kWh",
                    "interval_min": 30,
                }
            ],
        },
        create=lambda tree, context: wattics.create(
            decode(wattics.Settings, tree, "uplinks.wattics"), context
        ),
        slots=lambda received: [
            (parse_iso(one["tsISO8601"]), float(one["body"]["value"]))
            for one in received["meters"].get("m1", [])
        ],
        wrong=("conflicts", "discarded"),
        lost={"lost_answers": 1.0},
        failing={"error_503": 1.0},
        frozen={"freeze": True},
        poison=lambda at_ms: {"poison": iso_local(at_ms, AMSTERDAM)},
    ),
}


def test_every_uplink_is_in_this_suite() -> None:
    assert set(FAR) == set(KINDS)


class Bench:
    """An uplink, its stand-in, and items composed as the pipeline does."""

    def __init__(self, far: Far, server: Any, context: Context) -> None:
        self.far, self.server, self.context = far, server, context
        self._numbers = itertools.count(1)
        self._made: list[Uplink] = []

    def uplink(self, *, url: str = "", secret: str = CANARY) -> Uplink:
        """As after a start of the gateway."""
        self._made.append(self.far.create(self.far.settings(url or self.server.url, secret), self.context))
        return self._made[-1]

    def payloads(self, uplink: Uplink, end_ms: UtcMs, half_hour: HalfHour) -> list[bytes]:
        (wanted,) = uplink.wanted()
        stream = Stream(uplink=uplink.name, name=wanted.name, properties=(PropertyId(1),))
        return uplink.compose(stream, dict.fromkeys(wanted.bindings, half_hour), end_ms)

    def items(self, uplink: Uplink, count: int, begin: int = 0) -> list[Item]:
        """So many half-hours, oldest first."""
        made = []
        for number in range(begin, begin + count):
            end_ms = UtcMs(FIRST + number * HALF_HOUR_MS)
            value = HalfHour(property_id=PropertyId(1), end_ms=end_ms, value=Quantity(84_276 + number))
            (payload,) = self.payloads(uplink, end_ms, value)
            made.append(
                Item(
                    id=ItemId(next(self._numbers)),
                    uplink=uplink.name,
                    stream=self.far.stream,
                    at_ms=end_ms,
                    payload=payload,
                    tries=1,
                )
            )
        return made

    async def deliver(self, uplink: Uplink, items: list[Item]) -> list[str]:
        """In batches as large as the uplink takes, as the engine does."""
        limit = uplink.batch_limit(self.far.stream)
        return [
            await uplink.deliver(self.far.stream, items[at : at + limit])
            for at in range(0, len(items), limit)
        ]

    async def arrived(self) -> list[tuple[UtcMs, float]]:
        """What the far end has; fails where anything came that never must."""
        received = await self.server.received()
        for name in self.far.wrong:
            assert received[name] == [], name
        return self.far.slots(received)

    async def close(self) -> None:
        for uplink in self._made:
            await uplink.close()


@pytest.fixture(params=sorted(FAR))
async def bench(request: pytest.FixtureRequest, store: SqliteStore) -> AsyncIterator[Bench]:
    far = FAR[request.param]
    beginnings = itertools.count(1)
    context = Context(
        device_id="mk-contract",
        grid=Grid(AMSTERDAM),
        clock=SystemClock(),
        store=store,
        random=lambda: next(beginnings) / 1000,
    )
    async with far.serving() as server:
        made = Bench(far, server, context)
        yield made
        await made.close()


def expected(count: int) -> list[tuple[UtcMs, float]]:
    return [(UtcMs(FIRST + n * HALF_HOUR_MS), (84_276 + n) / 1000) for n in range(count)]


async def test_it_returns_once_the_far_end_has_all_of_it_in_order(bench: Bench) -> None:
    uplink = bench.uplink()
    receipts = await bench.deliver(uplink, bench.items(uplink, 50))
    assert all(receipts)
    assert await bench.arrived() == expected(50)


async def test_what_is_sent_twice_is_there_once(bench: Bench) -> None:
    uplink = bench.uplink()
    items = bench.items(uplink, 3)
    await bench.deliver(uplink, items)
    again = bench.uplink()
    await bench.deliver(again, [replace(item, tries=2) for item in items])
    assert await bench.arrived() == expected(3)


async def test_a_lost_answer_leaves_doubt_and_costs_nothing(bench: Bench) -> None:
    uplink = bench.uplink()
    first, *others = bench.items(uplink, 3)
    await bench.deliver(uplink, [first])
    await bench.server.set_faults(**bench.far.lost)
    with pytest.raises(NotDeliveredError) as caught:
        await uplink.deliver(bench.far.stream, others[:1])
    assert caught.value.in_doubt
    await bench.server.set_faults(**dict.fromkeys(bench.far.lost))
    await bench.deliver(uplink, [replace(item, tries=2) for item in others])
    assert await bench.arrived() == expected(3)


@pytest.mark.parametrize("trouble", ["failing", "frozen"])
async def test_a_far_end_that_fails_for_now_keeps_the_items(bench: Bench, trouble: str) -> None:
    uplink = bench.uplink()
    first, second = bench.items(uplink, 2)
    await bench.deliver(uplink, [first])
    faults = getattr(bench.far, trouble)
    await bench.server.set_faults(**faults)
    with pytest.raises(NotDeliveredError):
        await uplink.deliver(bench.far.stream, [second])
    await bench.server.set_faults(**dict.fromkeys(faults))
    for tries in range(2, 8):  # a frozen far end may need a moment
        with contextlib.suppress(NotDeliveredError):
            await bench.deliver(uplink, [replace(second, tries=tries)])
            break
    assert await bench.arrived() == expected(2)


async def test_nobody_there_is_no_doubt_and_says_what_to_do(bench: Bench) -> None:
    uplink = bench.uplink(url="http://127.0.0.1:9/v2")
    with pytest.raises(NotDeliveredError) as caught:
        await uplink.deliver(bench.far.stream, bench.items(uplink, 1))
    assert not caught.value.in_doubt
    assert caught.value.hint
    assert await bench.arrived() == []


async def test_a_wrong_secret_is_a_setting_and_is_never_shown(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    uplink = bench.uplink(secret="canary-wrong")
    with pytest.raises(MisconfiguredError) as caught:
        await uplink.deliver(bench.far.stream, bench.items(uplink, 1))
    assert caught.value.stream is None
    assert caught.value.hint
    for text in (str(caught.value), caught.value.hint, caplog.text, repr(uplink)):
        assert "canary" not in text


async def test_an_item_refused_for_good_bears_the_far_ends_words_and_the_next_passes(bench: Bench) -> None:
    uplink = bench.uplink()
    first, bad, last = bench.items(uplink, 3)
    await bench.server.set_faults(**bench.far.poison(bad.at_ms))
    await bench.deliver(uplink, [first])
    with pytest.raises(RejectedError) as caught:
        await uplink.deliver(bench.far.stream, [bad])
    assert caught.value.words
    await bench.deliver(uplink, [last])
    assert await bench.arrived() == [expected(3)[0], expected(3)[2]]


async def test_composing_is_repeatable_and_invents_nothing(bench: Bench) -> None:
    uplink = bench.uplink()
    missing = HalfHour(
        property_id=PropertyId(1), end_ms=FIRST, value=None, state=State.MISSING, cause=Cause.METER_SILENT
    )
    assert bench.payloads(uplink, FIRST, missing) == []
    doubtful = HalfHour(property_id=PropertyId(1), end_ms=FIRST, value=Quantity(7), state=State.SUSPECT)
    assert bench.payloads(uplink, FIRST, doubtful) == []
    zero = HalfHour(property_id=PropertyId(1), end_ms=FIRST, value=Quantity(0))
    assert bench.payloads(uplink, FIRST, zero) == bench.payloads(uplink, FIRST, zero) != []
    assert bench.payloads(uplink, FIRST, zero) == bench.payloads(bench.uplink(), FIRST, zero)


async def test_testing_the_connection_creates_nothing(bench: Bench) -> None:
    before = await bench.server.received()
    steps = await bench.uplink().check()
    assert all(step.ok for step in steps), steps
    after = await bench.server.received()
    for name in ("monitors", "readings", "meters", "posts"):
        assert after.get(name) == before.get(name)
    failed = await bench.uplink(secret="canary-wrong").check()
    assert not failed[-1].ok
    assert "canary" not in "".join(step.detail for step in failed)


async def test_closing_is_harmless_at_any_time(bench: Bench) -> None:
    never_used = bench.uplink()
    await never_used.close()
    used = bench.uplink()
    await bench.deliver(used, bench.items(used, 1))
    await used.idle()
    await used.close()
    await used.close()


async def test_every_address_and_stream_is_told(bench: Bench) -> None:
    uplink = bench.uplink()
    assert [wanted.name for wanted in uplink.wanted()] == [bench.far.stream]
    assert any(url.startswith(bench.server.origin) for url in uplink.urls)
    assert uplink.parallel >= 1
    assert list(uplink.warnings) == []
    with pytest.raises(MeterkastError):
        await uplink.deliver("a stream that is not configured", bench.items(uplink, 1))


async def test_a_section_that_cannot_work_is_refused_at_once(bench: Bench) -> None:
    with pytest.raises(ConfigError):
        bench.uplink(url="ftp://example.org/")
