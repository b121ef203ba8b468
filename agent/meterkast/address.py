"""What kind of machine a host of an address is."""

from __future__ import annotations

import ipaddress


def loopback(host: str) -> bool:
    """Whether it is this machine, which no proxy can reach and nobody else listens on."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def nearby(host: str) -> bool:
    """Whether it is this machine or in a private network, where the stand-ins of the rig run."""
    try:
        return ipaddress.ip_address(host).is_private
    except ValueError:
        return host == "localhost" or "." not in host
