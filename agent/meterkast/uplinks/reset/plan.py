"""What the settings come to: for each monitor what it is, and which property feeds which parameter."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from meterkast.config.decoding import nearest
from meterkast.model.emptyings import EMPTIED_PERCENT
from meterkast.model.errors import ConfigError
from meterkast.model.time import HALF_HOUR_MS, parse_iso
from meterkast.ports.uplink import Binding, Wanted
from meterkast.uplinks.reset.parameters import AIR, CIRCULARITY, ENERGY, PARAMETERS
from meterkast.uplinks.reset.settings import SECTION, Channel, Monitor, Settings

# "yyyy-mm-ddThh:mm:ss[.mmm]±hh:mm", says the document of every time.
_STAMP = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{3})?[+-]\d\d:\d\d")


@dataclass(frozen=True, slots=True, kw_only=True)
class ChannelPlan:
    """One channel; air has a single one whose id is empty.

    Attributes:
        bindings: By parameter, in the document's order.
    """

    id: str
    label: str
    bindings: Mapping[str, Binding]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """One monitor.

    Attributes:
        module: air, water, energy or circularity.
        units: What it measures and in which unit, in the document's order.
        missing_null: Whether an unknown value is sent as null instead of being left out.
        emptyings: Whether the largest weight before each emptying is sent as well.
        emptied_percent: By how much a weight falls at least where that is an emptying.
        channels: At least one.
        warnings: What RESET may not accept although the document allows it.
    """

    connection_id: str
    module: str
    label: str
    brand: str
    sku: str
    serial: str
    calibrated: str
    units: Mapping[str, str]
    missing_null: bool
    emptyings: bool
    emptied_percent: int
    channels: tuple[ChannelPlan, ...]
    warnings: tuple[str, ...]

    def wanted(self) -> Wanted:
        """The stream of this monitor."""
        bindings = tuple(
            dict.fromkeys(binding for channel in self.channels for binding in channel.bindings.values())
        )
        return Wanted(
            name=self.connection_id,
            bindings=bindings,
            length_ms=HALF_HOUR_MS,
            # bin_weight "needs to be max weight within the 30 minutes", whatever the scale's datatype says.
            peaks=bindings if self.module == CIRCULARITY else (),
            emptied_percent=self.emptied_percent,
            channels={
                f"{channel.id}/{name}".lstrip("/"): (binding,)
                for channel in self.channels
                for name, binding in channel.bindings.items()
            },
        )


def plans(settings: Settings) -> tuple[Plan, ...]:
    """Every monitor, checked.

    Raises:
        ConfigError: One of them cannot work; the message names the key.
    """
    if not settings.monitors:
        raise ConfigError(
            f"`{SECTION}.monitors` is empty", hint=f"Write at least one [[{SECTION}.monitors]]."
        )
    found: dict[str, Plan] = {}
    for number, monitor in enumerate(settings.monitors):
        path = f"{SECTION}.monitors[{number}]"
        plan = _plan(monitor, path)
        if plan.connection_id in found:
            raise ConfigError(
                f"`{path}.connection_id` = {plan.connection_id!r} is there twice",
                hint="Give every monitor its own connection_id.",
            )
        found[plan.connection_id] = plan
    return tuple(found.values())


def _plan(monitor: Monitor, path: str) -> Plan:
    for key, text in (
        ("connection_id", monitor.connection_id),
        ("brand", monitor.brand),
        ("sku", monitor.sku),
        ("serial", monitor.serial),
    ):
        _filled(text, f"{path}.{key}")
    module = _module(monitor.module, f"{path}.module")
    _check_calibrated(monitor.calibrated, f"{path}.calibrated")
    for key, given in (
        ("emptyings", monitor.emptyings),
        ("emptied_percent", monitor.emptied_percent != EMPTIED_PERCENT),
    ):
        if given and module != CIRCULARITY:
            raise ConfigError(
                f"`{path}.{key}` goes with module circularity, not {module}", hint=f"Remove {key}."
            )
    _check_place(monitor, module, path)
    units = _units(monitor, module, path)
    if module == AIR:
        bindings = _bindings(module, monitor.readings, units, f"{path}.readings")
        channels: tuple[ChannelPlan, ...] = (ChannelPlan(id="", label="", bindings=bindings),)
    else:
        channels = _channels(monitor, module, units, path)
    return Plan(
        connection_id=monitor.connection_id,
        module=module,
        label=monitor.label,
        brand=monitor.brand,
        sku=monitor.sku,
        serial=monitor.serial,
        calibrated=monitor.calibrated,
        units=units,
        missing_null=monitor.missing == "null",
        emptyings=monitor.emptyings,
        emptied_percent=monitor.emptied_percent,
        channels=channels,
        warnings=tuple(_warnings(monitor.connection_id, module, units)),
    )


def _module(written: str, path: str) -> str:
    # The document's table writes "Air", its samples "air".
    module = written.lower()
    if module not in PARAMETERS:
        raise ConfigError(
            f"`{path}` = {written!r} is no module of RESET", hint=f"There are: {', '.join(PARAMETERS)}."
        )
    return module


def _check_calibrated(written: str, path: str) -> None:
    if not written:
        return
    try:
        if _STAMP.fullmatch(written):
            parse_iso(written)
            return
    except ValueError:
        pass
    raise ConfigError(
        f"`{path}` = {written!r} is no time with an offset",
        hint='Write it as "2026-08-01T00:00:00+02:00".',
    )


def _check_place(monitor: Monitor, module: str, path: str) -> None:
    """Air has readings and no channels, the others have channels and no readings."""
    if module == AIR:
        if monitor.channels:
            raise ConfigError(
                f"`{path}.channels`: a monitor of module air has none",
                hint="Write its readings at the monitor itself.",
            )
        if not monitor.readings:
            raise ConfigError(
                f"`{path}.readings` is empty", hint='Write { co2 = "<product>/<property>", … }.'
            )
        return
    if monitor.readings:
        raise ConfigError(
            f"`{path}.readings` goes with module air only",
            hint=f"Write them in a [[{SECTION}.monitors.channels]].",
        )
    if not monitor.channels:
        raise ConfigError(
            f"`{path}.channels` is empty: module {module} needs at least one",
            hint=f"Write a [[{SECTION}.monitors.channels]] with id and readings.",
        )


def _units(monitor: Monitor, module: str, path: str) -> dict[str, str]:
    """The unit of each parameter that is measured, in the document's order."""
    table = PARAMETERS[module]
    named = dict.fromkeys(monitor.readings, f"{path}.readings")
    for number, channel in enumerate(monitor.channels):
        named |= dict.fromkeys(channel.readings, f"{path}.channels[{number}].readings")
    for name, where in (named | dict.fromkeys(monitor.units, f"{path}.units")).items():
        if name not in table:
            meant = nearest(name, table)
            raise ConfigError(
                f"`{where}.{name}` is no parameter of module {module}",
                hint=f"Did you mean `{meant}`?" if meant else f"There are: {', '.join(table)}.",
            )
    for name, unit in monitor.units.items():
        if name not in named:
            raise ConfigError(
                f"`{path}.units.{name}` goes with a reading that is not there",
                hint=f"Add {name} to readings, or remove its unit.",
            )
        if unit not in table[name].units:
            raise ConfigError(
                f"`{path}.units.{name}` = {unit!r} is not taken by RESET",
                hint=f"Write {' or '.join(map(repr, table[name].units))}.",
            )
    return {
        name: monitor.units.get(name, parameter.units[0])
        for name, parameter in table.items()
        if name in named
    }


def _channels(monitor: Monitor, module: str, units: Mapping[str, str], path: str) -> tuple[ChannelPlan, ...]:
    found: dict[str, ChannelPlan] = {}
    for number, channel in enumerate(monitor.channels):
        where = f"{path}.channels[{number}]"
        if channel.id in found:
            raise ConfigError(
                f"`{where}.id` = {channel.id!r} is there twice", hint="Give every channel its own id."
            )
        found[channel.id] = _channel(channel, module, units, where)
    return tuple(found.values())


def _channel(channel: Channel, module: str, units: Mapping[str, str], path: str) -> ChannelPlan:
    _filled(channel.id, f"{path}.id")
    if module == ENERGY and "power_consumption" not in channel.readings:
        raise ConfigError(
            f"`{path}.readings.power_consumption` is missing",
            hint='Add it: { power_consumption = "electricity/import_total" }.',
        )
    if not channel.readings:
        raise ConfigError(
            f"`{path}.readings` is empty", hint=f"Add one of {', '.join(PARAMETERS[module])}, or remove it."
        )
    bindings = _bindings(module, channel.readings, units, f"{path}.readings")
    return ChannelPlan(id=channel.id, label=channel.label, bindings=bindings)


def _bindings(
    module: str, readings: Mapping[str, str], units: Mapping[str, str], path: str
) -> dict[str, Binding]:
    found: dict[str, Binding] = {}
    for name, parameter in PARAMETERS[module].items():
        if name not in readings:
            continue
        product, _, key = readings[name].strip().rpartition("/")
        if not product or not key:
            raise ConfigError(
                f"`{path}.{name}` = {readings[name]!r} names no property",
                hint='Write it as "<product>/<property>": "electricity/import_total".',
            )
        found[name] = Binding(product=product, key=key, unit=parameter.unit(units[name]))
    return found


def _filled(text: str, path: str) -> None:
    if not text.strip() or not text.isprintable():
        raise ConfigError(f"`{path}` = {text!r} will not do", hint="Write a text; RESET asks for it.")


def _warnings(connection_id: str, module: str, units: Mapping[str, str]) -> Iterator[str]:
    absent = [name for name, one in PARAMETERS[module].items() if one.required and name not in units]
    if absent:
        yield (
            f"monitor {connection_id}: RESET's document asks for {', '.join(absent)} in every reading of "
            f"module {module}, though a monitor need not measure it; if RESET refuses the readings, add it"
        )
