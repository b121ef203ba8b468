"""`[uplinks.reset]`: where to, as whom, when, and which monitors."""

from __future__ import annotations

import re
from typing import Annotated, Literal
from urllib.parse import urlsplit

import msgspec

from meterkast.address import nearby
from meterkast.config import decoding
from meterkast.config.secret import secret as read_secret
from meterkast.model.emptyings import EMPTIED_PERCENT
from meterkast.model.errors import ConfigError

SECTION = "uplinks.reset"
DOCUMENTED_URL = "https://reset.build:8069/v2"

_Seconds = Annotated[float, msgspec.Meta(gt=0, le=300)]


class Channel(decoding.Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[uplinks.reset.monitors.channels]]`.

    Attributes:
        id: Sent as channel_id. Never change it: the document calls it immutable.
        label: Optional, for people.
        readings: parameter = "<product>/<property key>".
    """

    id: str
    label: str = ""
    readings: dict[str, str] = msgspec.field(default_factory=dict)


class Monitor(decoding.Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[uplinks.reset.monitors]]`.

    Attributes:
        connection_id: Its name at RESET; never change it.
        module: air, water, energy or circularity; sent in lower case, as in all the document's samples.
        label: Optional, for people.
        brand, sku, serial: Of the physical monitor; RESET keeps them for asset management.
        calibrated: When it was last calibrated, `2026-08-01T00:00:00+02:00`; changing it informs RESET.
        missing: What stands for a value that is not known. `leave-out`: the channel's entry is left out;
            `null`: the entry is sent with `"reading":null`. Air ignores it: every parameter is sent, null
            where missing, as the document's sample does.
        readings: Air only: parameter = "<product>/<property key>".
        units: parameter = unit, where the document offers several (tvoc: ppb or mg/m3).
        emptyings: Circularity only: send the largest weight before each emptying as a further reading of the
            same half-hour. The document asks for it without saying where it goes; agree it with RESET first.
        emptied_percent: Circularity only: a weight that falls by more than this share was emptied.
        channels: At least one, but none for air.
    """

    connection_id: str
    module: str
    label: str = ""
    brand: str
    sku: str
    serial: str
    calibrated: str = ""
    missing: Literal["leave-out", "null"] = "leave-out"
    readings: dict[str, str] = msgspec.field(default_factory=dict)
    units: dict[str, str] = msgspec.field(default_factory=dict)
    emptyings: bool = False
    emptied_percent: Annotated[int, msgspec.Meta(ge=5, le=95)] = EMPTIED_PERCENT
    channels: tuple[Channel, ...] = ()


class Settings(decoding.Settings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[uplinks.reset]`.

    Attributes:
        url: As the document writes it; its path is the Socket.IO namespace.
        client_id, client_secret, client_secret_file: From RESET's data provider page. The secret may be
            `env:NAME`.
        mode: `half-hourly`: each half-hour when it is closed; `daily`: yesterday's 00:00 to 24:00 at once.
        daily_time: When, in daily mode, by the site's clock; agree it with RESET.
        transport: `polling` only where web sockets do not get through.
        ca_file: PEM file with authorities to trust besides the system's.
        proxy: Address of a proxy; empty takes the environment's (https_proxy, no_proxy).
        connect_timeout_s, auth_timeout_s, ack_timeout_s: Limits for connecting, for the answer to the
            credentials, and for the answer to a message.
        stray_wait_s: An error that does not say what it is about counts as the answer after this long.
        idle_close_s: The connection is closed when nothing was sent for so long.
        counters: What is sent of a register that was reset, rolled over or jumped, or whose meter was
            swapped. `continue`: it goes on as if nothing had been; `restart`: as the meter shows it.
        monitors: At least one.
    """

    url: str = DOCUMENTED_URL
    client_id: str
    client_secret: str = ""
    client_secret_file: str = ""
    mode: Literal["half-hourly", "daily"] = "half-hourly"
    daily_time: str = "01:00"
    transport: Literal["websocket", "polling"] = "websocket"
    ca_file: str = ""
    proxy: str = ""
    connect_timeout_s: _Seconds = 30.0
    auth_timeout_s: _Seconds = 20.0
    ack_timeout_s: _Seconds = 30.0
    stray_wait_s: _Seconds = 1.5
    idle_close_s: Annotated[float, msgspec.Meta(gt=0, le=3600)] = 60.0
    counters: Literal["continue", "restart"] = "continue"
    monitors: tuple[Monitor, ...] = ()


def target(settings: Settings) -> tuple[str, str]:
    """Origin and namespace of the address: `https://reset.build:8069` and `/v2`.

    The path of a Socket.IO address is a namespace and not a path. python-socketio throws it away and then
    connects, successfully, to a namespace that never answers.

    Raises:
        ConfigError: It is no such address, or would send the secret in the clear.
    """
    written = settings.url
    try:
        parts = urlsplit(written)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        host = ""
    if not host or parts.scheme not in ("http", "https") or parts.query or parts.fragment:
        raise ConfigError(f"`{SECTION}.url` is no address", hint=f'Write it as "{DOCUMENTED_URL}".')
    if parts.username is not None or parts.password is not None:
        raise ConfigError(
            f"`{SECTION}.url` holds a user or password", hint="Set client_id and client_secret_file instead."
        )
    namespace = parts.path.rstrip("/")
    if not namespace or "," in namespace:
        raise ConfigError(
            f"`{SECTION}.url` = {written!r} does not say which namespace",
            hint=f'Write it as the document does, with /v2: "{DOCUMENTED_URL}".',
        )
    if parts.scheme == "http" and not nearby(host):
        raise ConfigError(
            f"`{SECTION}.url` = {written!r} would send the secret in the clear",
            hint="Write https://. Without TLS only this machine and private networks are allowed.",
        )
    shown = f"[{host}]" if ":" in host else host
    return f"{parts.scheme}://{shown}{f':{port}' if port is not None else ''}", namespace


def secret(settings: Settings) -> str:
    """The client_secret.

    Raises:
        ConfigError: It, or client_id, is not given or cannot be read.
    """
    if not settings.client_id.strip():
        raise ConfigError(
            f"`{SECTION}.client_id` is empty", hint="Copy it from RESET's data provider management page."
        )
    return read_secret(settings.client_secret, settings.client_secret_file, f"{SECTION}.client_secret")


def daily_at(settings: Settings) -> tuple[int, int]:
    """Hour and minute of `daily_time`.

    Raises:
        ConfigError: It is no time of day.
    """
    match = re.fullmatch(r"([01]\d|2[0-3]):([0-5]\d)", settings.daily_time)
    if match is None:
        raise ConfigError(
            f"`{SECTION}.daily_time` = {settings.daily_time!r} is no time of day",
            hint='Write hours and minutes: "01:00".',
        )
    return int(match[1]), int(match[2])
