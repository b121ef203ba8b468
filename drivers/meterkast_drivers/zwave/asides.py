"""Command classes whose values are no property of the device, each with the reason."""

from __future__ import annotations

_SETTING = "configuration of the device"
_INFORMATION = "information about the device"
_NETWORK = "how the network reaches the device"
_SCENE = "scenes are events of a button, not values"
_SECRET = "codes of people are not kept"
_CLOCK = "the device's clock and schedules"

ASIDES: dict[int, str] = {
    43: _SCENE,
    44: _SCENE,
    45: _SCENE,
    51: "colours are not kept; the lamp's level is",
    53: "counted pulses without a meaning; meters report through Meter",
    70: _CLOCK,
    71: _CLOCK,
    76: _SECRET,
    78: _CLOCK,
    80: "orders without a state",
    83: _CLOCK,
    85: _NETWORK,
    86: _NETWORK,
    87: _INFORMATION,
    89: _NETWORK,
    91: _SCENE,
    92: _INFORMATION,
    94: _INFORMATION,
    95: _NETWORK,
    96: _NETWORK,
    99: _SECRET,
    108: _NETWORK,
    111: _SECRET,
    112: "configuration parameter",
    114: _INFORMATION,
    115: _NETWORK,
    116: _NETWORK,
    117: _SETTING,
    119: _INFORMATION,
    120: _SECRET,
    121: "sounds of a siren are played, not measured",
    122: _INFORMATION,
    129: _CLOCK,
    131: _SECRET,
    132: "used for the device's availability",
    133: _NETWORK,
    134: _INFORMATION,
    135: "a lamp on the device that helps to find it",
    137: _SETTING,
    138: _CLOCK,
    139: _CLOCK,
    142: _NETWORK,
    152: _NETWORK,
    159: _NETWORK,
}
"""Command class → why its values are not kept. A class that is in no table is kept as generic sensors."""
