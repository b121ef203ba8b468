"""A made-up house: what the page is shown of it, on a good day and on a bad one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from zoneinfo import ZoneInfo

import aiohttp
from msgspec.structs import replace

from meterkast.config.sections import Page
from meterkast.model.half_hour import Cause, HalfHour, State
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, Grid, UtcMs, from_datetime
from meterkast.pipeline.health import (
    ClockHealth,
    DriverHealth,
    HalfHourHealth,
    Problem,
    ProductHealth,
    PropertyHealth,
    QuarantinedItem,
    Snapshot,
    StorageHealth,
    StreamHealth,
    UplinkHealth,
)
from meterkast.ports.store import Keep
from meterkast.web.server import Running
from meterkast_buffer.store import SqliteStore

ZONE = ZoneInfo("Europe/Amsterdam")
NOW_MS = from_datetime(datetime(2025, 11, 21, 14, 37, 5, tzinfo=ZONE))
CLOSED_MS = from_datetime(datetime(2025, 11, 21, 14, 30, tzinfo=ZONE))
SERIAL = "E0047000001234517"


@dataclass
class House:
    """What the page shows; tests change it while it is served."""

    snapshot: Snapshot
    store: SqliteStore
    page: Page = field(default_factory=lambda: Page(port=0))
    running: Running | None = None
    client: aiohttp.ClientSession | None = None
    asked: int = 0

    def seen(self) -> Snapshot:
        self.asked += 1
        return self.snapshot

    def change(self, **changes: Any) -> None:
        self.snapshot = replace(self.snapshot, **changes)

    @property
    def url(self) -> str:
        assert self.running is not None
        return self.running.url

    async def keep(self, half_hours: Sequence[HalfHour]) -> None:
        await self.store.keep(Keep(now_ms=NOW_MS, half_hours=half_hours))

    async def get(self, path: str, **options: Any) -> tuple[int, str]:
        assert self.client is not None
        async with self.client.get(self.url.rstrip("/") + path, **options) as answer:
            return answer.status, await answer.text()


def entry(
    number: int, key: str, name: str, datatype: int, value: str | None, unit: str, **more: Any
) -> PropertyHealth:
    kind = more.pop("kind", "register" if datatype in (39, 50, 51, 52) else "momentary")
    last = HalfHourHealth(end_ms=CLOSED_MS, value=value, state="measured", cause=None) if value else None
    fields: dict[str, Any] = {
        "datatype_name": key,
        "reference": "1-0:1.8.1",
        "at_ms": UtcMs(NOW_MS - 3000),
        "age_s": 3.2,
        "fresh": True,
        "last_half_hour": last,
    }
    return PropertyHealth(
        id=number,
        key=key,
        name=name,
        datatype=datatype,
        kind=kind,
        value=value,
        unit=unit,
        **{**fields, **more},
    )


def whole() -> Snapshot:
    electricity = ProductHealth(
        id=1,
        name="Electricity meter",
        medium="electricity",
        serial=SERIAL,
        fresh=True,
        properties=(
            entry(1, "import_t1", "Import, tariff 1", 39, "4821.337", "kWh"),
            entry(2, "import_t2", "Import, tariff 2", 39, "6120.004", "kWh"),
            entry(3, "import_total", "Import", 39, "10941.341", "kWh"),
            entry(4, "export_total", "Export", 50, "0.000", "kWh"),
            entry(5, "power_import", "Power taken", 18, "412", "Watt"),
            entry(6, "voltage_l1", "Voltage L1", 88, "234.7", "V"),
            entry(7, "voltage_l2", "Voltage L2", 88, "235.1", "V"),
            entry(8, "current_l1", "Current L1", 87, "1.82", "A"),
        ),
    )
    gas = ProductHealth(
        id=2,
        name="Gas meter",
        medium="gas",
        serial="G0039001234567819",
        fresh=True,
        properties=(entry(9, "volume", "Volume", 51, "2177.114", "m3", age_s=311.0),),
    )
    reset = UplinkHealth(
        name="reset",
        state="idle",
        detail="",
        hint="",
        backlog=0,
        oldest_pending_ms=None,
        last_acknowledged_ms=UtcMs(CLOSED_MS + 131_000),
        last_receipt="code 10200 for message 6f1c",
        delivered=29,
        failures=0,
        retry_at_ms=None,
        streams=(
            StreamHealth(
                name="E-main",
                bound=True,
                waiting_for=(),
                pending=0,
                quarantined=0,
                composed_ms=CLOSED_MS,
                delivered_ms=CLOSED_MS,
                problem="",
            ),
        ),
        quarantined=(),
    )
    return Snapshot(
        version="0.1.0",
        site="Stationsweg 12",
        device_id="mk-2f81",
        started_ms=UtcMs(NOW_MS - 20 * 3_600_000),
        verdict="ok",
        sentence="All is well: every meter is read and every half-hour is acknowledged.",
        problems=(),
        clock=ClockHealth(
            trust="trusted",
            now_ms=NOW_MS,
            local="2025-11-21T14:37:05+01:00",
            zone="Europe/Amsterdam",
            speed=1.0,
        ),
        drivers=(
            DriverHealth(
                name="p1 main",
                state="reading",
                detail="DSMR 5 at 115200 8N1.",
                hint="",
                counters={"good": 72_004, "wrong checksum": 3},
                restarts=0,
            ),
        ),
        products=(electricity, gas),
        uplinks=(reset,),
        storage=StorageHealth(
            path="meterkast.db",
            file_bytes=48_200_000,
            free_bytes=11_400_000_000,
            writes=1204,
            failures=0,
            problem="",
        ),
        held=0,
        refused={},
    )


def in_trouble() -> Snapshot:
    """The same house on a bad day: gas silent, one platform misconfigured, one item refused."""
    fine = whole()
    electricity, gas = fine.products
    volume = replace(
        gas.properties[0],
        fresh=False,
        age_s=5400.0,
        last_half_hour=HalfHourHealth(end_ms=CLOSED_MS, value=None, state="missing", cause="meter silent"),
    )
    late = replace(
        electricity.properties[3],
        value=None,
        age_s=None,
        at_ms=None,
        fresh=False,
        last_half_hour=HalfHourHealth(end_ms=CLOSED_MS, value=None, state="missing", cause="link lost"),
    )
    reset = replace(
        fine.uplinks[0],
        state="waiting",
        detail="The platform answered 503 Service Unavailable.",
        hint="Nothing to do: it is tried again.",
        backlog=4,
        oldest_pending_ms=UtcMs(CLOSED_MS - 3 * HALF_HOUR_MS),
        retry_at_ms=UtcMs(NOW_MS + 90_000),
        failures=3,
        streams=(
            replace(
                fine.uplinks[0].streams[0],
                pending=4,
                quarantined=1,
                delivered_ms=UtcMs(CLOSED_MS - 4 * HALF_HOUR_MS),
            ),
        ),
        quarantined=(
            QuarantinedItem(
                id=17,
                stream="E-main",
                at_ms=UtcMs(CLOSED_MS - 8 * HALF_HOUR_MS),
                words='{"code":10401,"message":"<b>value</b> below the previous register"}',
            ),
        ),
    )
    wattics = replace(
        reset,
        name="wattics",
        state="paused",
        detail="401 Unauthorized: the password is not accepted.",
        hint="Correct uplinks.wattics.password_file, then restart.",
        last_acknowledged_ms=None,
        last_receipt="",
        retry_at_ms=None,
        quarantined=(),
        backlog=1488,
        streams=(
            StreamHealth(
                name="gas-boiler-house-with-a-long-name",
                bound=False,
                waiting_for=("G0039009876543210/volume",),
                pending=0,
                quarantined=0,
                composed_ms=None,
                delivered_ms=None,
                problem="",
            ),
        ),
    )
    return replace(
        fine,
        verdict="problem",
        sentence="The gas meter is silent and Wattics refuses the password.",
        problems=(
            Problem(
                severity="problem",
                where="uplink wattics",
                what="Wattics does not accept the password; 1488 items wait.",
                do="Correct uplinks.wattics.password_file, then restart.",
            ),
            Problem(
                severity="attention",
                where="Gas meter",
                what=f"Nothing came from the gas meter behind {SERIAL} for 90 min.",
                do="Check that the gas meter is paired with the electricity meter.",
            ),
        ),
        products=(
            replace(electricity, properties=(*electricity.properties[:3], late, *electricity.properties[4:])),
            replace(gas, fresh=False, properties=(volume,)),
        ),
        uplinks=(reset, wattics),
    )


def a_day(
    property_id: int, register_wh: int, steps: Sequence[int | Cause | None], start: datetime
) -> list[HalfHour]:
    """Half-hours of a register from the one that ends at `start`; a cause is missing, None no row."""
    end = from_datetime(start)
    rows = [
        HalfHour(
            property_id=PropertyId(property_id), end_ms=end, value=Quantity(register_wh, 0), taken_ms=end
        )
    ]
    grid = Grid(start.tzinfo or UTC)
    for step in steps:
        end = grid.next_end(end)
        if isinstance(step, int):
            register_wh += step
            rows.append(
                HalfHour(
                    property_id=PropertyId(property_id),
                    end_ms=end,
                    value=Quantity(register_wh, 0),
                    taken_ms=end,
                )
            )
        elif step is not None:
            rows.append(
                HalfHour(
                    property_id=PropertyId(property_id),
                    end_ms=end,
                    value=None,
                    state=State.MISSING,
                    cause=step,
                )
            )
    return rows
