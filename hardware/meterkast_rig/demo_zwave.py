"""The demo's Z-Wave network: ten devices with plain names, and where their values and the P1 meter's go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from decimal import Decimal

from meterkast_rig.compare import Rule
from meterkast_rig.compare_sources import Place, Scale, Wire
from meterkast_rig.configuration import channel, electricity, monitor, single

DEVICES: Mapping[int, tuple[str, str]] = {
    2: ("meter", "Heat pump"),
    3: ("strip", "Server room sockets"),
    4: ("gas", "Canteen gas"),
    5: ("water", "Kitchen water"),
    6: ("air", "Meeting room air"),
    7: ("scale", "Paper bin"),
    8: ("plug", "Server room plug"),
    9: ("thermostat", "Meeting room thermostat"),
    10: ("contact", "Cupboard door"),
    11: ("lock", "Front door lock"),
}
"""Node number: kind in the rig, and name in the gateway."""

BIN = 7
OUTLETS = {1: ("cooling", "Cooling"), 2: ("servers", "Servers"), 3: ("network", "Network")}
"""Endpoint of the sockets: channel at RESET, and its label."""

MONITORS = (
    monitor(
        "demo-air",
        "air",
        "Air sensor",
        label="Air in the meeting room",
        units={"tvoc": "ppb"},
        readings={
            "pm2p5": "Meeting room air/pm2p5",
            "tvoc": "Meeting room air/tvoc",
            "co2": "Meeting room air/co2",
            "temp": "Meeting room air/temperature",
            "rh": "Meeting room air/humidity",
            "pm10": "Meeting room air/pm10",
        },
    ),
    monitor(
        "demo-water",
        "water",
        "Water meter",
        label="Water to the kitchen",
        channels=[
            channel(
                "kitchen",
                "Kitchen",
                water_flow="Kitchen water/volume",
                water_temp="Kitchen water/water_temperature",
            )
        ],
    ),
    monitor(
        "demo-bin",
        "circularity",
        "Scale",
        label="Waste paper",
        emptyings=True,
        channels=[channel("paper", "Paper", bin_weight="Paper bin/weight")],
    ),
    monitor(
        "demo-sockets",
        "energy",
        "Power strip",
        label="Sockets in the server room",
        channels=[
            channel(name, label, power_consumption=f"Server room sockets/import_total_{endpoint}")
            for endpoint, (name, label) in OUTLETS.items()
        ],
    ),
)
"""At RESET, besides the P1 meter's."""

METERS = (
    electricity(
        "demo-heat-pump",
        meter="Heat pump",
        readings={"v_1": "Heat pump/voltage", "c_1": "Heat pump/current"},
    ),
    single("demo-canteen-gas", "Canteen gas/volume", "m3"),
)
"""At Wattics, besides the P1 meter's."""

ONE, THOUSAND, THOUSANDTH = Scale(Decimal(1)), Scale(Decimal(1000)), Scale(Decimal("0.001"))
FAHRENHEIT = Scale(Decimal(5) / Decimal(9), zero=Decimal(32))
DEGREES = {0: ONE, 1: FAHRENHEIT}
SAME = {0: ONE}
METER_CLASS, SENSOR_CLASS = 50, 49
_ELECTRIC, _GAS, _WATER = 1, 2, 3


def meter_type(kind: int, scale: int) -> int:
    """A consumed value of a meter as `Stick.shown` names it."""
    return kind << 16 | scale << 8 | 1


def p1_wires() -> Iterator[Wire]:
    """What `demo_uplinks` sends of registers."""
    energy = {"import": ("1-0:1.8.1", "1-0:1.8.2"), "export": ("1-0:2.8.1", "1-0:2.8.2")}
    for way, references in energy.items():
        place = Place("RESET", "demo-energy", "power_consumption", way)
        yield _p1(place, "Electricity meter", f"{way}_total", references, THOUSANDTH)
    place = Place("Wattics", "demo-electricity", "pC_1")
    yield _p1(place, "Electricity meter", "import_total", energy["import"], ONE)
    yield _p1(Place("Wattics", "demo-gas", "value"), "Gas meter", "volume", ("0-1:24.2.1",), THOUSANDTH)
    yield _p1(Place("Wattics", "demo-water", "value"), "Water meter", "volume", ("0-2:24.2.1",), ONE)


def _p1(place: Place, product: str, key: str, references: tuple[str, ...], scale: Scale) -> Wire:
    return Wire(
        place=place, product=product, key=key, rule=Rule.REGISTER, scales={0: scale}, references=references
    )


def zwave_wires() -> Iterator[Wire]:
    """What `MONITORS` and `METERS` send."""
    for endpoint, (outlet, _) in OUTLETS.items():
        place = Place("RESET", "demo-sockets", "power_consumption", outlet)
        yield meter(place, 3, f"import_total_{endpoint}", 0, endpoint=endpoint)
    for parameter, key, number, scale_number, scale in (
        ("pm2p5", "pm2p5", 35, 1, ONE),
        ("tvoc", "tvoc", 39, 1, THOUSAND),  # ppm to ppb
        ("co2", "co2", 17, 0, ONE),
        ("rh", "humidity", 5, 0, ONE),
        ("pm10", "pm10", 59, 1, ONE),
    ):
        yield sensor(Place("RESET", "demo-air", parameter), 6, key, number, {scale_number: scale})
    yield sensor(Place("RESET", "demo-air", "temp"), 6, "temperature", 1, DEGREES)
    place = Place("RESET", "demo-water", "water_flow", "kitchen")
    yield meter(place, 5, "volume", 0, kind=_WATER, scale=THOUSAND)  # m³ to L
    yield sensor(Place("RESET", "demo-water", "water_temp", "kitchen"), 5, "water_temperature", 23, DEGREES)
    yield sensor(Place("RESET", "demo-bin", "bin_weight", "paper"), BIN, "weight", 14, rule=Rule.PEAK)
    yield meter(Place("Wattics", "demo-heat-pump", "pC_1"), 2, "import_total", 0, scale=THOUSAND)  # kWh to Wh
    for parameter, key, number in (("aP_1", "power_import", 2), ("v_1", "voltage", 4), ("c_1", "current", 5)):
        yield meter(Place("Wattics", "demo-heat-pump", parameter), 2, key, number, rule=Rule.MEAN)
    yield meter(Place("Wattics", "demo-canteen-gas", "value"), 4, "volume", 0, kind=_GAS)


def meter(
    place: Place,
    node: int,
    key: str,
    number: int,
    *,
    product: str = "",
    endpoint: int = 0,
    kind: int = _ELECTRIC,
    scale: Scale = ONE,
    rule: Rule = Rule.REGISTER,
) -> Wire:
    """A value of Meter; `number` is its scale in the specification."""
    wire = _radio(place, node, key, product, rule)
    return replace(
        wire,
        endpoint=endpoint,
        command_class=METER_CLASS,
        type=meter_type(kind, number),
        scales={number: scale},
    )


def sensor(
    place: Place,
    node: int,
    key: str,
    number: int,
    scales: Mapping[int, Scale] = SAME,
    *,
    product: str = "",
    rule: Rule = Rule.MEAN,
) -> Wire:
    """A value of Multilevel Sensor; `number` is its type, the scales are by their numbers."""
    wire = _radio(place, node, key, product, rule)
    return replace(wire, command_class=SENSOR_CLASS, type=number, scales=scales)


def _radio(place: Place, node: int, key: str, product: str, rule: Rule) -> Wire:
    return Wire(place=place, product=product or DEVICES[node][1], key=key, rule=rule, node=node)
