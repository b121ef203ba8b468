"""A register's whole life through the books: rolled over, swapped, reset, jumped, doubted."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from meterkast.model.epoch import Break
from meterkast.model.half_hour import HalfHour, State
from meterkast.model.product import Medium
from meterkast.model.quantity import Quantity
from meterkast.model.time import HOUR_MS, MINUTE_MS, UtcMs
from meterkast.ports.clock import Trust
from meterkast.ports.store import Keep
from meterkast.ports.uplink import Wanted
from meterkast.proof.body import Body
from meterkast.proof.conservation import Conservation, check
from meterkast.proof.gathering import Site as Whose
from meterkast.proof.gathering import gather
from meterkast.proof.key import public_hex
from meterkast.proof.render import Wording, as_text
from meterkast.proof.signed import signed
from meterkast.proof.verify import verify
from meterkast_buffer.store import open_store

from ..pipeline.meter_house import IMPORT, MeterHouse, Platform
from ..pipeline.sites import GRID, START, until

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
REAL = "electricity/import_total"


class Channelled(Platform):
    """Owes one channel."""

    def wanted(self) -> Sequence[Wanted]:
        (wanted,) = super().wanted()
        return [
            Wanted(
                name=wanted.name,
                bindings=wanted.bindings,
                length_ms=wanted.length_ms,
                channels={"pC_1": wanted.bindings},
            )
        ]


@pytest.fixture
async def house(tmp_path: Path) -> AsyncIterator[MeterHouse]:
    store = await open_store(tmp_path / "meterkast.db")
    house = MeterHouse(store)
    house.meter("OLD", 84_000_000)
    house.meter("NEW", 100)
    await house.start(Channelled("on", REAL, continues=True), Channelled("shown", REAL, continues=False))
    await house.show("OLD")
    yield house
    await house.store.close()


async def conserved(house: MeterHouse, after_ms: UtcMs = START) -> Conservation:
    return await check(house.store, GRID, after_ms, house.clock.now_ms())


async def report(house: MeterHouse) -> Body:
    whose = Whose(name="Here", zone="Europe/Amsterdam", device="mk-test", grid=GRID, samples_days=35)
    return await gather(house.store, whose, "2026-03", house.clock.now_ms())


async def swap(house: MeterHouse) -> None:
    """OLD is taken down and NEW is hung five minutes later; both faces are read."""
    house.port = []
    await house.minutes(5)
    await house.show("NEW")
    await house.minutes(40)
    face = f"{(house.shown['OLD']['import_total'] + 10) / 1000:.3f}"
    await house.swap("OLD", "NEW", old_readings={"import_total": face}, new_readings={"import_total": "0.1"})


@pytest.mark.parametrize("restart", [False, True])
async def test_whole_life_of_a_register_is_conserved_and_told(house: MeterHouse, restart: bool) -> None:
    async def begin_again() -> None:
        if restart:
            await house.start()

    await house.minutes(100)
    await swap(house)
    await begin_again()
    await house.minutes(70)
    house.shown["NEW"]["import_total"] = 3  # reset
    await house.minutes(70)
    await begin_again()
    house.shown["NEW"]["import_total"] = 50_000_000  # jumped
    await house.minutes(70)
    epochs = [one for one in await house.store.epochs() if one.property_id == 2]
    assert [one.kind for one in epochs] == [Break.SWAP, Break.RESET, Break.JUMP]
    found = await conserved(house)
    assert found.wrong == []
    assert (found.registers, found.unchecked) == (2, 0)
    body = await report(house)
    text = as_text(Wording(body, "en").shown("key"))
    for words in ("The meter was swapped", "The counter began again", "The counter jumped", "Jan"):
        assert words in text
    assert sum(one.expected for one in body.channels) == sum(one.measured for one in body.channels) > 0
    assert [one.spans for one in body.channels] == [()] * 4, "every half-hour has a reading"
    owed = {(one.uplink, one.properties): (one.from_ms, one.until_ms) for one in body.channels}
    swapped_ms = GRID.start_of(GRID.end_of(epochs[0].at_ms))
    for uplink in ("on", "shown"):
        assert owed[uplink, (1,)] == (START, swapped_ms), "the old meter's channel ends"
        assert owed[uplink, (2,)] == (swapped_ms, None)


async def test_sums_across_a_swap_are_what_both_faces_counted(house: MeterHouse) -> None:
    await house.minutes(100)
    await swap(house)
    await house.minutes(70)
    (swapped,) = [one for one in await house.store.epochs() if one.kind is Break.SWAP]
    body = await report(house)
    for uplink in ("on", "shown"):
        old, new = (one.register for one in body.channels if one.uplink == uplink)
        assert old is not None
        assert new is not None
        assert (old.end_ms, old.end) == (swapped.at_ms, "84001010"), "as it was signed off"
        assert old.difference == str(84_001_010 - int(old.begin))
        assert (new.begin_ms, new.begin) == (swapped.at_ms, "100")
        assert new.difference == str(int(new.end) - 100)
    shown = as_text(Wording(body, "en").shown("key"))
    channels, breaks = (
        shown.partition(title)[2].partition("\n\n")[0] for title in ("Channels\n", "rollovers\n")
    )
    assert [line.count("p1:OLD") - line.count("p1:NEW") for line in channels.splitlines()[1:]] == [1, -1] * 2
    assert channels.count("; until 2026-03-10 14:30") == channels.count("; from 2026-03-10 14:30") == 2
    assert "(p1:OLD), import_total → electricity meter (p1:NEW)" in breaks
    assert (await verify(signed(body, public_hex(KEY), KEY.sign))).wrong == []


async def test_meter_that_is_read_long_after_it_was_hung_owes_from_then_on(house: MeterHouse) -> None:
    await house.minutes(100)
    hung_ms = UtcMs(house.clock.now_ms() + MINUTE_MS)
    house.port = []
    await house.minutes(30)
    await house.show("NEW")
    await house.minutes(45)
    await house.swap("OLD", "NEW", at_ms=hung_ms)
    assert (await conserved(house)).wrong == []
    assert {(one.properties, one.from_ms, one.until_ms) for one in (await report(house)).channels} == {
        ((1,), START, until(120)),
        ((2,), until(120), None),
    }
    assert [one.missing for one in (await report(house)).channels] == [0] * 4


async def test_rollover_and_what_is_doubted_are_conserved(house: MeterHouse) -> None:
    house.meter("OLD", 99_998_000)
    house.described["OLD"] = Medium.ELECTRICITY, (replace(IMPORT, rolls_at=100_000_000),)
    await house.show("OLD")
    await house.minutes(180)
    house.shown["OLD"]["import_total"] = -8
    await house.minutes(60)
    known = house.shown["OLD"]["import_total"]
    house.shown["OLD"]["import_total"] = 60_000_000  # once, and nothing for the rest of that half-hour
    await house.minutes(1)
    house.port = []
    await house.minutes(31)
    (suspect,) = await suspects(house)
    assert suspect.value == Quantity(60_000_010)
    assert (await conserved(house)).wrong == [], "not decided yet"
    house.shown["OLD"]["import_total"] = known + 320
    await house.show("OLD")
    await house.minutes(58)
    assert await suspects(house) == [], "dropped"
    assert (await conserved(house)).wrong == []
    house.shown["OLD"]["import_total"] = 70_000_000
    await house.minutes(1)
    house.port = []
    await house.minutes(31)
    assert len(await suspects(house)) == 1
    body = await report(house)
    assert {one.register.difference for one in body.channels if one.register} == {"3192"}, (
        "100001492 - 99998300"
    )
    await house.show("OLD")
    await house.minutes(40)
    assert await suspects(house) == [], "released"
    found = await conserved(house)
    assert (found.wrong, found.unchecked) == ([], 0)
    kinds = [one.kind for one in await house.store.epochs() if one.property_id == 1]
    assert kinds == [Break.FIRST, Break.ROLLOVER, Break.JUMP]
    text = as_text(Wording(await report(house), "en").shown("key"))
    assert "The counter rolled over" in text


async def test_what_was_doubted_and_then_released_is_delivered(house: MeterHouse) -> None:
    await house.minutes(60)
    house.shown["OLD"]["import_total"] += 60_000_000
    await house.minutes(1)
    house.port = []
    await house.minutes(31)
    assert len(await suspects(house)) == 1
    await house.show("OLD")
    await house.minutes(60)
    assert await suspects(house) == [], "released"
    for platform in house.platforms:
        items = await house.store.pending(platform, "m", 100)
        await house.store.acknowledge([one.id for one in items], "200", house.clock.now_ms())
    for channel in (await report(house)).channels:
        assert (channel.late, channel.nothing) == (1, 0)
        assert channel.delivered == channel.expected - channel.open


async def suspects(house: MeterHouse) -> list[HalfHour]:
    kept = await house.store.half_hours(UtcMs(0), house.clock.now_ms())
    return [one for one in kept if one.state is State.SUSPECT]


async def test_offset_that_is_not_what_was_signed_is_found(house: MeterHouse) -> None:
    await house.minutes(100)
    await swap(house)
    (swapped,) = [one for one in await house.store.epochs() if one.kind is Break.SWAP]
    for by, said in ((1, "leaps"), (-1, "falls")):
        wrong = replace(swapped, offset=Quantity(swapped.offset.whole + by, swapped.offset.decimals))
        await house.store.keep(Keep(now_ms=house.clock.now_ms(), epochs=[wrong]))
        assert any(said in one for one in (await conserved(house)).wrong)


async def test_clock_episode_and_what_storage_cannot_vouch_for_are_told(house: MeterHouse) -> None:
    await house.minutes(62)
    house.clock.pass_ms(2 * HOUR_MS)
    house.clock.trust, house.clock.boot_id = Trust.UNKNOWN, "second"
    await house.start()
    await house.minutes(90)
    house.clock.trust, house.clock.boot_id = Trust.TRUSTED, "third"
    await house.start()
    await house.minutes(62)
    found = await conserved(house)
    assert found.wrong == []
    body = await report(house)
    (episode,) = body.clock
    assert (episode.after_ms, episode.before_ms) == (until(62), until(62 + 120 + 90))
    assert episode.duration_ms // MINUTE_MS in (89, 90)
    (causes,) = {tuple(sorted(one.causes.items())) for one in body.channels}
    assert dict(causes) == {"clock unknown": 3, "gateway off": 3}
    path = house.store.database.path
    await house.store.database.rows(
        "UPDATE half_hours SET whole = whole + 1 WHERE end_ms = ? AND property_id = 1", (until(30),)
    )
    await house.store.close()
    house.store = await open_store(path)
    body = await report(house)
    assert [one.kind for one in body.doubts] == ["put back"]
    text = as_text(Wording(body, "en").shown("key"))
    for words in ("Times without a known clock", "The time was not known", "Doubts about the storage"):
        assert words in text
