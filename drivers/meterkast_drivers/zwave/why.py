"""Why there is no connection to the Z-Wave server, in words for a person."""

from __future__ import annotations

import errno
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from meterkast.lean import aiohttp
from meterkast.model.errors import ConfigError, LinkLostError
from meterkast_drivers.zwave.place import Place

if TYPE_CHECKING:
    from zwave_js_server.model.version import VersionInfo

TAKEN = 4009
"""The launcher's close code for a second gateway."""

_NOT_READY = 1013
"""RFC 6455's registry: try again later. The server says it while its stick is away."""

_AGAIN = "It is tried again by itself."
_INSTALL = "Install the versions of zwave-js and its server that came with this gateway."


def not_reached(place: Place, error: Exception) -> LinkLostError:
    """From whatever aiohttp or the system raised while connecting."""
    if isinstance(error, aiohttp.WSServerHandshakeError):
        return no_server(place)
    code = getattr(error, "errno", None)
    if code in (errno.ENOENT, errno.ECONNREFUSED):
        return LinkLostError(
            f"no Z-Wave server listens on {place}",
            hint="It starts listening when its stick works: look at the stick, then at the server's log.",
        )
    if code in (errno.EACCES, errno.EPERM):
        return LinkLostError(
            f"no permission to use the Z-Wave server's socket {place}",
            hint="Add the gateway's user to the socket's group and restart.",
        )
    return LinkLostError(f"the Z-Wave server on {place} cannot be reached: {error}", hint=_AGAIN)


def no_server(place: Place) -> LinkLostError:
    return LinkLostError(
        f"what answers on {place} is no Z-Wave server", hint="Set `server` to where zwave-js-server listens."
    )


def silent(place: Place, after_s: float) -> LinkLostError:
    return LinkLostError(
        f"the Z-Wave server on {place} said nothing for {after_s:.0f} s",
        hint="Restart it if this goes on; or something else listens there.",
    )


def not_ready(place: Place, after_s: float) -> LinkLostError:
    return LinkLostError(
        f"the Z-Wave server on {place} did not describe its network within {after_s:.0f} s",
        hint="Restart it if this goes on.",
    )


def not_understood(place: Place, error: Exception) -> LinkLostError:
    return LinkLostError(
        f"the Z-Wave server on {place} described its network in another way than expected ({error!r:.200})",
        hint=_INSTALL,
    )


def refused_start(place: Place, command: str, answer: Mapping[str, Any]) -> LinkLostError:
    words = answer.get("message") or answer.get("zwaveErrorMessage") or answer.get("errorCode") or "no reason"
    return LinkLostError(f"the Z-Wave server on {place} refused {command}: {words}", hint=_INSTALL)


def wrong_version(version: VersionInfo, oldest: int, newest: int) -> ConfigError:
    """The schema is the server's numbered interface."""
    age = "too old" if version.max_schema_version < oldest else "too new"
    wanted = f"{oldest}" if oldest == newest else f"{oldest} to {newest}"
    return ConfigError(
        f"the Z-Wave server {version.server_version} (zwave-js {version.driver_version}) is {age}: it offers "
        f"schema {version.min_schema_version} to {version.max_schema_version}, the gateway needs {wanted}",
        hint=_INSTALL,
    )


def ended(place: Place, code: object, reason: object) -> LinkLostError:
    """The end of the stream: with a close frame's code and reason, or without any."""
    words = f": {reason}" if isinstance(reason, str) and reason else ""
    if code == TAKEN:
        return LinkLostError(
            f"another gateway uses this Z-Wave server ({place})",
            hint="One gateway at a time: stop the other one, or give each its own stick and server.",
        )
    if code == _NOT_READY:
        return LinkLostError(
            f"the Z-Wave server on {place} has no working stick{words}",
            hint="Look at the stick: pull it out and plug it in again. It is tried again by itself.",
        )
    if code is None:
        return LinkLostError(
            f"the Z-Wave server on {place} went away without a word",
            hint="It was killed, or failed: look at its log. It is tried again by itself.",
        )
    return LinkLostError(
        f"the Z-Wave server on {place} closed the connection{words}",
        hint="It stops like that when it is restarted or loses its stick. It is tried again by itself.",
    )


def broken(place: Place, error: object = None) -> LinkLostError:
    """aiohttp gave the stream up."""
    words = f": {error}" if error is not None else ""
    return LinkLostError(f"the connection to the Z-Wave server on {place} broke{words}", hint=_AGAIN)


def too_big(place: Place, most_bytes: int) -> LinkLostError:
    return LinkLostError(
        f"the Z-Wave server on {place} sent a message of more than {most_bytes // 2**20} MiB",
        hint="Restart the server; if it comes again, interview the device anew that was changed last.",
    )


def frozen(place: Place, after_s: float) -> LinkLostError:
    return LinkLostError(
        f"the Z-Wave server on {place} is frozen: no answer for {after_s:.0f} s",
        hint="Restart it. Where the gateway runs it itself, that is done now.",
    )


def stopped(place: Place, for_s: float) -> LinkLostError:
    return LinkLostError(
        f"the gateway itself stood still for {for_s:.0f} s, and what the Z-Wave server on {place} told "
        "meanwhile is of no known age",
        hint="It is connected again at once; if this goes on, look for what keeps the machine busy.",
    )


def closed(place: Place) -> LinkLostError:
    return LinkLostError(f"the connection to the Z-Wave server on {place} was closed here", hint=_AGAIN)


COMMANDS = {
    # ZWaveErrorCodes of zwave-js 15.29.0 that an installer meets; the server's own words for all others.
    200: "the stick did not answer",
    201: "the device did not answer in time",
    202: "the stick went away or dropped it; look at the device",
    203: "the stick refused to send it",
    204: "the device did not answer",
    205: "the radio channel is busy",
}
"""Why a command failed, by the server's number."""
