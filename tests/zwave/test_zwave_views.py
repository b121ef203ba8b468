"""What is shown of devices and their values, from made-up nodes."""

from __future__ import annotations

from typing import Any

import pytest

from meterkast.model.product import NodeStatus
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.reports import Reports
from meterkast_drivers.zwave.settings import Settings

ASLEEP, ALIVE = 1, 4
COUNTS = dict.fromkeys(
    ("commandsTX", "commandsRX", "commandsDroppedTX", "commandsDroppedRX", "timeoutResponse"), 0
)
ROUTE = {"protocolDataRate": 3}


@pytest.fixture
def devices(shelf: Any, still: Any) -> Devices:
    return Devices(Settings(stick="/dev/ttyACM0"), shelf, still)


@pytest.mark.parametrize(
    ("told", "status", "words"),
    [
        ({}, NodeStatus.AVAILABLE, ""),
        ({}, NodeStatus.UNSTABLE, "did not answer and is asked again"),
        ({}, NodeStatus.NO_CONNECTION, "It does not answer. Check its power"),
        ({"isListening": False}, NodeStatus.UNSTABLE, "should have woken up by now"),
        ({"isListening": False, "status": ASLEEP}, NodeStatus.NO_CONNECTION, "does not wake up any more"),
        ({"ready": False}, NodeStatus.AVAILABLE, "It is being interviewed."),
        ({"ready": False, "interviewStage": "Failed"}, NodeStatus.AVAILABLE, "Its interview failed"),
        ({"ready": False, "status": ASLEEP}, NodeStatus.AVAILABLE, "wake it up by its button"),
    ],
)
async def test_one_sentence_where_something_is_to_be_said(
    devices: Devices, made: Any, told: dict[str, Any], status: NodeStatus, words: str
) -> None:
    devices.attach(made.link(made.node(5, made.energy(), **told)))
    devices.all()[0].status = status
    detail = devices.views()[0].detail
    assert words in detail
    assert bool(detail) == bool(words)
    devices.detach()


async def test_a_device_that_the_server_does_not_show_is_still_told_of(devices: Devices, made: Any) -> None:
    devices.attach(made.link(made.node(5, made.energy())))
    await devices.refresh(5)
    devices.detach()
    view = devices.views()[0]
    assert "does not show it now" in view.detail
    assert (view.state, view.ready, view.security) == ("unknown", False, "S2_AccessControl")
    assert (view.route, view.rssi_dbm) == (None, None)
    assert devices.value_views(5)
    assert devices.value_views(99) == []


@pytest.mark.parametrize(
    ("told", "route", "rssi_dbm", "round_trip_ms"),
    [
        ({}, None, None, None),
        ({"rssi": -70.4, "rtt": 25.5}, None, -70, 26),
        ({"rssi": 127}, None, None, None),  # RssiError: not available
        ({"rssi": 126, "lwr": {**ROUTE, "repeaters": [7, 9], "rssi": -80}}, (7, 9), -80, None),
        ({"lwr": {**ROUTE, "repeaters": []}}, (), None, None),
    ],
)
async def test_the_newest_transmission(
    devices: Devices,
    made: Any,
    told: dict[str, Any],
    route: tuple[int, ...] | None,
    rssi_dbm: int | None,
    round_trip_ms: int | None,
) -> None:
    devices.attach(
        made.link(made.node(5, made.energy(), statistics={**COUNTS, "commandsDroppedTX": 3, **told}))
    )
    view = devices.views()[0]
    assert (view.route, view.rssi_dbm, view.round_trip_ms) == (route, rssi_dbm, round_trip_ms)
    assert view.commands_dropped == 3
    devices.detach()


def battery(made: Any, level: Any) -> Any:
    return made.value(128, "level", None, level, unit="%", min=0, max=100)


@pytest.mark.parametrize(("level", "percent"), [(80, 80), (None, None), (255, None), ("full", None)])
async def test_a_battery_as_the_server_remembers_it(
    devices: Devices, made: Any, level: Any, percent: int | None
) -> None:
    devices.attach(made.link(made.node(5, battery(made, level))))
    await devices.refresh(5)
    assert devices.views()[0].battery_percent == percent
    devices.detach()
    assert devices.views()[0].battery_percent is None, "nobody remembers it any more"


async def test_values_that_are_not_kept_say_why_under_their_own_name(devices: Devices, made: Any) -> None:
    named = made.value(112, 3, None, 1, label="Blink when it reports")
    devices.attach(made.link(made.node(5, made.energy(), named, made.value(114, "productId"))))
    await devices.refresh(5)
    views = {view.value: view for view in devices.value_views(5)}
    assert next(iter(views)) == "50-0-value-65537", "first those that are kept"
    assert views["112-0-3"].label == "Blink when it reports"
    assert (views["114-0-productId"].label, views["114-0-productId"].command_class) == ("productId", 114)
    assert "configuration" in views["112-0-3"].why
    devices.detach()
    assert {view.label for view in devices.value_views(5)} >= {"3", "productId"}


@pytest.mark.parametrize(
    ("remembered", "decimals"), [(20.25, 2), (20, 0), (None, 0), ("text", 0), ([1], 0), (float("nan"), 0)]
)
async def test_decimals_of_what_the_server_remembers(
    devices: Devices, made: Any, remembered: Any, decimals: int
) -> None:
    devices.attach(made.link(made.node(5, made.temperature(remembered))))
    await devices.refresh(5)
    mapped = devices.all()[0].properties["49-0-Air temperature"]
    assert mapped.property.description.decimals == decimals
    devices.detach()


async def test_the_newest_report_stays_shown_over_a_change_and_a_new_connection(
    devices: Devices, still: Any, made: Any, tools: Any
) -> None:
    reports = Reports(devices, still, lambda *_: None)
    reports.emit = lambda _: None

    def shown() -> tuple[str | None, Any]:
        [view] = [one for one in devices.value_views(5) if one.key == "temperature"]
        return view.newest, view.at_ms

    devices.attach(made.link(made.node(5, made.energy(), made.temperature())))
    await tools.until(lambda: not devices.all()[0].unsettled, "settled")
    assert shown() == (None, None), "what the server remembers is of no known age"
    reports.take(5, made.event(made.temperature(), 21.5))
    told = ("21.5", still.now_ms())
    assert shown() == told
    devices.schedule(5)
    await tools.until(lambda: not devices.all()[0].unsettled, "declared again")
    assert shown() == told
    still.pass_s(60)
    devices.detach()
    assert shown() == told
    devices.attach(made.link(made.node(5, made.energy(), made.temperature())))
    await tools.until(lambda: not devices.all()[0].unsettled, "back")
    assert shown() == told
    devices.detach()
