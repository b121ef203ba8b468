"""Puts the health snapshot together from all parts, and says what is wrong in plain words."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Literal

from msgspec.structs import replace

from meterkast import __version__
from meterkast.model.epoch import Break
from meterkast.model.product import PropertyId
from meterkast.model.time import DAY_MS, MINUTE_MS, Grid, UtcMs, iso_local
from meterkast.pipeline.closing import Closing
from meterkast.pipeline.delivery import Delivery
from meterkast.pipeline.examine_clock import clock_problems, source_healths
from meterkast.pipeline.examine_meters import MeterExaminer
from meterkast.pipeline.examine_products import ProductExaminer
from meterkast.pipeline.examine_uplinks import UplinkExaminer
from meterkast.pipeline.health import (
    BooksHealth,
    ClockHealth,
    DriverHealth,
    Nightly,
    Problem,
    Snapshot,
    StorageHealth,
    UplinkHealth,
)
from meterkast.pipeline.intake import Intake
from meterkast.pipeline.keeping import Keeper
from meterkast.pipeline.newcomers import Newcomers
from meterkast.pipeline.supervisor import Supervisor
from meterkast.ports.clock import Clock
from meterkast.ports.driver import LinkState
from meterkast.ports.store import StorageStatus, Store

if TYPE_CHECKING:
    # Its classes cost memory, and only a network has them.
    from meterkast.network import Network

LOW_DISK_BYTES = 64 * 1024 * 1024
"""Below this the installer must act: a month of half-hours and outbox still fits."""

_REPLACED = "If the meter was replaced, note the readings of both."
_COMPARE = "Compare it with the meter's display; if the meter was replaced, note both readings."

NEWS_MS = 7 * DAY_MS
"""So long a register that did not go on is told of; it is kept for ever."""

LOOK_S = 60.0
"""Real seconds between two looks."""

SETTLING_MS = 2 * MINUTE_MS
"""After a start, meters and platforms get this long before their silence is called a problem."""


class Examiner:
    """Looks at every part; asked each time somebody looks.

    Args:
        site, zone: For display.
        device_id: This gateway's own id.
        networks: Of the drivers that have one, by the driver's name.
        night: Who checks the books; None where nobody does.
    """

    def __init__(
        self,
        *,
        site: str,
        zone: str,
        device_id: str,
        grid: Grid,
        clock: Clock,
        store: Store,
        intake: Intake,
        closing: Closing,
        keeper: Keeper,
        supervisors: Sequence[Supervisor],
        deliveries: Mapping[str, Delivery],
        networks: Mapping[str, Network],
        night: Nightly | None = None,
    ) -> None:
        self._site = site
        self._zone = zone
        self._device_id = device_id
        self._grid = grid
        self._clock = clock
        self._store = store
        self._intake = intake
        self._closing = closing
        self._keeper = keeper
        self._supervisors = supervisors
        self._uplinks = UplinkExaminer(store=store, closing=closing, keeper=keeper, deliveries=deliveries)
        self._products = ProductExaminer(
            grid=grid, clock=clock, intake=intake, closing=closing, keeper=keeper
        )
        self._meters = MeterExaminer(keeper, grid)
        self._newcomers = Newcomers(networks, clock)
        self._night = night
        self._started_ms = clock.now_ms()
        self._started_ns = clock.boot_ns()

    async def run(self) -> None:
        """Look now and then, so that what lasts too long is known also where nobody asks."""
        while True:
            self._look()
            await asyncio.sleep(LOOK_S)

    def _look(self) -> None:
        reading = {
            one.driver.name
            for one in self._supervisors
            if not one.problem and one.status().state is LinkState.READING
        }
        self._newcomers.look(reading)

    def snapshot(self) -> Snapshot:
        """How everything is now."""
        self._look()
        now_ms = self._clock.now_ms()
        products = self._products.healths(now_ms)
        drivers = tuple(self._driver(supervisor) for supervisor in self._supervisors)
        uplinks = self._uplinks.healths()
        storage = self._store.storage()
        problems = tuple(
            replace(problem, what=_ended(problem.what), do=_ended(problem.do))
            for problem in (
                *clock_problems(
                    self._clock, meters=self._reads_p1(), closed_ms=self._closing.newest_end_ms()
                ),
                *self._driver_problems(drivers, now_ms),
                *self._products.problems(products, settled=self._settled(now_ms), now_ms=now_ms),
                *self._meters.problems(),
                *self._newcomers.problems(),
                *self._uplinks.problems(uplinks, settled=self._settled(now_ms)),
                *self._storage_problems(storage),
                *self._register_problems(now_ms),
                *(self._night.problems() if self._night is not None else ()),
            )
        )
        verdict: Literal["ok", "attention", "problem"] = "ok"
        if problems:
            verdict = "problem" if any(one.severity == "problem" for one in problems) else "attention"
        return Snapshot(
            version=__version__,
            site=self._site,
            device_id=self._device_id,
            started_ms=self._clock.utc_of(self._started_ns),
            verdict=verdict,
            sentence=self._sentence(problems, uplinks),
            problems=problems,
            clock=ClockHealth(
                trust=self._clock.trust.value,
                now_ms=now_ms,
                local=iso_local(now_ms, self._grid.zone),
                zone=self._zone,
                speed=self._clock.speed,
                dispute=self._clock.dispute,
                sources=source_healths(self._clock),
            ),
            drivers=drivers,
            products=products,
            uplinks=uplinks,
            storage=StorageHealth(
                path=storage.path,
                file_bytes=storage.file_bytes,
                free_bytes=storage.free_bytes,
                writes=storage.writes,
                failures=storage.failures,
                problem=storage.problem,
            ),
            held=self._intake.held,
            refused=self._refused(),
            left_s=self._uplinks.left_s(uplinks),
            books=BooksHealth() if self._night is None else self._night.health,
        )

    def _refused(self) -> dict[str, int]:
        refused = dict(self._intake.refused) | dict(self._clock.refused)
        if self._intake.off_stamps:
            refused["meter's clock disagrees: timed by arrival"] = self._intake.off_stamps
        if outliers := self._closing.registers.outliers():
            refused["register's reading does not follow the others"] = outliers
        if self._closing.recent.too_late:
            refused["came hours late: the half-hour stays as it was closed"] = self._closing.recent.too_late
        if self._keeper.unsaved.dropped_blocks:
            refused["samples of a minute dropped: the disk refused for hours"] = (
                self._keeper.unsaved.dropped_blocks
            )
        if self._intake.held_raws.dropped:
            refused["evidence dropped: the clock was unknown for days"] = self._intake.held_raws.dropped
        return refused

    def _driver(self, supervisor: Supervisor) -> DriverHealth:
        status = supervisor.status()
        stopped = supervisor.problem
        return DriverHealth(
            name=supervisor.driver.name,
            state=LinkState.LOST.value if stopped else status.state.value,
            detail=stopped or status.detail,
            hint=supervisor.hint,
            counters=dict(status.counters),
            restarts=supervisor.restarts,
        )

    def _driver_problems(self, drivers: Sequence[DriverHealth], now_ms: UtcMs) -> list[Problem]:
        if not drivers:
            return [
                Problem(
                    severity="problem",
                    where="drivers",
                    what="No meter is configured.",
                    do="Run `meterkast init` with the meter's cable or the Z-Wave stick plugged in.",
                )
            ]
        settled = self._settled(now_ms)
        return [
            Problem(
                severity="problem" if settled else "attention",
                where=driver.name,
                what=driver.detail or f"The driver is {driver.state}.",
                do=driver.hint or f"Check {_plug(driver.name)}; the driver tries again by itself.",
            )
            for driver in drivers
            if driver.state == LinkState.LOST.value or (settled and driver.state != LinkState.READING.value)
        ]

    def _storage_problems(self, storage: StorageStatus) -> list[Problem]:
        problems = [
            Problem(severity="attention", where="storage", what=what, do=do) for what, do in storage.notices
        ]
        if storage.problem:
            waiting = len(self._keeper.unsaved)
            problems.append(
                Problem(
                    severity="problem",
                    where="storage",
                    what=storage.problem,
                    do=(
                        f"{waiting} transactions wait in memory and are tried again each minute."
                        if waiting
                        else ""
                    ),
                )
            )
        elif storage.free_bytes < LOW_DISK_BYTES:
            problems.append(
                Problem(
                    severity="problem",
                    where="storage",
                    what=f"Only {storage.free_bytes // (1024 * 1024)} MiB are free on the disk.",
                    do="Free space on the card, or shorten storage.samples_days.",
                )
            )
        return problems

    def _register_problems(self, now_ms: UtcMs) -> list[Problem]:
        registers = self._closing.registers
        found = [
            (property_id, f"began again at a lower value ({_times(count)} since the start)", _REPLACED)
            for property_id, count in registers.restarts().items()
            if self._is_news(property_id, (Break.RESET, Break.ROLLOVER), now_ms)
        ] + [
            (property_id, f"went on at a much higher value ({_times(count)} since the start)", _COMPARE)
            for property_id, count in registers.jumps().items()
            if self._is_news(property_id, (Break.JUMP,), now_ms)
        ]
        problems = []
        for property_id, what, do in found:
            prop = self._keeper.properties[property_id]
            product = self._keeper.products[prop.product_id].name
            problems.append(
                Problem(
                    severity="attention",
                    where=product,
                    what=f"{product}, {prop.description.name}: the register {what}.",
                    do=do,
                )
            )
        return problems

    def _is_news(self, property_id: PropertyId, kinds: Sequence[Break], now_ms: UtcMs) -> bool:
        """Whether a register that somebody waits for broke like that of late."""
        if self._keeper.meters.retired(self._keeper.properties[property_id].product_id):
            return False
        epochs = self._closing.registers.epochs_of(property_id)
        return any(one.kind in kinds and now_ms - one.at_ms < NEWS_MS for one in epochs)

    def _reads_p1(self) -> bool:
        return any(_kind(one.driver.name) == "p1" for one in self._supervisors)

    def _settled(self, now_ms: UtcMs) -> bool:
        return now_ms - self._clock.utc_of(self._started_ns) > self._clock.allowance_ms(SETTLING_MS)

    def _sentence(self, problems: Sequence[Problem], uplinks: Sequence[UplinkHealth]) -> str:
        if not problems:
            delivered = sum(uplink.delivered for uplink in uplinks)
            return "All is well: the meters are read, half-hours are kept" + (
                ", and the platforms have confirmed them." if delivered else "."
            )
        worst = next((one for one in problems if one.severity == "problem"), problems[0])
        more = f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""
        return f"{worst.what}{more} {worst.do}".strip()


def _kind(driver: str) -> str:
    """`zwave` of `zwave` and of `zwave.cellar`."""
    return driver.partition(".")[0]


def _plug(driver: str) -> str:
    return "the Z-Wave stick and its server" if _kind(driver) == "zwave" else "the cable at both ends"


def _times(count: int) -> str:
    return "once" if count == 1 else f"{count} times"


def _ended(sentence: str) -> str:
    """With a full stop, so that sentences can follow one another."""
    text = sentence.strip()
    return text if not text or text[-1] in ".!?" else f"{text}."
