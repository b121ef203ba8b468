"""Where the P1 meter's values go in the simulated cupboard, for demo and benchmarks."""

from __future__ import annotations

from meterkast_rig.configuration import Section, channel, electricity, monitor, reset, single, wattics

MONITORS = (
    monitor(
        "demo-energy",
        "energy",
        "P1 DSMR 5",
        label="Main electricity meter",
        channels=[
            channel("import", "From the grid", power_consumption="electricity/import_total"),
            channel("export", "To the grid", power_consumption="electricity/export_total"),
        ],
    ),
)
"""At RESET."""

METERS = (
    electricity("demo-electricity", meter="electricity", phases=3),
    single("demo-gas", "Gas meter/volume", "m3"),
    single("demo-water", "Water meter/volume", "L"),
)
"""At Wattics."""


def uplinks(reset_url: str, wattics_url: str) -> Section:
    """`[uplinks]` with both platforms and the P1 meter alone."""
    return {"reset": reset(reset_url, MONITORS), "wattics": wattics(wattics_url, METERS)}
