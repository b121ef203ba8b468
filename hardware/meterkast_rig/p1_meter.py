"""The simulated P1 meter: an instant in, the registers and the telegram out. It opens and keeps nothing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from meterkast.model.time import UtcMs
from meterkast_rig.p1_household import QUARTER_S, Household, Moment, Totals, household, mix
from meterkast_rig.p1_telegram import RENDER, Capture, Demand, Dialect, Failures, Phase, Shown

_HOUR_S = 3600


class _Refs(NamedTuple):
    """What a dialect calls the registers."""

    energy: tuple[
        str, ...
    ]  # import 1, import 2, export 1, export 2; or totals: import, export, reactive both ways
    gas: str | None
    water: str | None


_REFERENCES = {
    Dialect.DSMR5: _Refs(("1-0:1.8.1", "1-0:1.8.2", "1-0:2.8.1", "1-0:2.8.2"), "0-1:24.2.1", "0-2:24.2.1"),
    Dialect.DSMR22: _Refs(("1-0:1.8.1", "1-0:1.8.2", "1-0:2.8.1", "1-0:2.8.2"), "0-1:24.3.0", None),
    Dialect.BE: _Refs(("1-0:1.8.1", "1-0:1.8.2", "1-0:2.8.1", "1-0:2.8.2"), "0-1:24.2.3", "0-2:24.2.1"),
    Dialect.SE: _Refs(("1-0:1.8.0", "1-0:2.8.0", "1-0:3.8.0", "1-0:4.8.0"), None, None),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class SimulatedMeter:
    """A three-phase meter with two tariffs, solar export, and a gas and a water meter on its M-Bus.

    What it shows is a function of these fields and the instant, at any second from 2020 to 2040.

    Attributes:
        seed: Which household, and part of the equipment identifiers.
        dialect: Whose telegram it sends.
        gas_every_s: How often the M-Bus meters are read; None is 5 minutes, in DSMR 2.2 an hour.
        swap_ms: When another electricity meter is hung: new identifier, registers from 0. 0 is never.
        reset_ms: When the electricity registers begin again at 0. 0 is never.
        gas_dead: The gas channel is what a removed meter leaves behind: no identifier, no unit, 1970.
        clock_off_s: By how much the meter's stamps are ahead of the truth.
        mbus_late_s: How long after its capture an M-Bus value first appears in a telegram.
    """

    seed: int = 1
    dialect: Dialect = Dialect.DSMR5
    gas_every_s: int | None = None
    swap_ms: int = 0
    reset_ms: int = 0
    gas_dead: bool = False
    clock_off_s: int = 0
    mbus_late_s: int = 0

    def __post_init__(self) -> None:
        household(self.seed)  # takes a moment: rather now than at the first telegram

    def telegram(self, at_ms: UtcMs) -> bytes:
        """The telegram of that instant, complete.

        Raises:
            ValueError: Before 2020 or after 2040.
        """
        return RENDER[self.dialect](self._shown(at_ms))

    def registers(self, at_ms: UtcMs) -> Mapping[str, int]:
        """What the registers in the telegram of that instant say: OBIS reference → Wh, varh or dm3.

        Gas and water are the values of the latest capture. A dead gas channel has no register.

        Raises:
            ValueError: Before 2020 or after 2040.
        """
        return self._registers(at_ms, household(self.seed).at(at_ms // 1000).totals)

    def captured_ms(self, at_ms: UtcMs) -> UtcMs:
        """When the M-Bus values in the telegram of that instant were captured (true time)."""
        step = self.gas_every_s or (_HOUR_S if self.dialect is Dialect.DSMR22 else 300)
        return UtcMs((at_ms // 1000 - self.mbus_late_s) // step * step * 1000)

    def equipment_id(self, at_ms: UtcMs) -> str:
        """The electricity meter's identifier at that instant; it changes with a swap."""
        return self._id("E", 26 if self.swap_ms and at_ms >= self.swap_ms else 25)

    @property
    def gas_id(self) -> str:
        return self._id("G", 25)

    @property
    def water_id(self) -> str:
        return self._id("W", 25)

    def _id(self, kind: str, year: int) -> str:
        # As Dutch meters are numbered: kind, type (0000 is nobody's), serial number, year.
        return f"{kind}0000{self.seed % 10**10:010d}{year:02d}"

    def _registers(self, at_ms: UtcMs, now: Totals) -> dict[str, int]:
        references = _REFERENCES[self.dialect]
        energy = self._energy_wh(at_ms, now)
        registers = dict(zip(references.energy, energy, strict=True))
        captured = household(self.seed).at(self.captured_ms(at_ms) // 1000).totals
        if references.gas is not None and not self.gas_dead:
            registers[references.gas] = captured.gas // QUARTER_S
        if references.water is not None:
            registers[references.water] = captured.water // QUARTER_S
        return registers

    def _energy_wh(self, at_ms: UtcMs, now: Totals) -> tuple[int, int, int, int]:
        start = max(event for event in (0, self.swap_ms, self.reset_ms) if event <= at_ms)
        zero = household(self.seed).at(start // 1000).totals if start else Totals(0, 0, 0, 0, 0, 0)
        low_in, high_in, low_out, high_out = (
            (now[place] - zero[place]) // 3600 for place in range(4)
        )  # fmt: skip
        if self.dialect is Dialect.BE:  # in Belgium tariff 1 is the day
            return high_in, low_in, high_out, low_out
        if self.dialect is Dialect.SE:
            total_in = (now.import_low + now.import_high - zero.import_low - zero.import_high) // 3600
            total_out = (now.export_low + now.export_high - zero.export_low - zero.export_high) // 3600
            return total_in, total_out, total_in // 16, total_in // 9
        return low_in, high_in, low_out, high_out

    def _shown(self, at_ms: UtcMs) -> Shown:
        second = at_ms // 1000
        home = household(self.seed)
        moment = home.at(second)
        registers = self._registers(at_ms, moment.totals)
        references = _REFERENCES[self.dialect]
        stamp_s = self.captured_ms(at_ms) // 1000 + self.clock_off_s
        return Shown(
            stamp_s=second + self.clock_off_s,
            equipment_id=self.equipment_id(at_ms),
            serial=self.seed,
            energy_wh=tuple(registers[reference] for reference in references.energy),
            tariff=1 if moment.low is not (self.dialect is Dialect.BE) else 2,
            net_w=moment.net_w,
            phases=self._phases(second, moment),
            failures=self._failures(second, home),
            gas=self._capture(registers, references.gas, self.gas_id, stamp_s),
            water=self._capture(registers, references.water, self.water_id, stamp_s),
            demand=self._demand(second, home, moment) if self.dialect is Dialect.BE else None,
        )

    def _phases(self, second: int, moment: Moment) -> tuple[Phase, ...]:
        phases = []
        for number, power in enumerate(moment.phases_w):
            flicker = mix(self.seed, second // 10 * 3 + number) % 21 - 10
            # A fifth of a decivolt per 10 W: import pulls the voltage down, export lifts it.
            decivolt = 2320 + flicker - power // 50
            phases.append(Phase(power_w=power, decivolt=decivolt, milliamp=abs(power) * 10_000 // decivolt))
        return tuple(phases)

    def _failures(self, second: int, home: Household) -> Failures:
        # A long failure about every 13 months and a short one twice a year.
        day = home.day_of(second)
        shift = mix(self.seed, 800) % 397
        fell = range(397 - shift, day, 397)
        log = [
            (
                home.midnight_s(number) + mix(self.seed, number) % 80_000,
                200 + mix(self.seed, number + 1) % 5000,
            )
            for number in fell
        ]
        return Failures(
            short=4 + (day + shift) // 182,
            long=2 + len(log),
            log=tuple((ended + self.clock_off_s, lasted_s) for ended, lasted_s in log[-3:]),
            sags=tuple(1 + (day + shift) // (91 + 20 * phase) for phase in range(3)),
        )

    def _capture(
        self, registers: Mapping[str, int], reference: str | None, name: str, stamp_s: int
    ) -> Capture | None:
        if reference is None:
            return None
        if reference not in registers:
            return Capture(equipment_id="", stamp_s=0, volume_dm3=None)
        return Capture(equipment_id=name, stamp_s=stamp_s, volume_dm3=registers[reference])

    def _demand(self, second: int, home: Household, moment: Moment) -> Demand:
        peak = home.month_peak(second)
        off = self.clock_off_s
        return Demand(
            running_w=moment.demand_w,
            peak=(peak.end_s + off, peak.power_w),
            months=tuple(
                (ended + off, past.end_s + off, past.power_w) for ended, past in home.past_months(second, 12)
            ),
        )
