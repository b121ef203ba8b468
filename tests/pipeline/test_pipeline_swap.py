"""A meter is replaced: held, signed off, and composed in order across the swap."""

from __future__ import annotations

from itertools import pairwise

import pytest

from meterkast.model.datatypes import HEAT
from meterkast.model.epoch import Break
from meterkast.model.errors import RefusedError, StorageError
from meterkast.model.half_hour import HalfHour, State
from meterkast.model.product import Medium
from meterkast.model.time import HALF_HOUR_MS, MINUTE_MS, UtcMs, iso_utc
from meterkast.model.units import Unit
from meterkast.pipeline.meter_desk import RetireOrder

from .meter_house import POWER_NOW, MeterHouse, Platform, register
from .sites import START, until

REAL = "electricity/import_total"


def both(*bindings: str) -> tuple[Platform, Platform]:
    wanted = bindings or (REAL,)
    return Platform("on", *wanted, continues=True), Platform("shown", *wanted, continues=False)


async def swapped(house: MeterHouse, minute: int = 40, *, gap: int = 5) -> None:
    """A meter is read until that minute, and another one `gap` minutes later."""
    house.meter("OLD", 84_000_000)
    house.meter("NEW", 100)
    await house.start(*both())
    await house.replace("OLD", "NEW", minute=minute, gap=gap)


async def test_nothing_is_sent_past_the_swap_until_it_is_signed_off(house: MeterHouse) -> None:
    await swapped(house)
    await house.minutes(120)
    assert await house.sent("on") == await house.sent("shown") == ["30 import_total=84000300"]
    (told,) = house.problems()
    assert told.startswith("problem: electricity meter NEW is read where electricity meter OLD was")
    closed = await house.store.half_hours(UtcMs(0), house.clock.now_ms())
    assert {one.state for one in closed if one.property_id == 2} == {State.MEASURED}, "both are closed"


async def test_signed_off_it_goes_on_in_order_through_the_offset(house: MeterHouse) -> None:
    await swapped(house)
    await house.minutes(120)
    told = await house.swap(
        "OLD", "NEW", old_readings={"import_total": "84000.45"}, new_readings={"import_total": "0.1"}
    )
    assert "import_total: 84000.450 kWh on the old meter, 0.100 kWh on the new one" in told
    assert await house.sent("shown") == [
        "30 import_total=84000300",
        "60 import_total=250",
        "90 import_total=550",
        "120 import_total=850",
        "150 import_total=1150",
    ]
    # 84000450 on the old face, less the 100 that the new one began with.
    assert await house.sent("on") == [
        "30 import_total=84000300",
        "60 import_total=84000600",
        "90 import_total=84000900",
        "120 import_total=84001200",
        "150 import_total=84001500",
    ]
    await house.minutes(30)
    assert (await house.sent("on"))[-1] == "180 import_total=84001800"
    assert house.problems() == []


async def test_swap_is_an_epoch_that_names_who_signed_and_both_faces(house: MeterHouse) -> None:
    await swapped(house)
    await house.minutes(20)
    await house.swap("OLD", "NEW", old_readings={"import_total": "84000.45"})
    (epoch,) = [one for one in await house.store.epochs() if one.kind is Break.SWAP]
    assert (epoch.property_id, epoch.number, epoch.predecessor, epoch.signed_by) == (2, 0, 1, "Jan")
    assert epoch.last is not None
    assert (epoch.last.decimal(), epoch.first.decimal()) == (84_000_450, 110)
    across = [one for one in await house.store.half_hours(UtcMs(0), until(60)) if one.property_id == 2]
    assert all(one.end_ms - HALF_HOUR_MS < epoch.at_ms <= one.end_ms for one in across)


async def test_restart_while_it_waits_holds_on_and_after_it_nothing_changes(house: MeterHouse) -> None:
    await swapped(house)
    await house.minutes(70)
    await house.start()
    await house.minutes(50)
    assert await house.sent("on") == ["30 import_total=84000300"]
    assert len(house.problems()) == 1
    await house.swap("OLD", "NEW")
    await house.start()
    await house.minutes(60)
    values = [int(one.split("=")[1]) for one in await house.sent("on")]
    assert len(values) == 7
    assert all(after - before == 300 for before, after in list(pairwise(values))[1:])
    assert [one for one in await house.store.epochs() if one.kind is Break.SWAP] == [
        house.closing.registers.epochs_of(house.closing.streams[0].stream.properties[0])[0]
    ]


async def test_weeks_on_hold_take_no_memory_and_lose_nothing(house: MeterHouse) -> None:
    await swapped(house)
    await house.minutes(36 * 60)
    assert all(len(kept) < 20 for kept in house.closing.recent._done.values())
    await house.swap("OLD", "NEW")
    values = [one.split() for one in await house.sent("on")]
    assert [int(end) for end, _ in values] == list(range(30, 36 * 60 + 31, 30))


async def test_auto_signs_off_with_the_last_and_the_first_reading(house: MeterHouse) -> None:
    house.auto = True
    await swapped(house)
    await house.minutes(60)
    assert await house.sent("on") == [
        "30 import_total=84000300",
        "60 import_total=84000540",  # 84000400 was read last, and 140 are counted on the new one since
        "90 import_total=84000840",
    ]
    (epoch,) = [one for one in await house.store.epochs() if one.kind is Break.SWAP]
    assert epoch.signed_by == "auto"
    assert house.problems() == []


@pytest.mark.parametrize("bound", [False, True])
async def test_meter_that_counts_something_else_needs_a_person_even_with_auto(
    house: MeterHouse, bound: bool, caplog: pytest.LogCaptureFixture
) -> None:
    house.auto = True
    house.meter("E", 1000)
    house.described["OLD"] = Medium.HEAT, (register("energy", HEAT, Unit.MEGAJOULE),)
    house.described["NEW"] = Medium.HEAT, (register("energy"),)
    house.shown |= {"OLD": {"energy": 5000}, "NEW": {"energy": 3}}
    await house.start(
        Platform("on", REAL, continues=True),
        *([Platform("warm", "heat/energy", continues=True)] if bound else []),
    )
    await house.show("E", "OLD")
    await house.minutes(40)
    await house.show("E", "NEW")
    await house.minutes(60)
    assert (await house.sent("on"))[-1] == "90 import_total=1900", "the others go on"
    (told,) = house.problems()
    assert "heat meter NEW is read where heat meter OLD was" in told
    assert len([one for one in caplog.records if "needs a person" in one.message]) == (not bound)
    with pytest.raises(RefusedError, match="no register in common"):
        await house.swap("OLD", "NEW")
    await house.desk.retire(RetireOrder(meter="OLD"))
    assert house.problems() == []
    await house.minutes(30)
    assert [one.state for one in house.desk.meters()] == ["in use", "retired", "in use"]
    if bound:
        assert (await house.sent("warm"))[-1] == "120 energy=meter silent", "nothing is held"


async def test_interval_that_only_the_old_meter_was_read_in_is_the_old_ones(house: MeterHouse) -> None:
    await swapped(house, minute=40, gap=25)  # read again after 60
    await house.minutes(60)
    await house.swap("OLD", "NEW")
    assert (await house.sent("shown"))[:3] == [
        "30 import_total=84000300",
        "60 import_total=84000400",
        "90 import_total=350",
    ]


async def test_momentary_values_and_other_lengths_go_over_to_the_new_meter(house: MeterHouse) -> None:
    house.meter("OLD", 5_000, Medium.ELECTRICITY, POWER_NOW)
    house.meter("NEW", 100, Medium.ELECTRICITY, POWER_NOW)
    await house.start(
        Platform("on", REAL, "electricity/power_import", continues=True, length_ms=15 * MINUTE_MS)
    )
    await house.replace("OLD", "NEW")
    await house.minutes(40)
    await house.swap("OLD", "NEW")
    sent = await house.sent("on")
    assert [int(one.split()[0]) for one in sent] == [15, 30, 45, 60, 75]
    assert not any("None" in one or "silent" in one for one in sent)
    assert [int(one.split()[1].split("=")[1]) for one in sent] == [5150, 5300, 5440, 5590, 5740]


async def test_gas_that_moves_to_another_channel_is_the_same_meter(house: MeterHouse) -> None:
    house.meter("E", 1000)
    house.meter("G", 2000, Medium.GAS)
    await house.start(Platform("on", "gas/volume", continues=True))
    await house.show("E", "G")
    await house.minutes(20)
    await house.show("G", "E")
    await house.minutes(50)
    assert house.problems() == []
    assert len(await house.sent("on")) == 2


async def test_second_meter_of_a_medium_beside_the_first_is_no_swap(house: MeterHouse) -> None:
    house.meter("W1", 1000, Medium.GAS)
    house.meter("W2", 9000, Medium.GAS)
    await house.start(Platform("on", "W1/volume", continues=True))
    await house.show("W1")
    await house.minutes(20)
    await house.show("W1", "W2")
    await house.minutes(50)
    assert house.problems() == []


async def test_cable_that_is_put_back_lets_everything_go_on(house: MeterHouse) -> None:
    await swapped(house)
    await house.minutes(10)
    await house.show("OLD")
    await house.minutes(60)
    assert house.problems() == []
    assert (await house.sent("on"))[-1] == "90 import_total=84000750"
    await house.show("NEW")
    await house.minutes(2)
    assert len(house.problems()) == 1, "another time it is asked for again"


async def test_stream_bound_by_serial_is_not_held(house: MeterHouse) -> None:
    house.meter("OLD", 84_000_000)
    house.meter("NEW", 100)
    await house.start(Platform("on", "OLD/import_total", continues=True))
    await house.replace("OLD", "NEW")
    await house.minutes(60)
    assert (await house.sent("on"))[-1] == "90 import_total=meter silent"


async def test_two_meters_swapped_at_once_need_a_person_even_with_auto(house: MeterHouse) -> None:
    house.auto = True
    for serial, value in (("A", 1000), ("B", 90_000), ("C", 5), ("D", 7)):
        house.meter(serial, value, Medium.GAS)
    await house.start(Platform("on", "A/volume", continues=True))
    await house.show("A", "B")
    await house.minutes(20)
    await house.show("C", "D")
    await house.minutes(20)
    assert len(house.problems()) == 2
    await house.swap("A", "D")
    assert [one.replaces for one in house.keeper.meters.waiting()] == []


async def test_chain_of_swaps_goes_on_through_all_of_them(house: MeterHouse) -> None:
    await swapped(house)
    await house.minutes(30)
    house.meter("THIRD", 0)
    await house.show("THIRD")
    await house.minutes(60)
    await house.swap("OLD", "NEW")
    assert len(house.problems()) == 1
    await house.swap("NEW", "THIRD")
    values = [int(one.split("=")[1]) for one in await house.sent("on")]
    assert [end for end, _ in (one.split() for one in await house.sent("on"))] == ["30", "60", "90", "120"]
    assert values == sorted(values)
    assert values[-1] - values[0] == 300 + 300 + 300 - 2 * 10 - 5 * 10, (
        "what was counted unread is not invented"
    )


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"old": "NOBODY"}, 'there is no meter "NOBODY"'),
        ({"old": "NEW"}, "a meter cannot take its own place"),
        ({"old_readings": {"import_total": "83999"}}, "below the old meter's last reading, 84000.400 kWh"),
        ({"old_readings": {"import_total": "84000.3"}}, "below the old meter's last reading, 84000.400 kWh"),
        ({"old_readings": {"import_total": "83999.9"}}, "below the old meter's last reading, 84000.400 kWh"),
        ({"new_readings": {"import_total": "0.2"}}, "above the new meter's first reading, 0.110 kWh"),
        ({"old_readings": {"import_total": "84000450"}}, "more than the connection carries"),
        ({"old_readings": {"import_t9": "1"}}, '"import_t9" is no register that both meters have'),
        ({"old_readings": {"import_total": "eighty"}}, '"eighty" is no reading'),
        ({"at_ms": until(30)}, "is before the old meter's last reading"),
        ({"at_ms": until(50)}, "is after the new meter's first reading"),
    ],
)
async def test_what_cannot_be_is_refused_in_words(
    house: MeterHouse, more: dict[str, object], words: str
) -> None:
    await swapped(house)
    await house.minutes(20)
    order = {"old": "OLD", "new": "NEW", **more}
    with pytest.raises(RefusedError) as refused:
        await house.swap(**order)  # type: ignore[arg-type]
    assert words in str(refused.value)
    assert len(house.problems()) == 1, "and nothing was changed"


@pytest.mark.parametrize("written", ["84000", "84000.4", "84000,40", "84000.400"])
async def test_face_that_shows_fewer_digits_than_were_read_counts_as_read(
    house: MeterHouse, written: str
) -> None:
    await swapped(house)
    await house.minutes(20)
    told = await house.swap("OLD", "NEW", old_readings={"import_total": written})
    assert "import_total: 84000.400 kWh on the old meter" in told


async def test_swap_is_signed_off_once(house: MeterHouse) -> None:
    await swapped(house)
    await house.minutes(20)
    await house.swap("OLD", "NEW", at_ms=until(43))
    with pytest.raises(RefusedError, match="is signed off"):
        await house.swap("OLD", "NEW")


async def test_dry_run_says_what_each_platform_gets_and_changes_nothing(house: MeterHouse) -> None:
    await swapped(house)
    await house.minutes(20)
    told = await house.swap("OLD", "NEW", dry=True)
    assert (
        "on m, electricity/import_total: goes on: the new meter's 0.300 kWh is sent as 84000.590 kWh" in told
    )
    assert "shown m, electricity/import_total: as the new meter shows it, 0.300 kWh now" in told
    assert "Nothing was changed." in told
    assert len(house.problems()) == 1
    assert await house.sent("on") == ["30 import_total=84000300"]


async def test_retiring_a_meter_whose_swap_waits_is_refused(house: MeterHouse) -> None:
    await swapped(house)
    await house.minutes(5)
    with pytest.raises(RefusedError, match="seems to have taken its place"):
        await house.desk.retire(RetireOrder(meter="OLD"))


async def test_sign_off_that_the_disk_refuses_is_kept_when_it_works_again(
    house: MeterHouse, monkeypatch: pytest.MonkeyPatch
) -> None:
    await swapped(house)
    await house.minutes(20)
    whole = house.store.keep

    async def full(what: object) -> None:
        raise StorageError("the disk is full", hint="Free some.")

    monkeypatch.setattr(house.store, "keep", full)
    assert "tried again each minute" in await house.swap("OLD", "NEW")
    monkeypatch.setattr(house.store, "keep", whole)
    await house.minutes(1)
    assert [one.kind for one in await house.store.epochs()] == [Break.FIRST, Break.SWAP]
    assert iso_utc(house.clock.now_ms())


async def test_new_meter_without_the_bound_register_is_said_to_wait(house: MeterHouse) -> None:
    house.meter("OLD", 1000, Medium.ELECTRICITY, register("import_t1"))
    house.meter("NEW", 100)
    await house.start(Platform("on", "electricity/import_t1", continues=True))
    await house.replace("OLD", "NEW")
    await house.minutes(20)
    told = await house.swap("OLD", "NEW", dry=True)
    assert "waits, for the new meter has no import_t1" in told


@pytest.mark.parametrize("put_back", [False, True])
async def test_database_that_cannot_be_read_when_streams_go_on_costs_nothing(
    house: MeterHouse, monkeypatch: pytest.MonkeyPatch, put_back: bool
) -> None:
    async def refuses(*_: object, **__: object) -> list[HalfHour]:
        raise StorageError("the disk failed", hint="Replace the card.")

    await swapped(house, 40, gap=5)
    await house.minutes(100)
    monkeypatch.setattr(house.store, "half_hours", refuses)
    if put_back:
        await house.show("OLD")
    else:
        await house.swap("OLD", "NEW")
    await house.minutes(3)
    assert [len(await house.sent(one)) for one in ("on", "shown")] == [1, 1]
    monkeypatch.undo()
    await house.minutes(5)
    assert [len(await house.sent(one)) for one in ("on", "shown")] == [5, 5]
    assert house.problems() == []
    times = [at async for frames in house.store.samples(START) for one in frames for at in one.times]
    assert len(times) == 40 + 100 + 8, "also what was read in that minute"


async def overlapping(house: MeterHouse) -> None:
    """A device of a network is read from minute 40 on, beside the one whose place it takes in minute 50."""
    house.meter("OLD", 84_000_000)
    house.meter("NEW", 100)
    await house.start(*both())
    await house.include("OLD")
    await house.minutes(40)
    await house.include("OLD", "NEW")
    await house.minutes(10)
    house.port = ["NEW"]
    await house.minutes(20)


async def test_device_that_was_added_before_the_old_one_was_taken_out_is_signed_off(
    house: MeterHouse,
) -> None:
    await overlapping(house)
    told = await house.swap("OLD", "NEW")
    assert "import_total: 84000.500 kWh on the old meter, 0.200 kWh on the new one" in told
    await house.minutes(25)
    # 84000500 at minute 50, where the new one showed 200: nothing is counted twice.
    assert await house.sent("on") == [
        "30 import_total=84000300",
        "60 import_total=84000500",  # sent before anybody said that there was a swap
        "90 import_total=84000900",
    ]
    (epoch,) = [one for one in await house.store.epochs() if one.kind is Break.SWAP]
    assert (epoch.at_ms, epoch.first.decimal()) == (until(50) - MINUTE_MS // 2, 200)


async def test_device_that_was_added_early_takes_over_when_a_person_says(house: MeterHouse) -> None:
    await overlapping(house)
    told = await house.swap(
        "OLD",
        "NEW",
        at_ms=until(53),
        old_readings={"import_total": "84000.520"},
        new_readings={"import_total": "0.235"},
    )
    assert "84000.520 kWh on the old meter, 0.235 kWh on the new one" in told


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"at_ms": until(45)}, "is before the old meter's last reading"),
        ({"at_ms": until(75)}, "is after the new meter's newest reading"),
        ({"new_readings": {"import_total": "0.19"}}, "0.190 kWh is not between 0.200 kWh and 0.400 kWh"),
        ({"new_readings": {"import_total": "0.5"}}, "0.500 kWh is not between 0.200 kWh and 0.400 kWh"),
    ],
)
async def test_what_cannot_be_of_two_that_were_both_read_is_refused(
    house: MeterHouse, more: dict[str, object], words: str
) -> None:
    await overlapping(house)
    with pytest.raises(RefusedError) as refused:
        await house.swap("OLD", "NEW", **more)  # type: ignore[arg-type]
    assert words in str(refused.value)


async def test_what_the_new_device_showed_is_asked_for_once_it_left_the_memory(house: MeterHouse) -> None:
    await overlapping(house)
    await house.minutes(6 * 60)
    with pytest.raises(RefusedError, match="no longer in memory") as refused:
        await house.swap("OLD", "NEW")
    assert "--new-reading import_total=READING" in refused.value.hint
    await house.swap("OLD", "NEW", new_readings={"import_total": "0.2"})
    assert [one.state for one in house.desk.meters()] == ["replaced", "in use"]
