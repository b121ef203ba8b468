"""The platforms' sections of a configuration for the simulated cupboard, for demo and benchmarks."""

from __future__ import annotations

from string import Template

METERS = ("demo-electricity", "demo-gas", "demo-water")
"""As registered with the Wattics stand-in."""

UPLINKS = Template("""
[uplinks.reset]
url = "$reset_url"
client_id = "demo"
client_secret = "demo"

[[uplinks.reset.monitors]]
connection_id = "demo-energy"
module = "energy"
label = "Main electricity meter"
brand = "Rig"
sku = "P1 DSMR 5"
serial = "simulated"

[[uplinks.reset.monitors.channels]]
id = "import"
label = "From the grid"
readings = { power_consumption = "electricity/import_total" }

[[uplinks.reset.monitors.channels]]
id = "export"
label = "To the grid"
readings = { power_consumption = "electricity/export_total" }

[uplinks.wattics]
endpoint = "$wattics_url"
user = "demo"
password = "demo"

[[uplinks.wattics.meters]]
id = "demo-electricity"
kind = "electricity"
meter = "electricity"
phases = 3
interval_min = 30

[[uplinks.wattics.meters]]
id = "demo-gas"
kind = "value"
value = "Gas meter/volume"
unit = "m3"
interval_min = 30

[[uplinks.wattics.meters]]
id = "demo-water"
kind = "value"
value = "Water meter/volume"
unit = "L"
interval_min = 30
""")
