"""Telegrams as the simulated meter writes them, one function per dialect, and their checksum.

Sources: DSMR P1 companion standard 2.2+ and 5.0.2, e-MUCS P1 1.7.1 (Belgium), Swedish branch requirement
for the customer interface 2.0. The checksum is the rig's own on purpose: the driver must not be tested with
its own arithmetic.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from enum import StrEnum
from typing import NamedTuple

from meterkast_rig.p1_household import ZONE

_PHASES = (3, 5, 7)  # the tens of value group C: 32.7.0, 52.7.0, 72.7.0 are the voltages of L1, L2, L3
_NORMAL_TIME = timezone(timedelta(hours=1))


class Dialect(StrEnum):
    """Whose telegram."""

    DSMR5 = "dsmr5"  # Netherlands, DSMR 5.0
    DSMR22 = "dsmr22"  # Netherlands, DSMR 2.2: no clock, no checksum
    BE = "be"  # Belgium, e-MUCS: tariffs the other way round, peaks
    SE = "se"  # Sweden: totals only, no identifiers, normal time all year


class Phase(NamedTuple):
    power_w: int  # negative is export
    decivolt: int
    milliamp: int


class Capture(NamedTuple):
    """What an M-Bus channel shows; a volume of None is a channel whose meter is gone."""

    equipment_id: str
    stamp_s: int
    volume_dm3: int | None


class Failures(NamedTuple):
    short: int
    long: int
    log: tuple[tuple[int, int], ...]  # when the power came back, how long it was away in s
    sags: tuple[int, ...]


class Demand(NamedTuple):
    """Belgian capacity tariff: quarter-hour means of import in W."""

    running_w: int
    peak: tuple[int, int]  # when, power
    months: tuple[tuple[int, int, int], ...]  # end of the month, when, power


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """Everything a display could show at one instant; stamps are UTC seconds of the meter's own clock."""

    stamp_s: int
    equipment_id: str
    serial: int
    energy_wh: tuple[int, ...]
    tariff: int
    net_w: int
    phases: tuple[Phase, ...]
    failures: Failures
    gas: Capture | None
    water: Capture | None
    demand: Demand | None


def crc16(text: bytes) -> int:
    """CRC-16/ARC: polynomial 0xA001 (reflected), start 0; of `123456789` it is 0xBB3D."""
    crc = 0
    for byte in text:
        crc = (crc >> 8) ^ _CRC_TABLE[(crc ^ byte) & 0xFF]
    return crc


def checked(text: bytes) -> bytes:
    """The text, which runs from "/" to "!" inclusive, with its checksum and line end."""
    return b"%b%04X\r\n" % (text, crc16(text))


def stamp(second: int) -> str:
    """YYMMDDhhmmss and S (summer) or W (winter), in Dutch and Belgian time."""
    local = datetime.fromtimestamp(second, ZONE)
    return local.strftime("%y%m%d%H%M%S") + ("S" if local.utcoffset() == timedelta(hours=2) else "W")


def dsmr5(shown: Shown) -> bytes:
    return _checked_lines(
        [
            "/MTK5\\2SIMULATED-50",
            "",
            "1-3:0.2.8(50)",
            f"0-0:1.0.0({stamp(shown.stamp_s)})",
            f"0-0:96.1.1({_hex(shown.equipment_id)})",
            *_tariffs(shown.energy_wh, 10),
            f"0-0:96.14.0({shown.tariff:04d})",
            *_powers(shown.net_w),
            *_failures(shown.failures),
            "0-0:96.13.0()",
            *(f"1-0:{c}2.7.0({phase.decivolt / 10:05.1f}*V)" for c, phase in _by_phase(shown)),
            *(f"1-0:{c}1.7.0({phase.milliamp // 1000:03d}*A)" for c, phase in _by_phase(shown)),
            *_phase_powers(shown.phases, 6),
            *_mbus(1, "003", "96.1.0", "24.2.1", shown.gas),
            *_mbus(2, "007", "96.1.0", "24.2.1", shown.water),
        ]
    )


def dsmr22(shown: Shown) -> bytes:
    """Power in steps of 10 W; the gas reading on a second line; nothing says whether it arrived whole."""
    import_w, export_w = max(0, shown.net_w), max(0, -shown.net_w)
    lines = [
        "/KMP5 SIMULATED-22",
        "",
        f"0-0:96.1.1({_hex(shown.equipment_id)})",
        *_tariffs(shown.energy_wh, 9),
        f"0-0:96.14.0({shown.tariff:04d})",
        f"1-0:1.7.0({import_w / 1000:07.2f}*kW)",
        f"1-0:2.7.0({export_w / 1000:07.2f}*kW)",
        "0-0:17.0.0(0999.00*kW)",
        "0-0:96.3.10(1)",
        "0-0:96.13.1()",
        "0-0:96.13.0()",
    ]
    if shown.gas is not None:
        volume = shown.gas.volume_dm3
        local = datetime.fromtimestamp(shown.gas.stamp_s, UTC if volume is None else ZONE)
        lines += [
            "0-1:24.1.0(3)",
            f"0-1:96.1.0({_hex(shown.gas.equipment_id)})",
            f"0-1:24.3.0({local:%y%m%d%H%M%S})(00)(60)(1)(0-1:24.2.1)(m3)",
            f"({0 if volume is None else volume / 1000:09.3f})",
            "0-1:24.4.0(1)",
        ]
    return "\r\n".join([*lines, "!", ""]).encode()


def belgium(shown: Shown) -> bytes:
    return _checked_lines(
        [
            f"/FLU5\\2{shown.serial % 10**8:08d}_A",
            "",
            "0-0:96.1.4(50217)",
            f"0-0:96.1.1({_hex(shown.equipment_id)})",
            f"0-0:1.0.0({stamp(shown.stamp_s)})",
            *_tariffs(shown.energy_wh, 10),
            *(_demand(shown.demand) if shown.demand is not None else ()),
            f"0-0:96.14.0({shown.tariff:04d})",
            *_powers(shown.net_w),
            *_phase_powers(shown.phases, 6),
            *(f"1-0:{c}2.7.0({phase.decivolt / 10:05.1f}*V)" for c, phase in _by_phase(shown)),
            *(f"1-0:{c}1.7.0({phase.milliamp / 1000:06.2f}*A)" for c, phase in _by_phase(shown)),
            "0-0:96.3.10(1)",
            "0-0:17.0.0(999.9*kW)",
            "1-0:31.4.0(999*A)",
            "0-0:96.13.0()",
            *_mbus(1, "003", "96.1.1", "24.2.3", shown.gas),
            *_mbus(2, "007", "96.1.1", "24.2.1", shown.water),
        ]
    )


def sweden(shown: Shown) -> bytes:
    local = datetime.fromtimestamp(shown.stamp_s, _NORMAL_TIME)
    units = ("kWh", "kWh", "kvarh", "kvarh")
    totals = zip((1, 2, 3, 4), shown.energy_wh, units, strict=True)
    import_w, export_w = max(0, shown.net_w), max(0, -shown.net_w)
    reactive = ((3, import_w // 16), (4, import_w // 9 + export_w // 20))
    return _checked_lines(
        [
            f"/ELL5\\2{shown.serial % 10**8:08d}_A",
            "",
            f"0-0:1.0.0({local:%y%m%d%H%M%S}W)",
            *(f"1-0:{c}.8.0({value / 1000:012.3f}*{unit})" for c, value, unit in totals),
            f"1-0:1.7.0({import_w / 1000:08.3f}*kW)",
            f"1-0:2.7.0({export_w / 1000:08.3f}*kW)",
            *(f"1-0:{c}.7.0({value / 1000:08.3f}*kvar)" for c, value in reactive),
            *_phase_powers(shown.phases, 8),
            *(f"1-0:{c}2.7.0({phase.decivolt / 10:05.1f}*V)" for c, phase in _by_phase(shown)),
            *(f"1-0:{c}1.7.0({phase.milliamp / 1000:05.1f}*A)" for c, phase in _by_phase(shown)),
        ]
    )


RENDER: Mapping[Dialect, Callable[[Shown], bytes]] = {
    Dialect.DSMR5: dsmr5,
    Dialect.DSMR22: dsmr22,
    Dialect.BE: belgium,
    Dialect.SE: sweden,
}


def _checked_lines(lines: Iterable[str]) -> bytes:
    return checked("\r\n".join([*lines, "!"]).encode())


def _tariffs(energy_wh: tuple[int, ...], width: int) -> list[str]:
    names = ("1.8.1", "1.8.2", "2.8.1", "2.8.2")
    return [
        f"1-0:{name}({wh // 1000:0{width - 4}d}.{wh % 1000:03d}*kWh)"
        for name, wh in zip(names, energy_wh, strict=True)
    ]


def _powers(net_w: int) -> list[str]:
    return [
        f"1-0:1.7.0({max(0, net_w) / 1000:06.3f}*kW)",
        f"1-0:2.7.0({max(0, -net_w) / 1000:06.3f}*kW)",
    ]


def _by_phase(shown: Shown) -> list[tuple[int, Phase]]:
    return list(zip(_PHASES, shown.phases, strict=True))


def _phase_powers(phases: tuple[Phase, ...], width: int) -> list[str]:
    lines = [
        f"1-0:{c}1.7.0({max(0, phase.power_w) / 1000:0{width}.3f}*kW)"
        for c, phase in zip((2, 4, 6), phases, strict=True)
    ]
    lines += [
        f"1-0:{c}2.7.0({max(0, -phase.power_w) / 1000:0{width}.3f}*kW)"
        for c, phase in zip((2, 4, 6), phases, strict=True)
    ]
    return lines


def _failures(failures: Failures) -> list[str]:
    log = "".join(f"({stamp(ended)})({lasted_s:010d}*s)" for ended, lasted_s in failures.log)
    return [
        f"0-0:96.7.21({failures.short:05d})",
        f"0-0:96.7.9({failures.long:05d})",
        f"1-0:99.97.0({len(failures.log)})(0-0:96.7.19){log}",
        *(f"1-0:{c}2.32.0({sags:05d})" for c, sags in zip(_PHASES, failures.sags, strict=True)),
        *(f"1-0:{c}2.36.0(00000)" for c in _PHASES),
    ]


def _mbus(channel: int, kind: str, identifier: str, reading: str, capture: Capture | None) -> list[str]:
    if capture is None:
        return []
    lines = [f"0-{channel}:24.1.0({kind})", f"0-{channel}:{identifier}({_hex(capture.equipment_id)})"]
    if capture.volume_dm3 is None:
        lines.append(f"0-{channel}:{reading}(700101010000W)(00000000)")
    else:
        volume = f"{capture.volume_dm3 // 1000:05d}.{capture.volume_dm3 % 1000:03d}"
        lines.append(f"0-{channel}:{reading}({stamp(capture.stamp_s)})({volume}*m3)")
    return lines


def _demand(demand: Demand) -> list[str]:
    when, power_w = demand.peak
    months = "".join(
        f"({stamp(ended)})({stamp(peaked)})({peak_w / 1000:06.3f}*kW)"
        for ended, peaked, peak_w in demand.months
    )
    return [
        f"1-0:1.4.0({demand.running_w / 1000:06.3f}*kW)",
        f"1-0:1.6.0({stamp(when)})({power_w / 1000:06.3f}*kW)",
        f"0-0:98.1.0({len(demand.months)})(1-0:1.6.0)(1-0:1.6.0){months}",
    ]


def _hex(text: str) -> str:
    return text.encode().hex().upper()


def _table() -> tuple[int, ...]:
    table = []
    for byte in range(256):
        crc = byte
        for _ in range(8):
            crc = (crc >> 1) ^ (0xA001 if crc & 1 else 0)
        table.append(crc)
    return tuple(table)


_CRC_TABLE = _table()
