"""The demo's Z-Wave network: ten devices with plain names, and where their values and the P1 meter's go."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from decimal import Decimal
from string import Template

from meterkast_rig.compare import Rule
from meterkast_rig.compare_sources import Place, Scale, Wire

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

NETWORK = ",".join(f"{kind}:{node}" for node, (kind, _) in DEVICES.items())

BIN = 7
OUTLETS = {1: ("cooling", "Cooling"), 2: ("servers", "Servers"), 3: ("network", "Network")}
"""Endpoint of the sockets: channel at RESET, and its label."""

METERS = ("demo-heat-pump", "demo-canteen-gas")
"""As registered with the Wattics stand-in, besides those of the P1 meter."""

_DRIVER = Template("""
[drivers.zwave]
stick = "$stick"
folder = "$folder"
""")

UPLINKS = """
[[uplinks.reset.monitors]]
connection_id = "demo-air"
module = "air"
label = "Air in the meeting room"
brand = "Rig"
sku = "Air sensor"
serial = "simulated"
units = { tvoc = "ppb" }

[uplinks.reset.monitors.readings]
pm2p5 = "Meeting room air/pm2p5"
tvoc = "Meeting room air/tvoc"
co2 = "Meeting room air/co2"
temp = "Meeting room air/temperature"
rh = "Meeting room air/humidity"
pm10 = "Meeting room air/pm10"

[[uplinks.reset.monitors]]
connection_id = "demo-water"
module = "water"
label = "Water to the kitchen"
brand = "Rig"
sku = "Water meter"
serial = "simulated"

[[uplinks.reset.monitors.channels]]
id = "kitchen"
label = "Kitchen"
readings = { water_flow = "Kitchen water/volume", water_temp = "Kitchen water/water_temperature" }

[[uplinks.reset.monitors]]
connection_id = "demo-bin"
module = "circularity"
label = "Waste paper"
brand = "Rig"
sku = "Scale"
serial = "simulated"
emptyings = true

[[uplinks.reset.monitors.channels]]
id = "paper"
label = "Paper"
readings = { bin_weight = "Paper bin/weight" }

[[uplinks.wattics.meters]]
id = "demo-heat-pump"
kind = "electricity"
meter = "Heat pump"
readings = { v_1 = "Heat pump/voltage", c_1 = "Heat pump/current" }
interval_min = 30

[[uplinks.wattics.meters]]
id = "demo-canteen-gas"
kind = "value"
value = "Canteen gas/volume"
unit = "m3"
interval_min = 30

[[uplinks.reset.monitors]]
connection_id = "demo-sockets"
module = "energy"
label = "Sockets in the server room"
brand = "Rig"
sku = "Power strip"
serial = "simulated"
""" + "".join(
    f"""
[[uplinks.reset.monitors.channels]]
id = "{channel}"
label = "{label}"
readings = {{ power_consumption = "Server room sockets/import_total_{endpoint}" }}
"""
    for endpoint, (channel, label) in OUTLETS.items()
)
"""Goes after `demo_uplinks.UPLINKS`."""


def driver(stick: str, folder: str, names: Mapping[int, str], *, report_s: int) -> str:
    """`[drivers.zwave]` with the devices' names."""
    nodes = [f'[drivers.zwave.nodes.{node}]\nname = "{name}"\n' for node, name in names.items()]
    return _DRIVER.substitute(stick=stick, folder=folder) + f"report_s = {report_s}\n\n" + "\n".join(nodes)


ONE, THOUSAND, THOUSANDTH = Scale(Decimal(1)), Scale(Decimal(1000)), Scale(Decimal("0.001"))
FAHRENHEIT = Scale(Decimal(5) / Decimal(9), zero=Decimal(32))
DEGREES = {0: ONE, 1: FAHRENHEIT}
METER_CLASS, SENSOR_CLASS = 50, 49
_ELECTRIC, _GAS, _WATER = 1, 2, 3


def meter_type(kind: int, scale: int) -> int:
    """A consumed value of a meter as `Stick.shown` names it."""
    return kind << 16 | scale << 8 | 1


def p1_wires() -> Iterator[Wire]:
    """What `demo_uplinks.UPLINKS` sends of registers."""
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
    """What `UPLINKS` sends."""
    for endpoint, (channel, _) in OUTLETS.items():
        place = Place("RESET", "demo-sockets", "power_consumption", channel)
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
    return Wire(
        place=place,
        product=product or DEVICES[node][1],
        key=key,
        rule=rule,
        node=node,
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
    scales: Mapping[int, Scale] | None = None,
    *,
    product: str = "",
    rule: Rule = Rule.MEAN,
) -> Wire:
    """A value of Multilevel Sensor; `number` is its type, the scales are by their numbers."""
    return Wire(
        place=place,
        product=product or DEVICES[node][1],
        key=key,
        rule=rule,
        node=node,
        command_class=SENSOR_CLASS,
        type=number,
        scales=scales or {0: ONE},
    )
