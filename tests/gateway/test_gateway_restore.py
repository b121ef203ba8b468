"""The card dies, and a backup goes onto a new one: the same gateway, and nothing doubled in effect."""

from __future__ import annotations

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from meterkast.cli import main
from meterkast.model.time import HALF_HOUR_MS, UtcMs, parse_iso

PASSPHRASE = "correct horse battery staple"
CHANNELS = (("import", None), ("export", "1-0:2.8.2"))


async def command(*words: str) -> int:
    """A command in a thread: it has a loop of its own."""
    return await asyncio.to_thread(main, list(words))


def meter_shows(meter: Any, reference: str | None, at_ms: UtcMs) -> int:
    registers = meter.registers(at_ms)
    if reference is None:
        return int(registers["1-0:1.8.1"] + registers["1-0:1.8.2"])
    return int(registers[reference])


async def slots(it: Any, channel: str) -> dict[UtcMs, str]:
    received = await it.reset.received()
    return {
        parse_iso(slot["reading_time"]): slot["value"]
        for slot in received["readings"]
        if slot["channel"] == channel
    }


async def packets(it: Any) -> list[UtcMs]:
    received = await it.wattics.received()
    return [parse_iso(packet["tsISO8601"]) for packet in received["meters"].get("main", [])]


async def more_delivered(it: Any, count: int) -> None:
    """Wait until so many more half-hours are at both platforms."""
    before = len(await slots(it, "import")), len(await packets(it))

    async def there() -> bool:
        return (
            len(await slots(it, "import")) >= before[0] + count
            and len(await packets(it)) >= before[1] + count
        )

    await it.until(there)


def card_dies(folder: Path) -> None:
    """All that a gateway keeps is gone; the meter's line is none of it."""
    for path in folder.iterdir():
        if path.is_dir():
            shutil.rmtree(path)
        elif path.name not in ("p1", "backup.mkb", "passphrase"):
            path.unlink()


@pytest.mark.slow
async def test_a_restored_gateway_goes_on_as_the_one_it_was(
    cupboard: Callable[..., Any], tmp_path: Path
) -> None:
    backup, passphrase = tmp_path / "backup.mkb", tmp_path / "passphrase"
    passphrase.write_text(f"{PASSPHRASE}\n")
    async with cupboard(speed=300, seed=9) as it:
        configuration = (tmp_path / "meterkast.toml").read_bytes()
        await it.start()
        await more_delivered(it, 3)
        identity = it.rows("SELECT text FROM state WHERE scope = 'gateway' AND key = 'device_id'")
        told = (await it.reset.received())["messages"]["monitors"]

        # Some wait for both platforms when the backup is made, and are delivered after it.
        await it.reset.set_faults(error_10500=1.0)
        await it.wattics.set_faults(error_503=1.0)
        await it.until(lambda: it.pending() >= 6)
        given = ("--config", str(tmp_path / "meterkast.toml"), "--passphrase-file", str(passphrase))
        assert await command("backup", str(backup), *given) == 0
        waiting = it.pending()
        assert waiting >= 6
        ids = dict(it.rows("SELECT name, seq FROM sqlite_sequence"))
        await it.reset.set_faults(error_10500=None)
        await it.wattics.set_faults(error_503=None)
        await it.until(lambda: it.pending() == 0)
        await more_delivered(it, 3)
        later = dict(it.rows("SELECT name, seq FROM sqlite_sequence"))
        assert later["outbox"] > ids["outbox"]
        await it.kill()
        before = await slots(it, "import"), await packets(it), await it.reset.received()
        card_dies(tmp_path)

        assert await command("restore", str(backup), "--passphrase-file", str(passphrase)) == 0
        assert (tmp_path / "meterkast.toml").read_bytes() == configuration
        assert it.pending() >= waiting - 2
        assert it.rows("SELECT count(*) FROM outbox WHERE state = 0 AND tries = 0") == [(0,)]
        await it.start()
        resumed_ms = it.clock.now_ms()
        await more_delivered(it, 3)
        await it.until(lambda: it.pending() == 0)
        assert await it.stop() == 0
        assert it.errors == []

        assert it.rows("SELECT text FROM state WHERE scope = 'gateway' AND key = 'device_id'") == identity
        assert (await it.reset.received())["messages"]["monitors"] == told  # no new registration
        now = dict(it.rows("SELECT name, seq FROM sqlite_sequence"))
        assert all(now[table] > later[table] for table in later)
        await checked(it, before, resumed_ms)


async def checked(it: Any, before: Any, resumed_ms: UtcMs) -> None:
    at_reset, at_wattics = await it.reset.received(), await it.wattics.received()
    for name in ("conflicts", "out_of_order", "falls", "refused"):
        assert at_reset[name] == [], name
    for name in ("conflicts", "discarded"):
        assert at_wattics[name] == [], name
    slots_before, packets_before, _ = before
    for channel, reference in CHANNELS:
        delivered = await slots(it, channel)
        assert slots_before.keys() <= delivered.keys() or channel != "import"
        for end_ms, value in delivered.items():
            # A half-hour ends with the last telegram before its end: within ten seconds of it.
            low = meter_shows(it.meter, reference, UtcMs(end_ms - 60_000))
            assert low <= round(float(value) * 1000) <= meter_shows(it.meter, reference, end_ms)
        ends = sorted(delivered)
        lost = [end_ms for end_ms in range(ends[0], ends[-1] + 1, HALF_HOUR_MS) if end_ms not in delivered]
        # Missing is only what ended while there was no card, and at most the one that waited to be sent.
        assert all(max(slots_before) < end_ms <= resumed_ms + HALF_HOUR_MS for end_ms in lost), lost
        assert len(lost) <= 3
    ends = await packets(it)
    assert ends == sorted(set(ends))
    assert ends[: len(packets_before)] == packets_before
