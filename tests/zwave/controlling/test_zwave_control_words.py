"""What a person may write for each kind of device, what is sent for it, and what is told of the rest."""

from __future__ import annotations

from typing import Any

import pytest

from meterkast.model.errors import RefusedError

LOCK, BLIND, SHUTTER, BASIC, MODE, GATE, PLUG, DIMMER = range(11, 19)
HEAT, MIST, DRY, AIR, MIXED, NUMBERED, OLD_LOCK = range(31, 38)


@pytest.fixture
async def home(cupboard: Any, kinds: Any) -> Any:
    """One of each kind, all awake."""
    value, of = kinds.value, kinds.of
    modes = {"0": "Off", "1": "Heat", "x": "Party"}
    doors = {"0": "Closed", "255": "Open"}

    def humidity(node: int, **metadata: Any) -> Any:
        told = {"writeable": True, "ccSpecific": {"setpointType": 1}, "unit": "%", **metadata}
        return of(node, value(100, "setpoint", 1, 50, **told))

    await cupboard.connect(
        of(
            LOCK,
            value(98, "currentMode", value=0),
            value(98, "targetMode", value=0, writeable=True, states={"0": "Unsecured", "255": "Secured"}),
        ),
        of(
            BLIND,
            value(38, "currentValue", value=0),
            value(38, "targetValue", value=0, writeable=True, min=0, max=99),
            value(38, "Open", type="boolean", readable=False, writeable=True),
        ),
        of(
            SHUTTER,
            value(106, "currentValue", 3, 0, label="Current value - Outbound Left"),
            value(106, "targetValue", 3, 0, writeable=True, min=0, max=99),
        ),
        kinds.levels(BASIC, 32, min=0, max=255),
        of(MODE, value(64, "mode", value=0, writeable=True, states=modes)),
        of(
            GATE,
            value(102, "currentState", value=0, states=doors),
            value(102, "targetState", value=0, writeable=True, states=doors),
        ),
        of(
            OLD_LOCK,
            value(118, "locked", value=False, type="boolean", writeable=True),
            value(118, "turns", value=3),
        ),
        kinds.plug(PLUG),
        kinds.levels(DIMMER, 38, min=0, max=99),
        of(HEAT, kinds.setpoint(18)),
        humidity(MIST, min=30),
        humidity(DRY, max=60),
        humidity(AIR),
        humidity(MIXED, min=30, max=60),
        of(NUMBERED, value(64, "mode", value=0, writeable=True, min=0, max=255)),
    )
    return cupboard


SENT = [
    (LOCK, "lock", " Locked ", 255),
    (LOCK, "lock", "unlock", 0),
    (LOCK, "lock", "255", 255),
    (OLD_LOCK, "lock", "lock", True),
    (BLIND, "dimmer", "open", 99),
    (BLIND, "dimmer", "closed", 0),
    (BLIND, "dimmer", "on", 99),
    (BLIND, "dimmer", "100", 99),
    (SHUTTER, "window_3", "close", 0),
    (SHUTTER, "window_3", "40", 40),
    (BASIC, "basic", "on", 255),
    (BASIC, "basic", "no", 0),
    (BASIC, "basic", "99", 99),
    (MODE, "mode", "HEAT", 1),
    (MODE, "mode", "0", 0),
    (GATE, "barrier", "open", 255),
    (PLUG, "switch", "1", True),
    (PLUG, "switch", "0", False),
    (PLUG, "switch", "Yes", True),
    (DIMMER, "dimmer", "true", 99),
    (HEAT, "setpoint_heating", "20,5", 20.5),
    (HEAT, "setpoint_heating", "+4", 4),
    (MIST, "humidity_setpoint_humidifier", "45", 45),
    (AIR, "humidity_setpoint_humidifier", "-1", -1),
]

REFUSED = [
    (LOCK, "lock", "on", "no value", "It takes lock or unlock."),
    (LOCK, "lock", "254", "not in its range", "It takes lock or unlock."),
    (BLIND, "dimmer", "ajar", "no value", "It takes 0 to 99 %."),
    (DIMMER, "dimmer", "open", "no value", "It takes 0 to 99 %."),
    (DIMMER, "dimmer", "-1", "-1 % is not in its range", "It takes 0 to 99 %."),
    (BASIC, "basic", "100", "100 % is not in its range", "It takes 0 to 99, on or off."),
    (BASIC, "basic", "256", "not in its range", "It takes 0 to 99, on or off."),
    (MODE, "mode", "7", "7 is not in its range", "It takes one of: Off, Heat, Party."),
    (MODE, "mode", "party", "no value", "It takes one of: Off, Heat, Party."),
    (GATE, "barrier", "101", "101 is not in its range", "It takes one of: Closed, Open."),
    (PLUG, "switch", "2", "not in its range", "It takes on or off."),
    (PLUG, "switch", "unlock", "no value", "It takes on or off."),
    (HEAT, "setpoint_heating", "3.9", "3.9 °C is not in its range", "It takes 4 to 28 °C."),
    (HEAT, "setpoint_heating", "", "no value", "It takes 4 to 28 °C."),
    (HEAT, "setpoint_heating", "NaN", "no value", "It takes 4 to 28 °C."),
    (HEAT, "setpoint_heating", "٢١", "no value", "It takes 4 to 28 °C."),
    (MIST, "humidity_setpoint_humidifier", "29", "29 % is not in its range", "It takes at least 30 %."),
    (DRY, "humidity_setpoint_humidifier", "61", "61 % is not in its range", "It takes at most 60 %."),
    (MIXED, "humidity_setpoint_humidifier", "dry", "no value", "It takes 30 to 60 %."),
    (AIR, "humidity_setpoint_humidifier", "dry", "no value", "It takes a number in %."),
    # Each of these is a number of a thousand million digits.
    (AIR, "humidity_setpoint_humidifier", "1e999999999", "no value", "It takes a number in %."),
    (HEAT, "setpoint_heating", "1e-999999999", "no value", "It takes 4 to 28 °C."),
    (NUMBERED, "mode", "300", "300 is not in its range", "It takes 0 to 255."),
    (NUMBERED, "mode", "heat", "no value", "It takes a number."),
]


async def test_what_is_sent(home: Any) -> None:
    for node, key, text, raw in SENT:
        done = await home.write(node, key, text)
        told = home.server.sent.pop()
        assert (done.status, told[0], told[2]) == ("done", node, raw), (key, text)
        assert type(told[2]) is type(raw), (key, text)
        assert home.server.sent == []


async def test_what_is_refused(home: Any) -> None:
    for node, key, text, why, hint in REFUSED:
        with pytest.raises(RefusedError, match=why) as caught:
            await home.write(node, key, text)
        assert caught.value.hint == hint, (key, text)
    assert home.server.sent == []
    assert await home.stored() == []


async def test_what_a_lock_tells_besides_can_only_be_read(home: Any) -> None:
    with pytest.raises(RefusedError, match="can only be read"):
        await home.write(OLD_LOCK, "cc118_turns", "4")


async def test_property_that_only_tells_cannot_be_written(cupboard: Any, kinds: Any) -> None:
    """A switch of which the server shows no value to write to."""
    switch = kinds.value(37, "currentValue", value=False, type="boolean")
    await cupboard.connect(kinds.of(PLUG, switch))
    with pytest.raises(RefusedError, match="can only be read"):
        await cupboard.write(PLUG, "switch", "on")
