"""HTTP for every uplink: the one place where aiohttp is imported, and one session made the same way for all.

What must never differ between uplinks is here: TLS 1.2 or newer and always verified, dead connections
noticed within half a minute, cookies kept. The caller's own duty is `allow_redirects=False`: aiohttp turns a
POST into a GET on 301 and 302 and would report that GET's 200 as success.
"""

from __future__ import annotations

import base64
import logging
import socket
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import SimpleNamespace

from meterkast.lean import aiohttp
from meterkast.model.errors import ConfigError
from meterkast.model.time import from_datetime
from meterkast.ports.clock import Clock
from meterkast.uplinks.http_errors import explain as explain
from meterkast.uplinks.http_errors import nothing_sent as nothing_sent
from meterkast.uplinks.http_errors import where as where
from meterkast.uplinks.http_errors import without_secrets as without_secrets
from meterkast.uplinks.http_probe import probe as probe
from meterkast.uplinks.http_probe import proxy_for as proxy_for
from meterkast.uplinks.http_probe import tls_context as tls_context

log = logging.getLogger(__name__)

CONNECT_S = 15.0  # DNS, TCP and TLS; a slow mobile link needs up to 10
MOST_CONNECTIONS = 32
DEAD_AFTER_S = 30  # sent data that nobody acknowledges for so long: the link is gone
LONGEST_WAIT_S = 3600.0  # a far end that asks for more is asked again after an hour all the same


def session(
    url: str, *, ca_file: str = "", proxy: str = "", timeout_s: float = 30.0, clock: Clock | None = None
) -> aiohttp.ClientSession:
    """A session for one far end; the caller closes it.

    Args:
        url: The far end. The environment's proxy is looked up here, once: aiohttp would do so at every
            request and read ~/.netrc too, which an Authorization header collides with.
        ca_file: PEM file with certificates to trust besides the system's.
        proxy: Address of a proxy, `http://user:password@host:port`; empty takes the environment's.
        timeout_s: Total time of one request.
        clock: Is told the `Date` of every answer over TLS.

    Raises:
        ConfigError: `ca_file` cannot be used.
    """
    through = proxy_for(url, proxy) or None
    plain = url.startswith("http://") and through is None
    connector = aiohttp.TCPConnector(
        ssl=True if plain else tls_context(ca_file),
        socket_factory=dead_link_socket,
        limit=MOST_CONNECTIONS,
        keepalive_timeout=75.0,
    )
    return aiohttp.ClientSession(
        connector=connector,
        proxy=through,
        timeout=aiohttp.ClientTimeout(total=timeout_s, connect=CONNECT_S, sock_connect=CONNECT_S),
        # Platforms that count a cookie as their session include hosts given by address (the rig's).
        cookie_jar=aiohttp.CookieJar(unsafe=True),
        trace_configs=None if clock is None else [_dates(clock)],
    )


def _dates(clock: Clock) -> aiohttp.TraceConfig:
    """Tells the clock what time a far end says it is, where TLS proves that it is that far end."""
    trace = aiohttp.TraceConfig()

    async def asked(_: object, context: SimpleNamespace, params: object) -> None:
        context.asked_ns = clock.boot_ns()

    async def answered(_: object, context: SimpleNamespace, params: aiohttp.TraceRequestEndParams) -> None:
        date = _http_date(params.response.headers.get("Date", ""))
        if date is not None and params.url.scheme in ("https", "wss"):
            clock.told(from_datetime(date), context.asked_ns, clock.boot_ns(), params.url.host or "")

    # Not the request's start: to connect takes longer than anything after it.
    trace.on_request_headers_sent.append(asked)
    trace.on_request_end.append(answered)
    return trace


async def ask_date(url: str, *, ca_file: str, proxy: str, clock: Clock) -> None:
    """Ask a far end for nothing but its `Date`, for the clock; where it does not answer nothing is said."""
    if not url.startswith(("https://", "wss://")):
        return
    plain = "https://" + url.partition("://")[2]
    try:
        async with (
            session(plain, ca_file=ca_file, proxy=proxy, timeout_s=CONNECT_S, clock=clock) as one,
            one.head(plain, allow_redirects=False),
        ):
            pass
    except (aiohttp.ClientError, OSError, ValueError, ConfigError) as error:
        log.debug("no date", extra={"from": where(plain), "reason": type(error).__name__})


def basic(user: str, password: str) -> str:
    """The value of an Authorization header for Basic authentication (RFC 7617, UTF-8).

    Sent as a header from the first request on; `aiohttp.BasicAuth` is deprecated since 3.14.
    """
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode("ascii")


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """How long the far end asks to be left alone, in seconds, at most an hour; None where it does not say.

    An HTTP date is counted from the answer's own `Date`, so that neither side's clock matters; without one
    it says nothing. Source: RFC 9110, 10.2.3.
    """
    text = headers.get("Retry-After", "").strip()
    if not text:
        return None
    if text.isascii() and text.isdigit():
        return min(float(text), LONGEST_WAIT_S)
    until, now = _http_date(text), _http_date(headers.get("Date", ""))
    if until is None or now is None:
        return None
    return min(max((until - now).total_seconds(), 0.0), LONGEST_WAIT_S)


def _http_date(text: str) -> datetime | None:
    try:
        moment = parsedate_to_datetime(text)
    except (TypeError, ValueError):
        return None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def dead_link_socket(address: aiohttp.AddrInfoType) -> socket.socket:
    """A socket that notices a dead link.

    Without TCP_USER_TIMEOUT a half-open connection with data in its send buffer hangs for up to 15 minutes,
    and closing it hangs too (measured with python-socketio; `socket_factory` needs aiohttp 3.12).
    """
    family, kind, protocol, _, _ = address
    made = socket.socket(family, kind, protocol)
    made.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, value in (
        (socket.TCP_KEEPIDLE, DEAD_AFTER_S),
        (socket.TCP_KEEPINTVL, 10),
        (socket.TCP_KEEPCNT, 3),
        (socket.TCP_USER_TIMEOUT, DEAD_AFTER_S * 1000),
    ):
        made.setsockopt(socket.IPPROTO_TCP, option, value)
    return made
