"""What the configuration holds: its sections, their defaults and bounds."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from meterkast.config.decoding import Settings
from meterkast.model.errors import ConfigError
from meterkast.model.limits import carried_per_hour
from meterkast.model.time import zone
from meterkast.model.units import Unit

Port = Annotated[int, msgspec.Meta(ge=0, le=65535)]


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
