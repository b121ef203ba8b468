"""The ledger: what is expected, what is known of it, and where it is."""

from __future__ import annotations

import contextlib
import sqlite3

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meterkast.model.delivery import NewItem
from meterkast.model.epoch import Break, Epoch
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, HOUR_MS, MINUTE_MS, UtcMs
from meterkast.ports.store import Keep
from meterkast.proof.body import ChannelPart
from meterkast.proof.key import public_hex
from meterkast.proof.render import Wording, as_text
from meterkast.proof.signed import signed
from meterkast.proof.verify import verify

from .site import GRID, OTHER, REGISTER, Site, at, wh

NEXT = {
    "2026-02": "2026-03",
    "2026-03": "2026-04",
    "2026-04": "2026-05",
    "2026-05": "2026-06",
    "2026-10": "2026-11",
}


def edges(month: str) -> tuple[UtcMs, UtcMs]:
    return at(f"{month}-01"), at(f"{NEXT[month]}-01")


@pytest.mark.parametrize(
    ("month", "expected"),
    [("2026-02", 1344), ("2026-03", 1486), ("2026-04", 1440), ("2026-05", 1488), ("2026-10", 1490)],
)
async def test_every_half_hour_of_a_month_is_expected_once(site: Site, month: str, expected: int) -> None:
    begin, end = edges(month)
    await site.owe(begin)
    await site.fill(begin, end)
    await site.deliver(end)
    body = await site.report(month)
    [channel] = body.channels
    assert (channel.expected, channel.measured, channel.delivered) == (expected,) * 3
    assert (body.status, channel.spans) == ("complete", ())
    assert channel.register is not None
    assert channel.register.difference == str((expected - 1) * 100)


async def test_half_hours_before_commissioning_and_after_the_end_are_not_expected(site: Site) -> None:
    begin, end = edges("2026-04")
    await site.owe(at("2026-04-10T12:00"), until_ms=at("2026-04-11T12:00"))
    await site.fill(begin, end)
    [channel] = (await site.report("2026-04")).channels
    assert channel.expected == 48
    assert (await site.report("2026-05")).status == "empty"


async def test_every_cause_is_counted_with_its_exact_span(site: Site) -> None:
    begin, end = edges("2026-05")
    await site.owe(begin)
    lacks: dict[UtcMs, Cause] = {}
    for number, cause in enumerate(Cause):
        first = at(f"2026-05-{number + 1:02}T06:00")
        lacks |= {UtcMs(first + step * HALF_HOUR_MS): cause for step in range(1, number + 2)}
    await site.fill(begin, end, lacks=lacks)
    await site.deliver(end)
    body = await site.report("2026-05")
    [channel] = body.channels
    assert channel.causes == {cause.value: number + 1 for number, cause in enumerate(Cause)}
    assert [(span.cause, span.after_ms, span.count) for span in channel.spans] == [
        (cause.value, at(f"2026-05-{number + 1:02}T06:00"), number + 1) for number, cause in enumerate(Cause)
    ]
    assert all(span.until_ms - span.after_ms == span.count * HALF_HOUR_MS for span in channel.spans)
    missing = len(lacks)
    assert (channel.measured, channel.missing, channel.nothing) == (1488 - missing, missing, missing)
    assert body.status == "incomplete"


async def test_items_are_counted_where_they_are(site: Site) -> None:
    begin, end = edges("2026-02")
    await site.owe(begin)
    await site.fill(begin, at("2026-02-28T12:00"))
    await site.deliver(at("2026-02-20"))
    items = await site.store.pending("wattics", "m1", 2)
    await site.store.quarantine([one.id for one in items], "400 Bad Request: no", end)
    body = await site.report("2026-02", "2026-02-28T12:20")
    [channel] = body.channels
    assert counts(channel) == {"expected": 1320, "measured": 1320, "delivered": 912, "quarantined": 2}
    assert (body.over, body.status) == (False, "undelivered")
    later = await site.report("2026-02")
    assert counts(later.channels[0])["open"] == 24
    assert later.status == "incomplete"
    words = [item[4] for item in body.streams[0].items if item[1] == "quarantined"]
    assert words == ["400 Bad Request: no"] * 2


def counts(channel: ChannelPart) -> dict[str, int]:
    names = ("expected", "measured", "late", "suspect", "missing", "open", "aged")
    names += ("delivered", "quarantined", "nothing")
    return {name: count for name in names if (count := getattr(channel, name))}


async def test_late_data_is_late_and_not_called_delivered(site: Site) -> None:
    begin, end = edges("2026-04")
    gap = at("2026-04-03T10:00")
    await site.owe(begin)
    await site.fill(begin, end, lacks={gap: Cause.LINK_LOST})
    # Another channel of the stream was measured: an item went out, without this one's value.
    other = NewItem(uplink="wattics", stream="m1", at_ms=gap, payload=b"{}")
    await site.store.keep(Keep(now_ms=end, items=[other]))
    await site.deliver(end)
    await site.revise(gap, 5)
    [channel] = (await site.report("2026-04")).channels
    assert counts(channel) == {
        "expected": 1440,
        "measured": 1439,
        "late": 1,
        "delivered": 1439,
        "nothing": 1,
    }


async def test_a_revision_of_what_was_sent_stays_delivered(site: Site) -> None:
    begin, end = edges("2026-04")
    await site.owe(begin)
    await site.fill(begin, end)
    await site.deliver(end)
    await site.revise(at("2026-04-03T10:00"), 5)
    body = await site.report("2026-04")
    assert counts(body.channels[0])["delivered"] == 1440
    assert (body.channels[0].late, body.status) == (1, "complete")


async def test_suspect_is_held(site: Site) -> None:
    begin, end = edges("2026-04")
    doubted = at("2026-04-03T10:00")

    def change(row: HalfHour) -> HalfHour:
        from dataclasses import replace

        return replace(row, state=State.SUSPECT) if row.end_ms == doubted else row

    await site.owe(begin)
    await site.fill(begin, end, change=change)
    await site.deliver(end)
    body = await site.report("2026-04")
    assert (body.channels[0].suspect, body.channels[0].nothing, body.status) == (1, 1, "incomplete")


async def test_a_changed_configuration_does_not_rewrite_what_was(site: Site) -> None:
    begin, end = edges("2026-04")
    changed = at("2026-04-16")
    await site.owe(begin, until_ms=changed)
    await site.owe(changed, properties=(OTHER,))
    await site.fill(begin, end)
    await site.deliver(end)
    old, new = (await site.report("2026-04")).channels
    assert (old.measured, old.missing, new.measured, new.open) == (720, 0, 0, 720)


async def test_another_property_that_is_taken_off_counts_too(site: Site) -> None:
    begin, end = edges("2026-04")
    await site.owe(begin, properties=(REGISTER, OTHER))
    await site.fill(begin, end)
    other = [
        HalfHour(property_id=OTHER, end_ms=one, value=None, state=State.MISSING, cause=Cause.LINK_LOST)
        for one in GRID.ends(begin, end)
    ]
    await site.store.keep(Keep(now_ms=end, half_hours=other, closed={(OTHER, HALF_HOUR_MS): end}))
    [channel] = (await site.report("2026-04")).channels
    assert (channel.measured, channel.causes) == (0, {"link lost": 1440})


async def test_other_lengths_have_their_own_count_and_are_kept_for_less_long(site: Site) -> None:
    begin, end = edges("2026-10")
    await site.owe(begin, length_ms=15 * MINUTE_MS)
    await site.fill(begin, end, length_ms=15 * MINUTE_MS)
    await site.deliver(end)
    [channel] = (await site.report("2026-10", "2026-11-01T00:00")).channels
    assert counts(channel) == {"expected": 2980, "measured": 2980, "delivered": 2980}
    await site.store.database.transact(forget)
    [channel] = (await site.report("2026-10", "2026-12-31")).channels
    assert counts(channel) == {"expected": 2980, "aged": 2980, "delivered": 2980}


async def forget(connection: object) -> None:
    """What retention does with intervals of other lengths."""
    await connection.execute("DELETE FROM half_hours WHERE length_ms <> 1800000")  # type: ignore[attr-defined]


async def test_a_damaged_row_is_missing_for_the_disk(site: Site) -> None:
    begin, end = edges("2026-04")
    await site.owe(begin)
    await site.fill(begin, end)
    await site.deliver(end)
    hurt = at("2026-04-03T10:00")

    async def flip(connection: object) -> None:
        await connection.execute(f"UPDATE half_hours SET whole = whole + 1 WHERE end_ms = {hurt}")  # type: ignore[attr-defined]

    await site.store.database.transact(flip)
    body = await site.report("2026-04")
    assert body.channels[0].causes == {"disk": 1}
    assert body.damaged == ((HALF_HOUR_MS, hurt, REGISTER, 0),)


async def test_a_meter_that_reports_each_hour_is_complete(site: Site) -> None:
    begin, end = edges("2026-04")
    await site.owe(begin)
    halves = {one: Cause.NOT_DUE for one in GRID.ends(begin, end) if one % HOUR_MS}
    await site.fill(begin, end, lacks=halves)
    await site.deliver(end)
    body = await site.report("2026-04")
    assert (body.status, body.channels[0].missing, body.channels[0].delivered) == ("complete", 720, 720)
    text = as_text(Wording(body, "en").shown("key"))
    assert text.startswith("Complete: all 720 values")
    assert text.count("The meter reports less often") == 1, "in one line"
    await site.store.keep(
        Keep(
            now_ms=end,
            half_hours=[
                HalfHour.missing(REGISTER, at("2026-04-03T10:00"), HALF_HOUR_MS, Cause.LINK_LOST, revision=1)
            ],
        )
    )
    body = await site.report("2026-04")
    text = as_text(Wording(body, "en").shown("key"))
    assert text.startswith("Not complete: 1 of 720 values are not measured, 1 are not confirmed.")


async def test_a_swap_just_after_the_month_ends_the_old_meter_in_it(site: Site) -> None:
    begin, end = edges("2026-04")
    hung, gone = UtcMs(at("2026-03-31T12:00") + MINUTE_MS), UtcMs(end + MINUTE_MS)
    await site.owe(at("2026-03-31T12:00"), until_ms=end)
    await site.fill(at("2026-03-31T12:00"), end)
    swaps = [
        Epoch(
            property_id=new,
            number=0,
            kind=Break.SWAP,
            at_ms=at_ms,
            first=Quantity(first),
            last=Quantity(last),
            predecessor=old,
        )
        for old, new, at_ms, last, first in (
            (OTHER, REGISTER, hung, 9, 8),
            (REGISTER, OTHER, gone, wh(end) + 7, 3),
        )
    ]
    await site.store.keep(Keep(now_ms=end, epochs=swaps))
    [channel] = (await site.report("2026-04")).channels
    assert channel.register is not None
    assert (channel.register.begin, channel.register.begin_ms) == (str(wh(begin)), begin), (
        "not as it was hung"
    )
    assert (channel.register.end, channel.register.end_ms) == (str(wh(end) + 7), gone)
    assert channel.register.difference == str(1440 * 100 + 7)


async def test_items_are_found_by_an_index(site: Site) -> None:
    from meterkast_buffer.outbox import DELIVERED_ITEMS, ITEMS_BETWEEN

    for query, search in (
        (ITEMS_BETWEEN, "SEARCH outbox USING INDEX outbox_interval (at_ms>? AND at_ms<?)"),
        (DELIVERED_ITEMS, "SEARCH outbox USING INDEX outbox_interval (at_ms>?)"),
    ):
        plan = [row[3] for row in await site.store.database.rows(f"EXPLAIN QUERY PLAN {query}", (0, 1))]
        assert search in plan
        assert not any("TEMP B-TREE FOR ORDER BY" in step for step in plan)


async def test_a_row_that_vanished_was_lost_by_the_disk_and_the_meter_was_there(site: Site) -> None:
    begin, end = edges("2026-05")
    await site.owe(begin)
    await site.fill(at("2026-05-02"), end)
    first, gone = at("2026-05-02T00:30"), at("2026-05-07T12:00")
    epoch = Epoch(
        property_id=REGISTER, number=0, kind=Break.FIRST, at_ms=UtcMs(first - MINUTE_MS), first=Quantity(1)
    )
    await site.store.keep(Keep(now_ms=end, epochs=[epoch]))
    with contextlib.closing(sqlite3.connect(site.path, isolation_level=None)) as file:
        for one in (UtcMs(first + HALF_HOUR_MS), gone):
            file.execute("DELETE FROM half_hours WHERE end_ms = ?", (one,))
    body = await site.report("2026-05")
    [channel] = body.channels
    assert channel.causes == {Cause.NOT_COMMISSIONED.value: 48, Cause.DISK.value: 2}
    assert [span.cause for span in channel.spans] == ["not commissioned", "disk", "disk"]
    key = Ed25519PrivateKey.generate()
    assert (await verify(signed(body, public_hex(key), key.sign))).wrong == []


@pytest.mark.parametrize("month", ["2026-04", "2026-05"])
async def test_without_epochs_what_was_there_before_tells(site: Site, month: str) -> None:
    begin, end = edges(month)
    await site.owe(begin)
    await site.fill(begin, end)
    with contextlib.closing(sqlite3.connect(site.path, isolation_level=None)) as file:
        file.execute("DELETE FROM half_hours WHERE end_ms = ?", (UtcMs(begin + 9 * HALF_HOUR_MS),))
    [channel] = (await site.report(month)).channels
    assert channel.causes == {Cause.DISK.value: 1}
