"""The simulated site: what its meters show at any instant, and what of it was handed to the gateway.

Eight channels: four registers of the electricity meter, gas (captured each hour) and water (every 5 minutes)
on its M-Bus, and by radio the energy of a plug and the temperature of a room. All of it follows from the seed
and the instant.
"""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field

from meterkast.model.time import MINUTE_MS, Grid, UtcMs, zone
from meterkast_drivers.p1.crc import fastest_arc
from meterkast_rig.p1_household import QUARTER_S, Totals, household, mix
from meterkast_rig.p1_telegram import stamp
from meterkast_rig.virtual.weather import Break, Swap, Weather

ZONE_NAME = "Europe/Amsterdam"
TELEGRAM_S = 300
"""A telegram every five minutes: a year has 105,120 of them."""

REPORT_S = {"plug": 300, "room": 600}
CAPTURE_S = {"gas": 3600, "water": 300}

ELECTRICITY = ("import_t1", "import_t2", "export_t1", "export_t2")
REGISTERS = (*ELECTRICITY, "gas", "water", "plug")
CHANNELS = (*REGISTERS, "room")

SOURCE = {
    **dict.fromkeys(ELECTRICITY, "electricity"),
    **{one: one for one in ("gas", "water", "plug", "room")},
}
"""What a channel's readings come with: one telegram has all four registers."""

_PLACE = {"import_t1": 0, "import_t2": 1, "export_t1": 2, "export_t2": 3, "gas": 4, "water": 5}
TOTALS = {"import_total": ("import_t1", "import_t2"), "export_total": ("export_t1", "export_t2")}
KEY = {"gas": "volume", "water": "volume", "plug": "energy", "room": "temperature"}
"""A channel's key at its product, where it has another name there."""

_OUTLIER_WH = 70_000_000

SIZE = {**dict.fromkeys(ELECTRICITY, 10**9), "gas": 10**8, "water": 10**8, "plug": 10**9}
"""Where a register begins again at 0: it shows so many digits."""


class Meters:
    """What every register shows at every instant."""

    def __init__(self, seed: int, weather: Weather) -> None:
        self.seed = seed
        self._weather = weather
        self._home = household(seed)
        self._plug_home = household(seed + 1)
        self._crc = fastest_arc()  # the rig's own takes half a minute of a year

    def value(self, channel: str, at_ms: int) -> int:
        """What the meter in use shows: Wh, L, or tenths of °C."""
        if channel == "room":
            return 170 + mix(self.seed, at_ms // (REPORT_S["room"] * 1000)) % 60
        return self._shows(channel, at_ms, self.counted(channel, at_ms))

    def _shows(self, channel: str, at_ms: int, counted: int) -> int:
        size = SIZE.get(channel, 1 << 62)
        broke = self.broke(channel, at_ms)
        if broke is not None:
            return (broke.base + counted - self.counted(channel, broke.at_ms)) % size
        if (rolls_ms := self._weather.rollovers.get(channel)) is not None:
            return (counted - self.counted(channel, rolls_ms)) % size
        return counted % size

    def broke(self, channel: str, at_ms: int) -> Break | None:
        """The newest break of a register before an instant."""
        broken = [one for one in self._weather.breaks.get(channel, ()) if one.at_ms <= at_ms]
        return broken[-1] if broken else None

    def old_face(self, channel: str, at_ms: UtcMs) -> int:
        """What a meter showed that is taken down at that instant."""
        return (
            self.value(channel, at_ms - 1) + self.counted(channel, at_ms) - self.counted(channel, at_ms - 1)
        )

    def generation(self, source: str, at_ms: int) -> int:
        """How many meters were there before."""
        return sum(1 for one in self._weather.swaps if one.source == source and one.at_ms <= at_ms)

    def telegram(self, at_ms: UtcMs, *, outlier: bool) -> bytes:
        """The P1 telegram of an instant, DSMR 4.2, as short as one may be."""
        second = at_ms // 1000
        moment = self._home.at(second)
        registers = [self._shows(one, at_ms, _shown(one, moment.totals)) for one in ELECTRICITY]
        if outlier:
            registers[0] += _OUTLIER_WH
        names = ("1.8.1", "1.8.2", "2.8.1", "2.8.2")
        lines = [
            "/MTK5\\2SIMULATED-42",
            "",
            "1-3:0.2.8(42)",
            f"0-0:1.0.0({stamp(second)})",
            f"0-0:96.1.1({self._identifier('electricity', at_ms)})",
            *(
                f"1-0:{name}({wh // 1000:06d}.{wh % 1000:03d}*kWh)"
                for name, wh in zip(names, registers, strict=True)
            ),
            f"0-0:96.14.0({1 if moment.low else 2:04d})",
            f"1-0:1.7.0({max(0, moment.net_w) / 1000:06.3f}*kW)",
            f"1-0:2.7.0({max(0, -moment.net_w) / 1000:06.3f}*kW)",
            *self._mbus(1, "003", "gas", at_ms),
            *self._mbus(2, "007", "water", at_ms),
            "!",
        ]
        text = "\r\n".join(lines).encode()
        return b"%b%04X\r\n" % (text, self._crc(text))

    def _mbus(self, number: int, kind: str, channel: str, at_ms: int) -> list[str]:
        captured_ms = captured(channel, at_ms)
        volume = self.value(channel, captured_ms)
        return [
            f"0-{number}:24.1.0({kind})",
            f"0-{number}:96.1.0({self._identifier(channel, at_ms)})",
            f"0-{number}:24.2.1({stamp(captured_ms // 1000)})({volume // 1000:05d}.{volume % 1000:03d}*m3)",
        ]

    def counted(self, channel: str, at_ms: int) -> int:
        """The running total behind a register, whatever became of its display."""
        home = self._plug_home if channel == "plug" else self._home
        return _shown(channel, home.at(at_ms // 1000).totals)

    def _identifier(self, source: str, at_ms: int) -> str:
        serial = self.serial(source, self.generation(source, at_ms))
        return serial.encode().hex().upper()

    def serial(self, source: str, generation: int) -> str:
        """What is written on a meter of the P1 port."""
        return f"{source[0].upper()}{generation:04d}{self.seed % 10**10:010d}25"


def _shown(channel: str, totals: Totals) -> int:
    if channel == "plug":
        return (totals.import_low + totals.import_high) // 3600
    return totals[_PLACE[channel]] // (QUARTER_S if channel in CAPTURE_S else 3600)


def captured(channel: str, at_ms: int) -> UtcMs:
    """When the value was captured that a telegram of that instant shows."""
    step_ms = CAPTURE_S[channel] * 1000
    return UtcMs(at_ms // step_ms * step_ms)


@dataclass(slots=True)
class Source:
    """The readings of one source, by when they were measured.

    Attributes:
        handed: Handed to the gateway and not yet known to be kept: when.
        kept: The store said that they are durable.
        unsure: The process ended while the store was at them.
        lost: They were in memory when a process ended.
    """

    handed: dict[int, int] = field(default_factory=dict)
    kept: set[int] = field(default_factory=set)
    unsure: set[int] = field(default_factory=set)
    lost: set[int] = field(default_factory=set)


class Record:
    """What was handed to the gateway, what the store promised, and what a dead process took with it.

    Args:
        flush_ms: How long readings may be in memory only.
        weather: Excuses for longer.
    """

    def __init__(self, flush_ms: int, weather: Weather) -> None:
        self.sources: defaultdict[str, Source] = defaultdict(Source)
        self.wrong: list[str] = []
        self._flush_ms = flush_ms
        self._weather = weather

    def handed(self, source: str, at_ms: int, now_ms: int) -> None:
        """A reading went into the gateway."""
        found = self.sources[source]
        if at_ms not in found.kept:
            found.handed.setdefault(at_ms, now_ms)
            found.lost.discard(at_ms)

    def keeping(self, source: str, at_ms: int) -> None:
        """The store was given it."""
        self.sources[source].unsure.add(at_ms)

    def kept(self, source: str, at_ms: int) -> None:
        """The store has said that it is durable."""
        found = self.sources[source]
        found.unsure.discard(at_ms)
        if found.handed.pop(at_ms, None) is None and at_ms not in found.kept:
            self.wrong.append(f"{source} {at_ms}: kept, and never handed in")
        found.kept.add(at_ms)

    def untimed(self, source: str, at_ms: int) -> None:
        """It is durable, and nobody will ever know when it was measured."""
        found = self.sources[source]
        found.unsure.discard(at_ms)
        found.handed.pop(at_ms, None)
        found.lost.add(at_ms)

    def refused(self, source: str, at_ms: int) -> None:
        """The store has said that it is not."""
        self.sources[source].unsure.discard(at_ms)

    def died(self, at_ms: int, unknown_since_ms: int | None) -> None:
        """A process ended: what it had not kept is lost.

        Args:
            unknown_since_ms: Since when its clock was unknown, if it still was.
        """
        for name, source in self.sources.items():
            for measured_ms, handed_ms in source.handed.items():
                held = unknown_since_ms is not None and handed_ms >= unknown_since_ms
                recent = at_ms - handed_ms <= self._flush_ms + MINUTE_MS
                if not (held or recent or self._weather.disk.at(at_ms)):
                    self.wrong.append(f"{name} {measured_ms}: lost at {at_ms}, handed in at {handed_ms}")
                source.lost.add(measured_ms)
            source.handed.clear()


class Site:
    """The meters, the record, and the present."""

    def __init__(self, seed: int, start_ms: UtcMs, flush_ms: int, weather: Weather) -> None:
        self.seed = seed
        self.start_ms = start_ms
        self.weather = weather
        self.meters = Meters(seed, weather)
        self.record = Record(flush_ms, weather)
        self.grid = Grid(zone(ZONE_NAME))
        self._outliers = frozenset(weather.outliers)

    def telegram(self, at_ms: UtcMs, now_ms: int) -> bytes:
        """The telegram of an instant, on its way into the gateway."""
        record = self.record
        record.handed("electricity", at_ms, now_ms)
        for channel in CAPTURE_S:
            captured_ms = captured(channel, at_ms)
            if self.meters.generation(channel, captured_ms) == self.meters.generation(channel, at_ms):
                record.handed(channel, captured_ms, now_ms)
        return self.meters.telegram(at_ms, outlier=at_ms in self._outliers)

    def is_outlier(self, channel: str, at_ms: int) -> bool:
        """Whether a reading of that instant says what the register never was."""
        return channel == "import_t1" and at_ms in self._outliers


def report_ms(device: str, number: int, seed: int) -> UtcMs:
    """When a device of the radio network gives its n-th report since 1970: nearly regular."""
    step_ms = REPORT_S[device] * 1000
    return UtcMs(number * step_ms + mix(seed, number) % 20_000)


def names_of(site: Site, swap: Swap) -> tuple[str, str]:
    """The old and the new meter, as a person calls them."""
    new = site.meters.generation(swap.source, swap.at_ms)
    if swap.source == "plug":
        return f"radio:{10 * new - 8}", f"radio:{10 * new + 2}"
    return site.meters.serial(swap.source, new - 1), site.meters.serial(swap.source, new)
