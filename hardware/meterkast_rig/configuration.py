"""The configuration of a gateway in the simulated cupboard, put together from its parts, as TOML."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any

Section = Mapping[str, Any]
"""Of a configuration: what is simple, sections, and lists of sections, by name."""

NONE: Section = MappingProxyType({})
INTERVAL_MIN = 30


def gateway(folder: Path, *, drivers: Section = NONE, uplinks: Section = NONE) -> dict[str, Any]:
    """A P1 meter on `folder/p1`, kept in `folder/meterkast.db`, with the page on a free port.

    Args:
        drivers: Besides the P1 meter.
    """
    return {
        "storage": {"path": f"{folder}/meterkast.db"},
        "page": {"port": 0},
        "delivery": {"spread_s": 0},
        "drivers": {"p1": {"port": f"{folder}/p1"}, **drivers},
        "uplinks": uplinks,
    }


def reset(url: str, monitors: Sequence[Section], **settings: float | str) -> Section:
    """`[uplinks.reset]` to the stand-in."""
    return {"url": url, "client_id": "demo", "client_secret": "demo", **settings, "monitors": monitors}


def monitor(connection_id: str, module: str, sku: str, **settings: Any) -> Section:
    """`[[uplinks.reset.monitors]]`; channels, or the readings of an air monitor, are among the settings."""
    named = {"connection_id": connection_id, "module": module, "brand": "Rig", "sku": sku}
    return {**named, "serial": "simulated", **settings}


def channel(name: str, label: str, **readings: str) -> Section:
    """`[[uplinks.reset.monitors.channels]]`: each parameter and the value that it is."""
    return {"id": name, "label": label, "readings": readings}


def wattics(endpoint: str, meters: Sequence[Section], **settings: float) -> Section:
    """`[uplinks.wattics]` to the stand-in."""
    return {"endpoint": endpoint, "user": "demo", "password": "demo", **settings, "meters": meters}


def electricity(name: str, **settings: Any) -> Section:
    """`[[uplinks.wattics.meters]]` of an electricity meter: `meter` or `readings` are among the settings."""
    return {"id": name, "kind": "electricity", "interval_min": INTERVAL_MIN, **settings}


def single(name: str, value: str, unit: str) -> Section:
    """`[[uplinks.wattics.meters]]` of one value."""
    return {"id": name, "kind": "value", "value": value, "unit": unit, "interval_min": INTERVAL_MIN}


def zwave(stick: str, folder: Path, names: Mapping[int, str], **settings: float) -> Section:
    """`[drivers.zwave]`; its server's files are in `folder/zwave`.

    Args:
        names: Of the devices, by node.
    """
    nodes = {str(node): {"name": name} for node, name in names.items()}
    return {"stick": stick, "folder": f"{folder}/zwave", **settings, "nodes": nodes}


def write(folder: Path, tree: Section) -> Path:
    """Write a configuration into a folder; the file is its answer."""
    file = folder / "meterkast.toml"
    file.write_text(toml(tree).lstrip(), encoding="utf-8")
    return file


def toml(section: Section, name: str = "") -> str:
    """A section in TOML, and all below it."""
    simple, tables = "", ""
    for key, value in section.items():
        path = f"{name}.{key}" if name else key
        if isinstance(value, Mapping):
            tables += f"\n[{path}]\n{toml(value, path)}"
        elif isinstance(value, str | bool | int | float):
            # What JSON says of a text, a number, true and false, is TOML too.
            simple += f"{key} = {json.dumps(value, ensure_ascii=False)}\n"
        else:
            tables += "".join(f"\n[[{path}]]\n{toml(each, path)}" for each in value)
    return simple + tables  # a table ends where the next begins, so what is simple comes first
