"""Telegrams become batches: exact, only what can be trusted, each meter by itself."""

from __future__ import annotations

import asyncio
import random
import re
from collections.abc import Callable

import pytest

from meterkast.model.reading import Batch, TimeSource
from meterkast_drivers.p1.framing import Checksum, Framer
from meterkast_drivers.p1.reader import Reader

Telegram = Callable[[str], bytes]
Seal = Callable[[bytes], bytes]
SECOND_NS = 1_000_000_000
MKT = "p1:MKT0000000000001"
MKG = "p1:MKG0000000000001"


class Meter:
    """A meter's telegrams on their way through framer and reader."""

    def __init__(self, catalog: object) -> None:
        self.catalog = catalog
        self.framer = Framer()
        self.reader = Reader()
        self.now_ns = 0

    def send(self, data: bytes, after_s: float = 10) -> list[Batch]:
        self.now_ns += int(after_s * SECOND_NS)
        batches = []
        for frame in self.framer.feed(data) + self.framer.idle():
            if frame.checksum is Checksum.BAD:
                continue
            found = self.reader.take(frame, self.now_ns)
            if self.reader.undeclared:
                asyncio.run(self.reader.declare(self.catalog))  # type: ignore[arg-type]
                found = self.reader.batches(self.now_ns)
            batches += found
        return batches

    def values(self, data: bytes, after_s: float = 10) -> dict[str, tuple[int, int]]:
        named: dict[str, tuple[int, int]] = {}
        for batch in self.send(data, after_s):
            named |= self.catalog.named(batch)  # type: ignore[attr-defined]
        return named


@pytest.fixture
def meter(catalog: object) -> Meter:
    return Meter(catalog)


def test_whole_numbers_in_canonical_units(meter: Meter, telegram: Telegram) -> None:
    values = meter.values(telegram("nl-dsmr50.telegram"))
    assert values[f"{MKT}/import_t1"] == (123_456, 0)  # 000123.456*kWh in Wh
    assert values[f"{MKT}/import_total"] == (123_456 + 234_567, 0)
    assert values[f"{MKT}/export_total"] == (11_111 + 22_222, 0)
    assert values[f"{MKT}/power_import"] == (360, 0)
    assert values[f"{MKT}/voltage_l1"] == (2_314, 1)
    assert values[f"{MKT}/tariff"] == (2, 0)
    assert values[f"{MKG}/volume"] == (321_098, 0)


@pytest.mark.parametrize(
    ("name", "key", "value"),
    [
        ("at-integers.telegram", "p1:EST5\\000000001_A/import_total", (6_000_777, 0)),
        ("q3d-trailer.telegram", "p1:1ESY0000000001/import_total", (123_456_789_012, 4)),
        ("lt-eso.telegram", f"{MKT}/power_factor", (-900, 3)),
        ("lt-eso.telegram", f"{MKT}/voltage_l1", (234, 0)),
        ("be-emucs17.telegram", f"{MKT}/demand_peak", (4_321, 0)),
        ("be-emucs17.telegram", f"{MKT}/current_l1", (153, 2)),
        ("be-emucs17.telegram", "p1:MKW0000000000001/volume", (44_555, 0)),
        ("warmtelink-three-digits.telegram", "p1:0000000122334455/energy", (240_006, 0)),
        ("lu-smarty.telegram", f"{MKT}/reactive_import_total", (12_345, 0)),
        ("hu-eon-ff.telegram", "p1:MKT0000000000002/combined_total", (750_750, 0)),
    ],
)
def test_every_country_gets_there(
    meter: Meter, telegram: Telegram, name: str, key: str, value: tuple[int, int]
) -> None:
    # Without a checksum a meter is believed at its third telegram.
    found = meter.values(telegram(name)) | meter.values(telegram(name)) | meter.values(telegram(name))
    assert found[key] == value


def test_times_and_their_sources(meter: Meter, telegram: Telegram) -> None:
    electricity, gas = meter.send(telegram("nl-dsmr50.telegram"))
    assert (electricity.source, electricity.device_ms) == (TimeSource.TELEGRAM, 1_768_474_800_000)
    assert (gas.source, gas.device_ms) == (TimeSource.CAPTURE, 1_768_474_500_000)
    assert electricity.seen_ns == meter.now_ns


def test_without_a_clock_the_arrival_counts(meter: Meter, telegram: Telegram) -> None:
    (batch,) = meter.send(telegram("nl-dsmr50-unset-clock.telegram"))
    assert (batch.source, batch.device_ms) == (TimeSource.ARRIVAL, None)


def test_the_clock_may_become_set(meter: Meter, telegram: Telegram, sealed: Seal) -> None:
    data = telegram("nl-dsmr50-unset-clock.telegram")
    meter.send(data)
    (batch,) = meter.send(sealed(data.replace(b"000000000000W", b"260115120000W")))
    assert batch.device_ms == 1_768_474_800_000


def test_a_meter_behind_it_speaks_only_when_it_has_news(
    meter: Meter, telegram: Telegram, sealed: Seal
) -> None:
    data = telegram("nl-dsmr50.telegram")
    assert len(meter.send(data)) == 2
    later = data.replace(b"260115120000W", b"260115120001W")
    assert len(meter.send(sealed(later))) == 1
    news = later.replace(b"260115115500W", b"260115120000W")
    batches = meter.send(sealed(news))
    assert [batch.source for batch in batches] == [TimeSource.TELEGRAM, TimeSource.CAPTURE]


def test_only_changed_lines_are_read_and_all_values_given(
    meter: Meter, telegram: Telegram, sealed: Seal, catalog: object
) -> None:
    data = telegram("nl-dsmr50.telegram")
    (first, _) = meter.send(data)
    data = data.replace(b"260115120000W", b"260115120001W").replace(b"(00.360*kW)", b"(01.234*kW)")
    (second,) = meter.send(sealed(data.replace(b"000123.456", b"000123.457")))
    assert second.layout is first.layout
    values = meter.catalog.named(second)  # type: ignore[attr-defined]
    assert values[f"{MKT}/power_import"] == (1_234, 0)
    assert values[f"{MKT}/import_total"] == (123_457 + 234_567, 0)
    assert meter.catalog.calls == 2  # type: ignore[attr-defined]  # the meter and its gas meter, once each


def test_changed_only_is_the_same_as_everything(meter: Meter, telegram: Telegram, sealed: Seal) -> None:
    rng = random.Random(7)
    data = telegram("nl-dsmr50.telegram")
    for second in range(1, 60):
        for _ in range(rng.randint(0, 6)):
            spots = [found.start() for found in re.finditer(rb"(?<=\d)\d(?=\*(kWh|kW|V|A)\))", data)]
            at = rng.choice(spots)
            data = data[:at] + b"%d" % rng.randint(0, 9) + data[at + 1 :]
        data = sealed(re.sub(rb"2601151200..W", b"2601151200%02dW" % second, data))
        fast = meter.send(data)[0]
        slow = Meter(meter.catalog).send(data)[0]
        assert (fast.values, fast.device_ms, fast.layout) == (slow.values, slow.device_ms, slow.layout)


@pytest.mark.parametrize(
    ("line", "other"),
    [
        (b"1-0:1.8.2(000234.567*kWh)", b"1-0:1.8.1(000234.567*kWh)"),
        (b"1-0:1.7.0(00.360*kW)", b"0-6:1.7.0(00.360*kW)"),
        (b"0-0:96.13.0()", b"1-0:61.8.0(000001.000*kWh)"),
        (b"1-0:1.7.0(00.360*kW)", b"1-0:1.7.0(0.3600*kW)"),
        (b"1-0:1.7.0(00.360*kW)", b"1-0:1.7.0(00360*W)"),
    ],
)
def test_another_object_in_a_line_is_noticed(
    meter: Meter, telegram: Telegram, sealed: Seal, line: bytes, other: bytes
) -> None:
    data = telegram("nl-dsmr50.telegram")
    for text in (data, sealed(data.replace(line, other)), data):
        alone = Meter(meter.catalog).values(text)
        assert {key: alone[key] for key in alone if key.startswith(MKT)} == {
            key: value for key, value in meter.values(text).items() if key.startswith(MKT)
        }


def test_a_total_needs_all_its_tariffs(meter: Meter, telegram: Telegram, sealed: Seal) -> None:
    values = meter.values(
        sealed(telegram("nl-dsmr50.telegram").replace(b"(000234.567*kWh)", b"(000234.5x7*kWh)"))
    )
    assert f"{MKT}/import_t1" in values
    assert f"{MKT}/import_total" not in values
    assert f"{MKT}/export_total" in values


def test_a_replaced_meter_is_another_product(meter: Meter, telegram: Telegram, sealed: Seal) -> None:
    data = telegram("nl-dsmr50.telegram")
    meter.send(data)
    other = data.replace(
        b"MKG0000000000001".hex().upper().encode(), b"MKG0000000000009".hex().upper().encode()
    )
    other = other.replace(b"(00321.098*m3)", b"(00000.004*m3)")
    values = meter.values(sealed(other))
    assert values["p1:MKG0000000000009/volume"] == (4, 0)
    assert f"{MKG}/volume" not in values


def test_one_meter_on_two_channels_is_read_where_it_is_newest(
    meter: Meter, telegram: Telegram, sealed: Seal
) -> None:
    data = telegram("nl-dsmr50-dead-channels.telegram")
    data = data.replace(b"0-1:96.1.0()", b"0-1:96.1.0(%s)" % b"MKG0000000000001".hex().upper().encode())
    data = data.replace(b"0-1:24.2.1(700101010000W)(00000000)", b"0-1:24.2.1(250101010000W)(00000.001*m3)")
    values = meter.values(sealed(data))
    assert values[f"{MKG}/volume"] == (321_098, 0)


def test_freshness_and_lateness(meter: Meter, telegram: Telegram) -> None:
    meter.send(telegram("nl-dsmr50.telegram"))
    meter.send(telegram("nl-dsmr22.telegram"))
    for identity, description in meter.catalog.properties.values():  # type: ignore[attr-defined]
        if identity == MKG:
            assert (description.fresh_ms, description.late_ms) == (600_000, 900_000)
        else:
            assert (description.fresh_ms, description.late_ms) == (60_000, 0)


@pytest.mark.parametrize(
    ("times", "fresh_s"),
    [
        (["120000", "170000", "170010", "170020", "170030"], 60),  # the cable was out for five hours
        (["120000", "120030", "120100", "120200", "120230"], 90),
        (["120000", "170000", "170030", "170100", "170130"], 90),
        (["100000", "120000", "140000", "160000", "180000"], 180),
    ],
)
def test_values_stand_as_long_as_the_interval_of_the_telegrams_says(
    meter: Meter, telegram: Telegram, sealed: Seal, times: list[str], fresh_s: int
) -> None:
    for one in times:
        meter.send(
            sealed(telegram("nl-dsmr50.telegram").replace(b"260115120000W", b"260115%sW" % one.encode()))
        )
    stand = {
        description.fresh_ms
        for identity, description in meter.catalog.properties.values()  # type: ignore[attr-defined]
        if identity == MKT
    }
    assert stand == {fresh_s * 1000}


def test_registers_begin_again_behind_the_digits_that_the_meter_shows(
    meter: Meter, telegram: Telegram
) -> None:
    meter.send(telegram("nl-dsmr50.telegram"))
    sizes = {
        (identity == MKG, description.key): description.rolls_at
        for identity, description in meter.catalog.properties.values()  # type: ignore[attr-defined]
    }
    assert sizes[False, "import_t1"] == 10**9, "999999.999 kWh in Wh"
    assert sizes[True, "volume"] == 10**8, "99999.999 m3 in L"
    assert sizes[False, "import_total"] is None, "a sum of ours has no size of its own"
    assert sizes[False, "power_import"] is None


class TestWithoutChecksum:
    """DSMR 2.2 and 3.0: nothing proves a telegram, so one alone proves nothing."""

    def test_the_form_has_to_be_seen_twice(self, meter: Meter, telegram: Telegram) -> None:
        data = telegram("nl-dsmr22.telegram")
        assert meter.send(data) == []
        values = meter.values(data)
        assert values[f"{MKT}/import_t1"] == (1_234_567, 0)
        assert meter.values(data)[f"{MKG}/volume"] == (987_654, 0)

    def test_a_missing_line_holds_the_telegram_back(self, meter: Meter, telegram: Telegram) -> None:
        data = telegram("nl-dsmr22.telegram")
        meter.send(data)
        meter.send(data)
        assert meter.send(data.replace(b"1-0:1.8.2(02345.678*kWh)\r\n", b"")) == []
        assert meter.values(data)[f"{MKT}/import_total"] == (1_234_567 + 2_345_678, 0)

    def test_a_damaged_line_costs_its_value_and_the_sums(self, meter: Meter, telegram: Telegram) -> None:
        data = telegram("nl-dsmr22.telegram")
        meter.send(data)
        meter.send(data)
        for damage in (b"1-0:1.8.1(0123.567*kWh)", b"1-0:1.8.1(012#4.567*kWh)", b"1-0:1.8.3(01234.567*kWh)"):
            values = meter.values(data.replace(b"1-0:1.8.1(01234.567*kWh)", damage))
            assert f"{MKT}/import_t2" in values
            assert f"{MKT}/import_t1" not in values
            assert f"{MKT}/import_total" not in values
            assert meter.values(data)[f"{MKT}/import_t1"] == (1_234_567, 0)

    @pytest.mark.parametrize("wrong", [b"01034.567", b"91234.567", b"01235.567"])
    def test_a_register_that_falls_or_jumps_is_held_back(
        self, meter: Meter, telegram: Telegram, wrong: bytes
    ) -> None:
        data = telegram("nl-dsmr22.telegram")
        meter.send(data)
        meter.send(data)
        values = meter.values(data.replace(b"01234.567", wrong))
        assert f"{MKT}/import_t1" not in values
        assert f"{MKT}/import_total" not in values
        assert meter.values(data.replace(b"01234.567", b"01234.570"))[f"{MKT}/import_t1"] == (1_234_570, 0)
        assert meter.reader.held_values

    def test_a_register_that_stays_there_is_believed(self, meter: Meter, telegram: Telegram) -> None:
        data = telegram("nl-dsmr22.telegram")
        meter.send(data)
        meter.send(data)
        replaced = data.replace(b"01234.567", b"00000.003")
        assert f"{MKT}/import_t1" not in meter.values(replaced)
        assert meter.values(replaced)[f"{MKT}/import_t1"] == (3, 0)

    def test_a_meter_value_needs_two_that_agree(self, meter: Meter, telegram: Telegram) -> None:
        data = telegram("nl-dsmr22.telegram")
        for _ in range(3):
            meter.send(data)
        assert f"{MKG}/volume" not in meter.values(data.replace(b"00987.654", b"00987.954"))
        assert f"{MKG}/volume" not in meter.values(data)
        news = data.replace(b"00987.654", b"00988.000").replace(b"260115110000", b"260115120000")
        assert f"{MKG}/volume" not in meter.values(news)
        assert meter.values(news)[f"{MKG}/volume"] == (988_000, 0)

    def test_a_meter_that_sends_checksums_is_not_believed_without(
        self, meter: Meter, telegram: Telegram
    ) -> None:
        data = telegram("nl-dsmr50.telegram")
        meter.send(data)
        assert meter.send(data[: data.index(b"!") + 1] + b"\r\n") == []

    def test_damage_gives_no_wrong_register(self, meter: Meter, telegram: Telegram) -> None:
        data = telegram("nl-dsmr22.telegram")
        meter.send(data)
        good = meter.values(data) | meter.values(data)
        rng = random.Random(22)
        for _ in range(300):
            damaged = bytearray(data)
            damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(7)
            for key, value in meter.values(bytes(damaged)).items():
                if "import" in key or "export" in key or "volume" in key:
                    if key.startswith(MKT) and "power" not in key:
                        # A last digit may change within what the fuse allows; nothing more.
                        assert abs(value[0] - good[key][0]) <= 500, (key, bytes(damaged))
                    elif "power" not in key:
                        assert value == good[key]
            meter.send(data)
