"""Which serial ports are Z-Wave sticks, by their lasting names: only the Z-Wave server may open those."""

from __future__ import annotations

import re
from collections.abc import Iterable

# 0658:0200 is the USB id of the Sigma Designs controller in the Aeotec Gen5 stick, UZB and others, which have
# no name of their own; HubZ is a Z-Wave and a Zigbee stick in one. Sticks that only name their USB chip
# (CP210x) cannot be told from a P1 cable.
_NAMES = re.compile(
    r"z[-_ ]?wave|z[-_ ]?stick|zooz|aeotec|aeon|uzb|zwa[-_]?\d|hubz|0658[-_:]0200", re.IGNORECASE
)


def zwave_sticks(ports: Iterable[str]) -> list[str]:
    """Those of some ports whose name, such as /dev/serial/by-id/usb-Zooz_800_Z-Wave_Stick_…, says Z-Wave."""
    return [port for port in ports if _NAMES.search(port.rpartition("/")[2])]
