"""`[uplinks.wattics]`: where to, as whom, and which meters; and what follows from it for each meter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from meterkast.address import nearby
from meterkast.config import decoding
from meterkast.config.secret import secret
from meterkast.model.errors import ConfigError
from meterkast.model.time import MINUTE_MS
from meterkast.model.units import POWERS, Unit
from meterkast.ports.uplink import Binding, Wanted
from meterkast.uplinks.wattics.packet import ELECTRICAL, Dst, Parameter

SECTION = "uplinks.wattics"
PATH, UTC_PATH = "/measurements/v2/unifiedjson/", "/measurements/v2/unifiedjson_utc/"
PRESETS = {
    # Hosts: the platform's Java client (api-client-java); the help page keeps them for those who sign up.
    "production": f"https://web-collector.wattics.com{PATH}",
    "demo": f"https://demo-dc.wattics.com{PATH}",
}


class Meter(decoding.Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[uplinks.wattics.meters]]`: a meter as it is registered with Wattics.

    `meter = "<product>"` with `kind = "electricity"` sends what every P1 meter gives:

    - `phases = 1`: `pC_1` = import_total and `aP_1` = power_import. A single total belongs into the first
      parameter, says the document.
    - `phases = 3`: `pC_1` = import_total, for a P1 meter counts energy in total only, and `aP_1` to `aP_3` =
      power_import_l1 to _l3.

    Voltage, current and reactive power are not in every meter, and a packet waits for all that was asked for;
    name them in `readings`, which adds to `meter` and goes before it.

    Powers are imports by default, as pC counts energy consumed; `"electricity/power_import_l1 -
    electricity/power_export_l1"` gives the net, which is below zero while the sun shines. Export has its own
    registered meter: `readings = { pC_1 = "electricity/export_total" }`.

    Attributes:
        id: The id it is registered with ("Data Stream ID").
        kind: `electricity`: an electrical packet; `value`: a single-value packet.
        interval_min: The interval it is registered with. There is no default: at another interval the
            platform shows nothing, or holes.
        user, password, password_file: Its own credentials; empty takes the uplink's.
        meter: With kind electricity: a product whose usual readings are sent.
        phases: How many phases `meter` sends.
        readings: With kind electricity: parameter = "<product>/<property key>", minus another if wanted.
        value: With kind value: "<product>/<property key>".
        unit: With kind value: the unit the meter is registered in, such as kWh, m3, L, GJ, °C. There is no
            default: the packet carries no unit, and a wrong one is off by a thousand.
    """

    id: str
    kind: Literal["electricity", "value"] = "electricity"
    interval_min: Literal[1, 5, 10, 15, 30, 60]
    user: str = ""
    password: str = ""
    password_file: str = ""
    meter: str = ""
    phases: Literal[1, 3] = 1
    readings: dict[str, str] = msgspec.field(default_factory=dict)
    value: str = ""
    unit: str | None = None


class Settings(decoding.Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[uplinks.wattics]`.

    Attributes:
        endpoint: `production`, `demo`, or an address. One without a path gets the documented path.
        user, password, password_file: Credentials of all meters that have none of their own.
        ca_file: PEM file with authorities to trust besides the system's.
        proxy: Address of a proxy; empty takes the environment's (https_proxy, no_proxy).
        timeout_s: Total time of one request.
        parallel: How many meters are sent at the same time.
        dst: What is written as local time; see `Dst`.
        counters: What is sent of a register that was reset, rolled over or jumped, or whose meter was
            swapped. `restart`: as the meter shows it; `continue`: it goes on as if nothing had been.
        meters: At least one.
    """

    endpoint: str = "production"
    user: str = ""
    password: str = ""
    password_file: str = ""
    ca_file: str = ""
    proxy: str = ""
    timeout_s: Annotated[float, msgspec.Meta(ge=5, le=300)] = 30.0
    parallel: Annotated[int, msgspec.Meta(ge=1, le=32)] = 4
    dst: Dst = Dst.OFFSET
    counters: Literal["continue", "restart"] = "restart"
    meters: tuple[Meter, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What one meter is sent.

    Attributes:
        id: The id it is registered with.
        length_ms: Its interval.
        parameters: What its packet may hold, in the document's order.
    """

    id: str
    length_ms: int
    parameters: tuple[Parameter, ...]

    def wanted(self) -> Wanted:
        """The stream it is: every property once."""
        bindings = dict.fromkeys(binding for one in self.parameters for binding in one.bindings)
        return Wanted(
            name=self.id,
            bindings=tuple(bindings),
            length_ms=self.length_ms,
            channels={one.key: one.bindings for one in self.parameters},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Credentials:
    """Who a meter is sent as.

    Attributes:
        own: Whether they are that meter's alone.
    """

    user: str
    password: str = field(repr=False)
    own: bool


def plans(settings: Settings) -> tuple[Plan, ...]:
    """What each meter is sent, all of it checked; needs no secret.

    Raises:
        ConfigError: A value cannot work. The message names key and value, the hint the cure.
    """
    urls(settings)
    if not settings.meters:
        raise ConfigError(
            f"`{SECTION}.meters` is empty", hint=f"Add a [[{SECTION}.meters]] for every registered meter."
        )
    found: dict[str, Plan] = {}
    for number, meter in enumerate(settings.meters):
        path = f"{SECTION}.meters[{number}]"
        if not meter.id.strip() or not meter.id.isprintable():
            raise ConfigError(
                f"`{path}.id` = {meter.id!r} is no meter id", hint="Write the Data Stream ID of Wattics."
            )
        if meter.id in found:
            raise ConfigError(
                f"`{path}.id` = {meter.id!r} is there twice", hint="Give every meter its own id."
            )
        parameters = _single(meter, path) if meter.kind == "value" else _electrical(meter, path)
        found[meter.id] = Plan(id=meter.id, length_ms=meter.interval_min * MINUTE_MS, parameters=parameters)
    return tuple(found.values())


def urls(settings: Settings) -> tuple[str, str]:
    """Where packets are posted, and where the last one is read back.

    Raises:
        ConfigError: `endpoint` is no such address, or would send the password in the clear.
    """
    written = settings.endpoint
    url = PRESETS.get(written, written)
    try:
        parts = urlsplit(url)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host, port = "", None
    if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        meant = decoding.nearest(written, PRESETS)
        raise ConfigError(
            f"`{SECTION}.endpoint` is no address",
            hint=f'Did you mean "{meant}"?' if meant else 'Write "production", "demo" or https://host/path/.',
        )
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"`{SECTION}.endpoint` holds a user or password", hint="Set user and password_file instead."
        )
    if parts.scheme == "http" and not nearby(host):
        raise ConfigError(
            f"`{SECTION}.endpoint` = {written!r} would send the password in the clear",
            hint="Write https://. Without TLS only this machine and private networks are allowed.",
        )
    shown = f"[{host}]" if ":" in host else host
    base = f"{parts.scheme}://{shown}{f':{port}' if port else ''}"
    # Without the slash at the end the platform redirects, and a redirected POST is a lost packet.
    path = PATH if parts.path in ("", "/") else parts.path.rstrip("/") + "/"
    if settings.dst is not Dst.UTC_ENDPOINT:
        return base + path, base + path
    if path.endswith("/unifiedjson_utc/"):
        return base + path, base + path.replace("/unifiedjson_utc/", "/unifiedjson/")
    if path.endswith("/unifiedjson/"):
        return base + path.replace("/unifiedjson/", "/unifiedjson_utc/"), base + path
    raise ConfigError(
        f'`{SECTION}.dst` = "utc-endpoint" does not go with `endpoint` = {written!r}',
        hint=f"Let the address end in {UTC_PATH}.",
    )


def credentials(settings: Settings) -> dict[str, Credentials]:
    """Who each meter is sent as, by meter id.

    Raises:
        ConfigError: A user or password is missing or cannot be read.
    """
    shared: Credentials | None = None
    found: dict[str, Credentials] = {}
    for number, meter in enumerate(settings.meters):
        if meter.user or meter.password or meter.password_file:
            found[meter.id] = _credentials(meter, f"{SECTION}.meters[{number}]", own=True)
            continue
        shared = shared or _credentials(settings, SECTION, own=False)
        found[meter.id] = shared
    return found


def _credentials(section: Settings | Meter, path: str, *, own: bool) -> Credentials:
    if not section.user:
        raise ConfigError(f"`{path}.user` is not set", hint="Write the user name that Wattics gave.")
    if ":" in section.user:
        # RFC 7617, section 2: a user-id cannot hold a colon.
        raise ConfigError(f"`{path}.user` holds a colon", hint="Write the user name alone.")
    password = secret(section.password, section.password_file, f"{path}.password")
    return Credentials(user=section.user, password=password, own=own)


def _electrical(meter: Meter, path: str) -> tuple[Parameter, ...]:
    for key, given in (("value", bool(meter.value)), ("unit", meter.unit is not None)):
        if given:
            raise ConfigError(
                f'`{path}.{key}` goes with kind = "value"', hint=f'Remove {key}, or set kind = "value".'
            )
    if not meter.meter and not meter.readings:
        raise ConfigError(
            f"`{path}` says nothing of what to send", hint='Set meter = "electricity", or list readings.'
        )
    if meter.phases != 1 and not meter.meter:
        raise ConfigError(f"`{path}.phases` goes with `meter`", hint='Set meter = "electricity".')
    chosen = _usual(meter.meter, meter.phases) if meter.meter else {}
    for key, written in meter.readings.items():
        if key not in ELECTRICAL:
            meant = decoding.nearest(key, ELECTRICAL)
            raise ConfigError(
                f"`{path}.readings.{key}` is no parameter of an electrical packet",
                hint=f"Did you mean `{meant}`?" if meant else f"There are: {', '.join(ELECTRICAL)}.",
            )
        chosen[key] = written
    found = []
    for key, unit in ELECTRICAL.items():
        if key in chosen:
            where = f"{path}.readings.{key}" if key in meter.readings else f"{path}.meter"
            found.append(_parameter(key, chosen[key], unit.value, where))
    return tuple(found)


def _usual(product: str, phases: int) -> dict[str, str]:
    chosen = {"pC_1": f"{product}/import_total"}
    if phases == 1:
        return chosen | {"aP_1": f"{product}/power_import"}
    return chosen | {f"aP_{phase}": f"{product}/power_import_l{phase}" for phase in (1, 2, 3)}


def _single(meter: Meter, path: str) -> tuple[Parameter, ...]:
    for key, given in (("meter", meter.meter), ("readings", meter.readings), ("phases", meter.phases != 1)):
        if given:
            raise ConfigError(
                f'`{path}.{key}` goes with kind = "electricity"', hint=f"Remove {key}; set value and unit."
            )
    if not meter.value:
        raise ConfigError(f"`{path}.value` is not set", hint='Write it as value = "gas/volume".')
    if meter.unit is None:
        raise ConfigError(
            f"`{path}.unit` is not set",
            hint="Write the unit the meter is registered in: kWh, m3, L, GJ, °C, …",
        )
    if meter.unit not in POWERS:
        meant = decoding.nearest(meter.unit, POWERS)
        raise ConfigError(
            f"`{path}.unit` = {meter.unit!r} is unknown",
            hint=f"Did you mean {meant!r}?" if meant else f"There are: {', '.join(filter(None, POWERS))}.",
        )
    return (_parameter("value", meter.value, meter.unit, f"{path}.value"),)


def _parameter(key: str, written: str, unit: str, path: str) -> Parameter:
    plus, taken_off, minus = written.partition(" - ")
    kept_in = POWERS[unit][0]
    return Parameter(
        key=key,
        plus=_binding(plus, kept_in, path),
        minus=_binding(minus, kept_in, path) if taken_off else None,
        unit=unit,
    )


def _binding(written: str, unit: Unit, path: str) -> Binding:
    product, _, key = written.strip().rpartition("/")
    if not product or not key:
        raise ConfigError(
            f"`{path}` = {written!r} names no property",
            hint='Write it as "<meter>/<property>": "electricity/import_total".',
        )
    return Binding(product=product, key=key, unit=unit)
