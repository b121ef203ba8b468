"""A node as products, properties and nodes are described to the store. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from meterkast.model.datatypes import DatatypeId, Kind
from meterkast.model.product import (
    Medium,
    NodeDescription,
    NodeStatus,
    Product,
    ProductDescription,
    ProductId,
    PropertyDescription,
    Protocol,
)
from meterkast.model.time import HOUR_MS, UtcMs
from meterkast_drivers.zwave.mapping import Target
from meterkast_drivers.zwave.value import ZwaveValue

if TYPE_CHECKING:
    from zwave_js_server.model.node import Node as LiveNode

METER_CLASS = 50
_SIGNED_32 = 1 << 31
_LARGEST_ID = 0xFFFF

WAKE_UP_CLASS, WAKE_UP_INTERVAL = 132, "wakeUpInterval"

STATE_ASKED_MS = 12 * HOUR_MS
"""How often a state is asked for that a listening device reports only when it changes."""

STATE_FRESH_MS = 25 * HOUR_MS
"""How long a state, an event or a battery's level stands: it is told when it changes, and a listening device
is asked twice a day besides. Whether the device can be reached is told by its status, much sooner."""

_BATTERY = DatatypeId(10)

_IDS = re.compile(r"\b([0-9a-f]{4}:[0-9a-f]{4}:[0-9a-f]{4})\b")

_SECURITY = {
    -1: "none",
    0: "S2_Unauthenticated",
    1: "S2_Authenticated",
    2: "S2_AccessControl",
    7: "S0_Legacy",
}
# SecurityClass of the specification, by zwave-js' numbers and names.


def identity(home_id: int, node: int) -> str:
    """`zwave:<home id, 8 hex digits>:<node>`."""
    return f"zwave:{home_id:08x}:{node}"


def parse_identity(text: str) -> tuple[int, int] | None:
    """Home id and node of such an identity; None where it is none."""
    match = re.fullmatch(r"zwave:([0-9a-f]{8}):([0-9]{1,4})", text)
    return (int(match[1], 16), int(match[2])) if match else None


def hardware_ids(live: LiveNode) -> str:
    """`manufacturer:product type:product id` in hex; empty while the device has not told them."""
    told = (live.manufacturer_id, live.product_type, live.product_id)
    ids = [number for number in map(_whole, told) if number is not None]
    return ":".join(f"{number:04x}" for number in ids) if len(ids) == len(told) else ""


def stored_ids(product: Product) -> str:
    """The hardware ids that a product's model ends with; empty where it has none."""
    found = _IDS.findall(product.description.model)
    return found[-1] if found else ""


def is_slow(target: Target) -> bool:
    """Whether a value is told when it changes, not at intervals."""
    return target.kind in (Kind.STATE, Kind.EVENT) or target.datatype == _BATTERY


def fresh_ms(target: Target, report_ms: int) -> int:
    """How long a value of that kind stands: twice the device's own reporting interval."""
    return max(STATE_FRESH_MS, 2 * report_ms) if is_slow(target) else 2 * report_ms


def medium(targets: Iterable[Target]) -> Medium:
    """What a device measures: what its meters count; without any, a sensor or something else."""
    known = list(targets)
    told = [target.medium for target in known if target.medium is not None]
    for one in told:
        if one not in (Medium.SENSOR, Medium.OTHER):
            return one
    switches = any(one.receiving and one.kind is Kind.STATE and not one.resets for one in known)
    sensors = Medium.SENSOR in told or any(one.kind in (Kind.MOMENTARY, Kind.EVENT) for one in known)
    return Medium.SENSOR if sensors and not switches else Medium.OTHER


def describe_product(
    live: LiveNode, wanted_identity: str, own_name: str, targets: Sequence[Target], known: Product | None
) -> ProductDescription:
    """A node as a product; what the device did not tell stays as it is known."""
    config = live.device_config
    ids = hardware_ids(live)
    kind = _device_class(live)
    label = _words(live.label) or _words(config.label)
    before = known.description if known is not None else None
    number = _whole(live.manufacturer_id)
    maker = _words(config.manufacturer) or (f"0x{number:04x}" if number is not None else "")
    model = f"{label} ({ids})" if label and ids else ids or label
    name = own_name or _words(config.description) or label or f"{kind or 'Z-Wave device'} {live.node_id}"
    what = medium(targets)
    if not targets and before is not None:
        what = before.medium
    return ProductDescription(
        identity=wanted_identity,
        name=before.name if before is not None else name,
        medium=what,
        maker=maker or (before.maker if before else ""),
        model=model or (before.model if before else ""),
        serial=_serial(live) or (before.serial if before else ""),
        type=kind or (before.type if before else ""),
    )


def describe_property(
    value: ZwaveValue, target: Target, decimals: int, report_ms: int
) -> PropertyDescription:
    """A value as a property."""
    place = f" {value.endpoint}" if value.endpoint else ""
    return PropertyDescription(
        key=target.key_at(value.endpoint),
        name=f"{target.name}{place}",
        datatype=target.datatype,
        unit=target.unit,
        decimals=decimals,
        reference=value.id,
        fresh_ms=fresh_ms(target, report_ms),
        sending=target.sending,
        receiving=target.receiving,
        aggregation=target.aggregation,
        emptyings=target.emptyings,
        rolls_at=_rolls_at(value, target),
    )


def _rolls_at(value: ZwaveValue, target: Target) -> int | None:
    """Where a register of Meter (50) begins again at 0: it is a signed number of 32 bits with a precision.

    The precision is not told. It is taken to be the one whose digits are kept, so that the whole number kept
    is the whole number sent. Should the device use a coarser one, the register goes on beyond this, and its
    fall there is not taken for a rollover unless so little was left to count.
    """
    factor = target.conversion.factor
    power_of_ten = factor.denominator == 1 and set(str(factor.numerator)[1:]) <= {"0"}
    if value.command_class != METER_CLASS or target.kind is not Kind.REGISTER or not power_of_ten:
        return None
    return _SIGNED_32 if str(factor.numerator)[0] == "1" else None


def describe_node(
    own_identity: str,
    node: int,
    live: LiveNode | None,
    *,
    product_id: ProductId | None,
    status: NodeStatus,
    last_seen_ms: UtcMs | None,
    before: NodeDescription | None,
) -> NodeDescription:
    """A node's row; what is not known now stays as it was."""
    serial = _serial(live) if live is not None else ""
    version = firmware(live) if live is not None else ""
    return NodeDescription(
        identity=own_identity,
        protocol=Protocol.ZWAVE,
        product_id=product_id,
        zwave_id=node,
        status=status,
        serial=serial or (before.serial if before else ""),
        version=version or (before.version if before else ""),
        security=(security(live) if live is not None else "") or (before.security if before else ""),
        last_seen_ms=last_seen_ms,
    )


def security(live: LiveNode) -> str:
    """How it was added, in zwave-js' words; empty while that is not known."""
    found: object = live.data.get("highestSecurityClass")
    if isinstance(found, bool) or not isinstance(found, int):
        return ""
    return _SECURITY.get(found, f"class {found}")


def firmware(live: LiveNode) -> str:
    """The version of its firmware; empty while that is not known."""
    return _words(live.firmware_version)


def wake_up_s(live: LiveNode) -> int | None:
    """How often a sleeping device wakes up; None where it listens, or did not tell."""
    if live.is_listening or live.is_frequent_listening:
        return None
    value = live.values.get(f"{live.node_id}-{WAKE_UP_CLASS}-0-{WAKE_UP_INTERVAL}")
    found = value.value if value is not None else None
    if isinstance(found, bool) or not isinstance(found, int) or found <= 0:
        return None
    return found


def _whole(told: object) -> int | None:
    """An id of 16 bits; None where it is none, whatever the library says of its type."""
    if isinstance(told, bool) or not isinstance(told, int):
        return None
    return told if 0 <= told <= _LARGEST_ID else None


def _words(told: object) -> str:
    """Text that the server has of a device; empty where it is none."""
    return told if isinstance(told, str) else ""


def _device_class(live: LiveNode) -> str:
    found = live.device_class
    if found is None:
        return ""
    for item in (found.specific, found.generic):
        if item.label and item.label not in ("Unused", "Not Used") and not item.label.startswith("UNKNOWN"):
            return item.label
    return ""


def _serial(live: LiveNode) -> str:
    # Manufacturer Specific (114): the device's own serial number, where it gives one.
    value = live.values.get(f"{live.node_id}-114-0-deviceId-SerialNumber")
    found = value.value if value is not None else None
    return found.strip() if isinstance(found, str) else ""
