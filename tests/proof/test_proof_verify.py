"""A signed report: what an outsider finds with the file alone."""

from __future__ import annotations

import json
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from meterkast.cli import main
from meterkast.model.errors import StorageError
from meterkast.model.half_hour import Cause, RowKey
from meterkast.proof.key import device_key, fingerprint, key_path, public_hex
from meterkast.proof.render import Wording, as_text
from meterkast.proof.signed import signed
from meterkast.proof.verify import Verdict, verify

from .site import OTHER, REGISTER, Site, at

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))


@pytest.fixture
async def file(site: Site) -> str:
    """The last days of October and some of November, with a gap, a late half-hour and a refusal."""
    begin, end = at("2026-10-24"), at("2026-11-02")
    await site.owe(begin)
    gap = at("2026-10-25T02:30")
    late = at("2026-10-26T10:00")
    await site.fill(begin, end, lacks={gap: Cause.GATEWAY_OFF, late: Cause.LINK_LOST})
    await site.deliver(at("2026-10-30"))
    items = await site.store.pending("wattics", "m1", 1)
    await site.store.quarantine([one.id for one in items], 'a "word"\\ of é', at("2026-10-30"))
    await site.seal(at("2026-10-28"))
    await site.revise(late, 77)
    await site.seal(end)
    return signed(await site.report("2026-10"), public_hex(KEY), KEY.sign)


async def test_an_unchanged_file_is_good(file: str) -> None:
    found = await verify(file)
    assert (found.wrong, found.notes, found.public) == ([], [], public_hex(KEY))
    assert found.body is not None
    assert len(found.body.seals) == 8
    assert [len(seal.amendments) for seal in found.body.seals] == [0, 0, 0, 0, 1, 0, 0, 0]


async def test_white_space_between_parts_does_not_count(file: str) -> None:
    assert (await verify(json.dumps(json.loads(file), ensure_ascii=False, indent=3))).wrong == []


async def test_any_changed_character_is_found(file: str) -> None:
    spots = [place for place, one in enumerate(file) if not one.isspace()]
    seen: list[Verdict] = []

    @settings(max_examples=250, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
    @given(
        st.sampled_from(spots),
        st.one_of(st.sampled_from("0123456789aAfF\\\"'|,:{}[]- +.eEul"), st.characters()),
    )
    def changed(place: int, other: str) -> None:
        if other == file[place]:
            return
        import asyncio

        loop = asyncio.new_event_loop()
        try:
            found = loop.run_until_complete(verify(file[:place] + other + file[place + 1 :]))
        finally:
            loop.close()
        assert found.wrong, (place, file[place - 20 : place + 20], other)
        seen.append(found)

    import asyncio

    await asyncio.to_thread(changed)
    assert len(seen) > 200


async def altered(file: str, change: Callable[[dict[str, object]], None]) -> Verdict:
    """The verdict on a file of which a part was changed, and that was not signed again."""
    tree = json.loads(file)
    change(tree["body"])
    return await verify(json.dumps(tree, ensure_ascii=False, separators=(",", ":")))


async def resigned(file: str, change: Callable[[dict[str, object]], None]) -> list[str]:
    """What is wrong with a file that was changed and signed anew: what the signature does not cover."""
    from meterkast.proof.signed import dumps, message

    tree = json.loads(file)
    change(tree["body"])
    tree["signature"] = KEY.sign(message(tree["body"], tree["key"])).hex()
    return (await verify(dumps(tree))).wrong


async def test_each_part_is_held_by_another_too(file: str) -> None:
    """Even who has the key cannot change one part without the others."""

    def row(body: dict) -> None:
        body["seals"][2]["rows"][5] = body["seals"][2]["rows"][5].replace("|2|measured", "|3|measured")

    assert await resigned(file, row) == ["2026-10-26: the rows of property 1 are not as they were sealed."]

    def count(body: dict) -> None:
        body["channels"][0]["measured"] += 1

    assert await resigned(file, count) == ["wattics m1 pC_1: its measured is not what its rows come to."]

    def state(body: dict) -> None:
        body["status"] = "complete"

    assert await resigned(file, state) == ["What it says first is not what its rows come to."]

    def chain(body: dict) -> None:
        body["seals"][3]["digest"] = "0" * 64

    assert await resigned(file, chain) == [
        "2026-10-27: its digest is not that of what it covers.",
        "2026-10-28: its seal does not follow the one before it.",
    ]

    def order(body: dict) -> None:
        body["seals"][2:4] = body["seals"][3:1:-1]

    assert "its seal does not follow" in (await resigned(file, order))[0]

    def left_out(body: dict) -> None:
        del body["seals"][4]

    assert "its seal does not follow" in (await resigned(file, left_out))[0]

    def swapped(body: dict) -> None:
        rows = body["seals"][2]["rows"]
        rows[3], rows[4] = rows[4], rows[3]

    assert await resigned(file, swapped) == [
        "2026-10-26: the rows of property 1 are not as they were sealed."
    ]

    def delivered(body: dict) -> None:
        next(one for one in body["streams"][0]["items"] if one[1] == "pending")[1] = "delivered"

    assert await resigned(file, delivered) == [
        "wattics m1 pC_1: its delivered, pending are not what its rows come to."
    ]


async def test_a_month_beyond_the_calendar_is_wrong_and_no_traceback(file: str) -> None:
    def far(body: dict) -> None:
        body["month"] = "9999-12"

    assert "its year is not" in (await resigned(file, far))[0]


async def test_a_name_is_held_by_the_signature_alone(file: str) -> None:
    def rename(body: dict) -> None:
        body["site"] = "Stationsweg 13"

    assert await resigned(file, rename) == []
    assert (await altered(file, rename)).wrong == [
        "The signature does not fit: something besides rows, seals and counts was changed."
    ]


@pytest.mark.parametrize("share", [0.1, 0.5, 0.999])
async def test_a_truncated_file_is_named(file: str, share: float) -> None:
    [wrong] = (await verify(file[: int(len(file) * share)])).wrong
    assert "not whole" in wrong


async def test_rows_of_others_stay_at_home_and_are_sealed_all_the_same(site: Site) -> None:
    from dataclasses import replace

    begin, end = at("2026-04-01"), at("2026-04-03")
    await site.owe(begin)
    await site.fill(begin, end)
    await site.fill(begin, end, stream=None, change=lambda row: replace(row, property_id=OTHER))
    await site.seal(end)
    body = await site.report("2026-04")
    assert [sorted(seal.parts) for seal in body.seals] == [["1", "2"]] * 2
    assert {row.split("|")[0] for seal in body.seals for row in seal.rows} == {str(REGISTER)}
    assert (await verify(signed(body, public_hex(KEY), KEY.sign))).wrong == []


async def test_rows_of_two_properties_in_another_order_are_named(site: Site) -> None:
    from dataclasses import replace

    begin, end = at("2026-04-01"), at("2026-04-02")
    await site.owe(begin, properties=(REGISTER, OTHER), until_ms=end)
    await site.fill(begin, end)
    await site.fill(begin, end, stream=None, change=lambda row: replace(row, property_id=OTHER))
    await site.seal(end)
    file = signed(await site.report("2026-04"), public_hex(KEY), KEY.sign)
    assert (await verify(file)).wrong == []

    def swapped(body: dict) -> None:
        rows = body["seals"][0]["rows"]
        rows[4], rows[5] = rows[5], rows[4]

    assert await resigned(file, swapped) == ["2026-04-01: its half-hours are not in their order."]


async def test_a_seal_is_never_rewritten(site: Site) -> None:
    begin, end = at("2026-04-01"), at("2026-04-04")
    await site.owe(begin)
    await site.fill(begin, end)
    assert await site.seal(at("2026-04-03")) == 2
    before = await site.store.books.all_seals()
    await site.revise(at("2026-04-01T10:00"), 5)
    assert await site.seal(end) == 1
    after = await site.store.books.all_seals()
    assert list(after[:2]) == list(before)
    assert [one.rows for one in after] == [48, 48, 49]
    body = await site.report("2026-04")
    assert (await verify(signed(body, public_hex(KEY), KEY.sign))).wrong == []


async def test_a_row_changed_in_the_database_after_its_day_was_sealed_is_found(site: Site) -> None:
    """Also where its CRC was made anew, as who wants to deceive would."""
    from dataclasses import replace

    from meterkast.model.quantity import Quantity

    begin, end = at("2026-04-01"), at("2026-04-02")
    await site.owe(begin)
    await site.fill(begin, end)
    await site.seal(end)
    [row] = await site.store.half_hours(at("2026-04-01T09:59"), at("2026-04-01T10:00"), properties=[REGISTER])
    assert row.value is not None
    forged = replace(row, value=Quantity(row.value.whole + 1))

    async def forge(connection: object) -> None:
        await connection.execute(  # type: ignore[attr-defined]
            "UPDATE half_hours SET whole = ?, crc = ? WHERE end_ms = ?",
            (row.value.whole + 1, forged.crc() - (1 << 31), row.end_ms),
        )

    await site.store.database.transact(forge)
    file = signed(await site.report("2026-04"), public_hex(KEY), KEY.sign)
    assert (await verify(file)).wrong == ["2026-04-01: its digest is not that of what it covers."]


async def test_a_damaged_row_breaks_its_own_day_only(site: Site) -> None:
    begin, end = at("2026-04-01"), at("2026-04-04")
    await site.owe(begin, until_ms=end)
    await site.fill(begin, end)
    await site.seal(end)

    async def flip(connection: object) -> None:
        at_ms = at("2026-04-02T10:00")
        await connection.execute(f"UPDATE half_hours SET whole = whole + 1 WHERE end_ms = {at_ms}")  # type: ignore[attr-defined]

    await site.store.database.transact(flip)
    found = await verify(signed(await site.report("2026-04"), public_hex(KEY), KEY.sign))
    assert found.wrong == []
    assert len(found.notes) == 1
    assert "2026-04-02" in found.notes[0]


async def execute(site: Site, query: str) -> None:
    async def change(connection: object) -> None:
        await connection.execute(query)  # type: ignore[attr-defined]

    await site.store.database.transact(change)


async def test_a_damaged_amendment_is_a_note_and_nothing_wrong(site: Site) -> None:
    begin, end = at("2026-04-01"), at("2026-04-04")
    late = at("2026-04-01T10:00")
    await site.owe(begin, until_ms=end)
    await site.fill(begin, end)
    await site.seal(at("2026-04-03"))
    await site.revise(late, 5)
    await site.seal(end)
    await execute(site, f"UPDATE half_hours SET whole = 6 WHERE end_ms = {late} AND revision = 1")
    body = await site.report("2026-04")
    found = await verify(signed(body, public_hex(KEY), KEY.sign))
    assert found.wrong == []
    assert [one.partition(":")[0] for one in found.notes] == ["2026-04-03"]
    assert "2026-04-03: 1 of its half-hours" in as_text(Wording(body, "en").shown("key"))


async def test_a_damaged_reading_at_the_begin_is_named_and_nothing_wrong(site: Site) -> None:
    begin, end = at("2026-04-01"), at("2026-04-02")
    await site.owe(at("2026-03-31"))
    await site.fill(at("2026-03-31"), end)
    await site.revise(begin, 5)
    await execute(site, f"UPDATE half_hours SET whole = 6 WHERE end_ms = {begin} AND revision = 1")
    body = await site.report("2026-04")
    assert body.damaged == ((1_800_000, begin, REGISTER, 1),)
    assert (await verify(signed(body, public_hex(KEY), KEY.sign))).wrong == []


@pytest.mark.parametrize(
    ("sealed", "notes"),
    [
        ("2026-05-01", []),
        ("2026-04-30", ["1 days that were over have no seal (2026-04-30)"]),
        ("2026-04-01", ["30 days that were over have no seal (2026-04-01 to 2026-04-30)"]),
    ],
)
async def test_days_that_were_never_sealed_are_told(site: Site, sealed: str, notes: list[str]) -> None:
    begin, end = at("2026-04-01"), at("2026-05-01")
    await site.owe(begin)
    await site.fill(begin, end)
    await site.seal(at(sealed))
    found = await verify(signed(await site.report("2026-04"), public_hex(KEY), KEY.sign))
    assert found.wrong == []
    assert [one.partition(":")[0] for one in found.notes] == notes


async def test_half_hours_that_were_made_after_the_last_seal_are_told(site: Site) -> None:
    begin, end = at("2026-04-01"), at("2026-05-01")
    await site.owe(begin)
    await site.fill(begin, end)
    await site.seal(end)
    await site.revise(at("2026-04-30T10:00"), 5)
    found = await verify(signed(await site.report("2026-04"), public_hex(KEY), KEY.sign))
    assert found.wrong == []
    assert [one.partition(",")[0] for one in found.notes] == [
        "1 half-hours were made after their day was sealed"
    ]


@pytest.mark.parametrize("told", [True, False])
async def test_a_lost_row_is_a_note_where_a_doubt_names_it(site: Site, told: bool) -> None:
    begin, end = at("2026-04-01"), at("2026-04-03")
    gone = RowKey(1_800_000, at("2026-04-02T10:00"), REGISTER, 0)
    await site.owe(begin, until_ms=end)
    await site.fill(begin, end)
    await site.seal(end)
    await execute(site, f"DELETE FROM half_hours WHERE end_ms = {gone.end_ms}")
    if told:  # as a salvage writes it down
        await execute(
            site,
            "INSERT INTO doubts (at_ms, kind, detail, property_id, length_ms, end_ms) "
            f"VALUES ({end}, 'lost', '{gone}', {REGISTER}, {gone.length_ms}, {gone.end_ms})",
        )
    body = await site.report("2026-04")
    found = await verify(signed(body, public_hex(KEY), KEY.sign))
    assert found.wrong == ([] if told else ["2026-04-02: its digest is not that of what it covers."])
    assert len(found.notes) == told
    shown = as_text(Wording(body, "en").shown("key"))
    assert ("is lost" if told else "2026-04-02: 48 half-hours were sealed, 47 are there") in shown


def test_the_key_is_made_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = key_path(tmp_path / "meterkast.db")
    made = device_key(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert public_hex(device_key(path)) == public_hex(made)
    assert [one.name for one in tmp_path.iterdir()] == ["device.key"]
    path.write_text("nonsense")
    with pytest.raises(StorageError, match="is no key"):
        device_key(path)


def test_the_command_says_good_and_wrong(
    file: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "report.json"
    path.write_text(file)
    own = fingerprint(public_hex(KEY))
    assert main(["verify", str(path), "--key", own]) == 0
    assert "Unchanged: 2026-10 of Stationsweg 12" in capsys.readouterr().out
    path.write_text(file, encoding="utf-8-sig")
    assert main(["verify", str(path)]) == 0, "an editor's mark before it changes nothing"
    assert main(["verify", str(path), "--key", own[::-1]]) == 1
    assert "another key" in capsys.readouterr().out
    path.write_text(file.replace("|measured|", "|suspect|", 1))
    assert main(["verify", str(path)]) == 1
    assert "WRONG: 2026-10-24: the rows of property 1" in capsys.readouterr().out
