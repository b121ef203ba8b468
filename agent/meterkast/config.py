"""The configuration: one TOML file into frozen, checked values.

`msgspec` does the typing. This file adds what a person in a cupboard needs: which key, which value, and
what to write instead.
"""

from __future__ import annotations

import os
import re
import tomllib
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar

import msgspec

from meterkast.model.errors import ConfigError
from meterkast.model.limits import carried_per_hour
from meterkast.model.time import zone
from meterkast.model.units import Unit

S = TypeVar("S", bound=msgspec.Struct)

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section: frozen, by keyword, unknown keys refused."""


class Site(Settings, frozen=True):
    """`[site]`: where the gateway hangs.

    Attributes:
        name: Shown on the page.
        time_zone: IANA name; half-hours follow its wall clock.
    """

    name: str = "Meterkast"
    time_zone: str = "Europe/Amsterdam"

    def __post_init__(self) -> None:
        try:
            zone(self.time_zone)
        except ConfigError as error:
            raise ConfigError(
                f'`site.time_zone` = "{self.time_zone}": no such time zone', hint=error.hint
            ) from error


class Storage(Settings, frozen=True):
    """`[storage]`: what is kept, and how long.

    Attributes:
        path: The database file; its folder must exist.
        samples_days: How long raw samples are kept.
        half_hours_years: How long half-hours are kept; at least 10.
        evidence_months: How long the telegram or report behind each register's half-hour is kept.
        flush_s: How many seconds of raw samples a power cut may cost; 60 writes 68 MB a day to the card.
    """

    path: str = "/var/lib/meterkast/meterkast.db"
    samples_days: Annotated[int, msgspec.Meta(ge=1, le=3660)] = 35
    half_hours_years: Annotated[int, msgspec.Meta(ge=10, le=100)] = 10
    evidence_months: Annotated[int, msgspec.Meta(ge=1, le=120)] = 13
    flush_s: Annotated[int, msgspec.Meta(ge=5, le=900)] = 60


class HalfHours(Settings, frozen=True):
    """`[half_hours]`: when a half-hour is closed.

    Attributes:
        grace_s: How long after its end a half-hour still takes readings.
    """

    grace_s: Annotated[int, msgspec.Meta(ge=5, le=900)] = 90


class Page(Settings, frozen=True):
    """`[page]`: the local web page.

    Attributes:
        enabled: Whether there is one.
        host: Address to listen on; loopback unless set.
        port: 0 takes any free port.
        allowed_hosts: Names by which browsers may ask for it, besides localhost and the address itself.
    """

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = 8080
    allowed_hosts: tuple[str, ...] = ()


class Control(Settings, frozen=True):
    """`[control]`: the socket over which the command line reaches devices; there where a driver has any.

    Attributes:
        socket: Its path; empty puts `control.sock` beside the database.
    """

    socket: str = ""


class ClockSettings(Settings, frozen=True):
    """`[clock]`: where the time comes from.

    Attributes:
        rtc: Whether the machine's clock that runs without power is listened to at a start.
        chrony_socket: chrony's socket (`refclock SOCK`), to which the meter's time is sent; empty: none.
    """

    rtc: bool = True
    chrony_socket: str = ""


class Delivery(Settings, frozen=True):
    """`[delivery]`: what all uplinks share.

    Attributes:
        spread_s: Each device waits a fixed time of its own, up to this, after :00 and :30, so that a fleet
            does not send at once.
    """

    spread_s: Annotated[int, msgspec.Meta(ge=0, le=900)] = 300


class Counters(Settings, frozen=True):
    """`[counters]`: what happens when a meter is replaced.

    Attributes:
        swap: `hold`: nothing is sent across a swap until a person signs it off (meterkast meter swap).
            `auto`: it is signed off with the last reading of the old meter and the first of the new one.
    """

    swap: Literal["hold", "auto"] = "hold"


class Limit(Settings, frozen=True):
    """One `[[limits]]`: what a meter's connection can carry, so that its registers cannot grow faster.

    Attributes:
        meter: Its serial, identity or name, or a medium such as "electricity".
        fuse_a: Electricity: rating of the fuse before it, A.
        phases: Electricity: how many phases it has.
        volts: Electricity: between a phase and neutral, V.
        flow_m3h: Gas and water: the largest flow on the meter's face (Q3, Qmax), or of its bore, m3/h.
        power_kw: Heat and cooling: the largest power, kW.
    """

    meter: str
    fuse_a: Annotated[float, msgspec.Meta(gt=0, le=10_000)] | None = None
    phases: Literal[1, 3] = 3
    volts: Annotated[float, msgspec.Meta(gt=0, le=50_000)] = 230.0
    flow_m3h: Annotated[float, msgspec.Meta(gt=0, le=100_000)] | None = None
    power_kw: Annotated[float, msgspec.Meta(gt=0, le=1_000_000)] | None = None

    def __post_init__(self) -> None:
        if (self.fuse_a, self.flow_m3h, self.power_kw).count(None) != 2:
            raise ConfigError(
                f'`limits` of meter "{self.meter}": one of fuse_a, flow_m3h and power_kw is needed',
                hint="Write fuse_a for electricity, flow_m3h for gas and water, power_kw for heat.",
            )

    def per_hour(self, unit: Unit) -> int | None:
        """What a register in that unit can grow by in an hour; None where this says nothing of it."""
        return carried_per_hour(
            unit,
            power_w=None if self.fuse_a is None else self.fuse_a * self.phases * self.volts,
            flow_l=None if self.flow_m3h is None else self.flow_m3h * 1000,
            heat_w=None if self.power_kw is None else self.power_kw * 1000,
        )


class Config(Settings, frozen=True):
    """The whole file; sections of drivers and uplinks are decoded by those who know them."""

    site: Site = msgspec.field(default_factory=Site)
    storage: Storage = msgspec.field(default_factory=Storage)
    half_hours: HalfHours = msgspec.field(default_factory=HalfHours)
    page: Page = msgspec.field(default_factory=Page)
    control: Control = msgspec.field(default_factory=Control)
    clock: ClockSettings = msgspec.field(default_factory=ClockSettings)
    delivery: Delivery = msgspec.field(default_factory=Delivery)
    counters: Counters = msgspec.field(default_factory=Counters)
    limits: tuple[Limit, ...] = ()
    drivers: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)
    uplinks: dict[str, dict[str, Any]] = msgspec.field(default_factory=dict)


def load(path: Path) -> Config:
    """The configuration in a file.

    Raises:
        ConfigError: The file cannot be read, is no TOML, or a key or value is wrong.
    """
    try:
        # Editors on Windows put a mark of three bytes before the text; -sig passes over it.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", hint="Give another file with --config, or make one: meterkast init."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", hint="Save it as UTF-8.") from error
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # No TOML; a number of thousands of digits; brackets a thousand deep.
        raise ConfigError(
            f"{path}: {error}", hint="Correct that line; strings need quotes in TOML."
        ) from error
    return decode(Config, tree)


SOCKET_PATH_BYTES = 107
"""The longest path that the kernel takes for a Unix socket."""


def control_socket(config: Config) -> str:
    """Where the control socket is, or will be.

    Raises:
        ConfigError: The path is longer than a socket's may be.
    """
    path = config.control.socket or str(Path(config.storage.path).absolute().with_name("control.sock"))
    if len(os.fsencode(path)) > SOCKET_PATH_BYTES:
        raise ConfigError(
            f'the control socket\'s path "{path}" is longer than {SOCKET_PATH_BYTES} bytes',
            hint='Set `control.socket` to a shorter one, such as "/run/meterkast/control.sock".',
        )
    return path


def decode(kind: type[S], tree: Mapping[str, Any], path: str = "") -> S:
    """A section as its settings.

    Args:
        kind: The settings' class.
        tree: What the file says.
        path: Where in the file, such as `uplinks.reset`; for the message.

    Raises:
        ConfigError: A key is unknown, missing, or its value wrong. The message names it.
    """
    _refuse_unknown(kind, tree, path)
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise _explained(tree, path, str(error)) from error


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was most probably meant."""
    import difflib  # 0.2 MiB, for a file that is wrong

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.55)
    return found[0] if found else None


def secret(value: str, file: str, key: str) -> str:
    """A secret, from the configuration, the environment or a file of its own.

    Args:
        value: As written; `env:NAME` takes it from the environment.
        file: A file that holds it and nothing else; used where `value` is empty.
        key: The key's name, for the message.

    Raises:
        ConfigError: It is given in neither way, or cannot be read. The secret itself is never in a message.
    """
    if value.startswith("env:"):
        name = value[4:]
        if not (found := os.environ.get(name)):
            raise ConfigError(
                f"{key}: the environment has no {name}",
                hint=f"Set {name}, or use {key}_file with a file's path.",
            )
        return found
    if value:
        return value
    if not file:
        raise ConfigError(
            f"{key} is not set", hint=f'Set {key}_file = "/path/to/file", or {key} = "env:NAME".'
        )
    try:
        found = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f'{key}_file = "{file}" cannot be read: {error.strerror}', hint="Check path and rights."
        ) from error
    except UnicodeDecodeError:
        # Without its cause, which holds the bytes that were read.
        raise ConfigError(
            f'{key}_file = "{file}" is not UTF-8 text', hint="Save the file as UTF-8."
        ) from None
    if not found:
        raise ConfigError(f'{key}_file = "{file}" is empty', hint="Put the secret into it, and nothing else.")
    return found


def _refuse_unknown(kind: type[msgspec.Struct], tree: Mapping[str, Any], path: str) -> None:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in tree.items():
        where = f"{path}.{key}" if path else key
        if key not in fields:
            meant = nearest(key, fields)
            hint = f"Did you mean `{meant}`?" if meant else f"Known keys here: {', '.join(sorted(fields))}."
            raise ConfigError(f"`{where}` is not a setting", hint=hint)
        inner = _struct_in(fields[key])
        if inner is not None:
            for place, section in _sections(fields[key], value, where):
                _refuse_unknown(inner, section, place)


def _struct_in(annotation: Any) -> type[msgspec.Struct] | None:
    """The settings class that an annotation such as `tuple[Monitor, ...]` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _struct_in(argument)) is not None:
            return found
    return None


def _sections(annotation: Any, value: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where in a value the tables are that its annotation has a settings class for."""
    if isinstance(value, list):
        found = [(f"{where}[{number}]", element) for number, element in enumerate(value)]
    elif isinstance(value, Mapping) and getattr(annotation, "__origin__", None) is dict:
        found = [(f"{where}.{name}", element) for name, element in value.items()]
    else:
        found = [(where, value)]
    for place, element in found:
        if isinstance(element, Mapping):
            yield place, element


_FORMS = {
    "int": "a whole number in that range, without quotes",
    "float": "a number in that range, without quotes",
    "str": 'a text in quotes, such as "text"',
    "bool": "the word true or false, without quotes",
    "array": 'a list in brackets, such as ["one", "two"]',
    "object": "a section of its own, in [brackets] above its keys",
}
"""What to write where `msgspec` expected that type."""

_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<at>[^`]*)`)?$", re.DOTALL)


def _explained(tree: Mapping[str, Any], path: str, text: str) -> ConfigError:
    match = _AT.match(text)
    assert match is not None
    what, inside = match["what"], match["at"] or ""
    value: Any = tree
    for name, number in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", inside):
        if number == "...":  # any name: the first that holds no table is the wrong one
            name = next((key for key, held in value.items() if not isinstance(held, Mapping)), "")
            if not name:
                break
            inside = inside.replace("[...]", f".{name}", 1)
        try:
            value = value[name] if name else value[int(number)]
        except (KeyError, IndexError, TypeError):
            break
    where = (path + inside).lstrip(".") or "the file"
    if missing := re.match(r"Object missing required field `(\w+)`", what):
        return ConfigError(
            f"`{(where + '.') if where != 'the file' else ''}{missing[1]}` is missing", hint="Add it."
        )
    secret_key = any(word in where for word in ("secret", "password", "key", "token"))
    shown = "" if secret_key or isinstance(value, (Mapping, list)) else f" = {value!r}"
    expected = re.match(r"Expected `(\w+)`", what)
    form = _FORMS.get(expected[1], "another value") if expected else "another value"
    return ConfigError(
        f"`{where}`{shown}: {what[0].lower()}{what[1:]}", hint=f"Correct `{where}`: give {form}."
    )
