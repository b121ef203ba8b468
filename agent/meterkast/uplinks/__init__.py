"""Where it goes. One line per uplink; the module is imported when a configuration names it.

Each module has `Settings` (its section of the configuration) and `create(settings, context) -> Uplink`.
"""

KINDS = {
    "reset": "meterkast.uplinks.reset",
    "wattics": "meterkast.uplinks.wattics",
}
