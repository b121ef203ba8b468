"""Devices that were never interviewed to the end are told, once they had the time for it."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from meterkast.network import NodeView
from meterkast.pipeline.newcomers import PATIENCE_S, Newcomers

HALF = NodeView(node=30, state="alive")
PLUG = NodeView(node=5, product_id=2, name="Plug", state="alive", ready=True)
READING = {"zwave"}


class Devices:
    """A network of which only the devices are asked, and a clock that a test moves."""

    def __init__(self, *devices: NodeView, speed: float = 1.0) -> None:
        self.devices: tuple[NodeView, ...] = devices
        self.at_s = 1000.0
        self.speed = speed
        self.broken = False
        here: Any = self
        self.newcomers = Newcomers({"zwave": here}, here)
        self.newcomers.look(READING)

    def boot_ns(self) -> int:
        return int(self.at_s * self.speed * 1e9)

    def nodes(self) -> tuple[NodeView, ...]:
        if self.broken:
            raise ZeroDivisionError
        return self.devices

    def after(self, seconds: float, reading: set[str] = READING) -> list[str]:
        self.at_s += seconds
        self.newcomers.look(reading)
        return [f"{one.severity}: {one.what} {one.do}" for one in self.newcomers.problems()]


def test_a_device_whose_interview_does_not_end_is_told_with_its_cure() -> None:
    house = Devices(PLUG, HALF)
    assert house.after(PATIENCE_S - 1) == []
    (told,) = house.after(2)
    assert told.startswith("attention: Device 30 of the Z-Wave network was not interviewed to the end")
    assert "`meterkast zwave interview 30`" in told
    assert "`meterkast zwave exclude`" in told
    house.devices = (PLUG, replace(HALF, ready=True, product_id=4))
    assert house.after(1) == []
    house.devices = (PLUG, HALF)
    assert house.after(1) == [], "its time begins anew"


@pytest.mark.parametrize(
    ("node", "words"),
    [
        (replace(HALF, state="asleep"), "It sleeps. Wake it up by its button; or take it out"),
        (replace(HALF, state="dead"), "`meterkast zwave remove 30`"),
        (replace(PLUG, ready=False), 'Device 5, "Plug", was not interviewed'),
        (replace(PLUG, product_id=None, name=""), "Device 5 of the Z-Wave network"),
    ],
)
def test_each_has_what_helps_it(node: NodeView, words: str) -> None:
    (told,) = Devices(node).after(PATIENCE_S + 1)
    assert words in told


def test_a_product_out_of_reach_is_told_as_that_only() -> None:
    gone = replace(PLUG, ready=False, availability="unreachable")
    assert Devices(gone).after(PATIENCE_S + 1) == []


@pytest.mark.parametrize(("speed", "wait_s"), [(1.0, 7200.0), (4.0, 1800.0), (120.0, PATIENCE_S)])
def test_one_that_sleeps_has_two_of_its_intervals(speed: float, wait_s: float) -> None:
    house = Devices(replace(HALF, state="asleep", wake_up_s=3600), speed=speed)
    assert house.after(wait_s - 1) == []
    assert len(house.after(2)) == 1


def test_nothing_is_said_while_the_driver_reads_nothing_and_its_time_goes_on() -> None:
    house = Devices(HALF)
    assert house.after(PATIENCE_S - 1, set()) == []
    assert house.after(2, set()) == []
    assert len(house.after(1)) == 1


def test_a_driver_that_breaks_does_not_break_the_page(caplog: pytest.LogCaptureFixture) -> None:
    house = Devices(HALF)
    house.broken = True
    for _ in range(2):
        (told,) = house.after(PATIENCE_S)
        assert told.startswith("attention: The devices of zwave could not be examined")
    assert [record.message for record in caplog.records] == ["devices not examined"]
    house.broken = False
    (told,) = house.after(1)
    assert told.startswith("attention: Device 30"), "its time went on"
    house.broken = True
    house.after(1)
    assert len(caplog.records) == 2, "it is told again after it had worked"
