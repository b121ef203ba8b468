"""What we read. One line per kind of driver; the module is imported when a configuration names it.

Each module has `Settings` (its section of the configuration) and
`create(name, settings, catalog, clock) -> Driver`.
"""

KINDS = {
    "p1": "meterkast_drivers.p1.driver",
    "zwave": "meterkast_drivers.zwave.driver",
}
