"""A connection test that sends nothing: DNS, TCP, proxy, TLS, and which certificate is shown."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import ipaddress
import os
import socket
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from meterkast.address import loopback
from meterkast.model.errors import ConfigError
from meterkast.ports.uplink import Check

STEP_S = 15.0
_PLAIN = {"http": 80, "ws": 80}


def tls_context(ca_file: str = "") -> ssl.SSLContext:
    """TLS 1.2 or newer, verified against the system's authorities and those in `ca_file` (PEM).

    Raises:
        ConfigError: The file cannot be read or holds no certificate.
    """
    return _tls_context(ca_file, _changed_ns(ca_file))


def _changed_ns(path: str) -> int:
    """When a file was written last, so that a new one counts without a restart; 0 where there is none."""
    try:
        return os.stat(path).st_mtime_ns if path else 0
    except OSError:
        return 0


@lru_cache(maxsize=4)  # the system's authorities are 2 MiB of memory in every context
def _tls_context(ca_file: str, _: int) -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file:
        # Python 3.13 also refuses certificates without key identifiers, which private authorities often leave
        # out; 3.11 does not. Chain, name and dates are verified all the same.
        context.verify_flags &= ~ssl.VERIFY_X509_STRICT
        try:
            context.load_verify_locations(cadata=Path(ca_file).read_text(encoding="ascii"))
        except (OSError, ValueError, ssl.SSLError) as error:
            cause = (
                error.strerror if isinstance(error, OSError) and not isinstance(error, ssl.SSLError) else None
            )
            raise ConfigError(
                f'ca_file = "{ca_file}" cannot be used: {cause or "it holds no certificate in PEM form"}',
                hint="Give the path of a readable PEM file (it begins with -----BEGIN CERTIFICATE-----).",
            ) from error
    return context


def proxy_for(url: str, proxy: str = "") -> str:
    """The proxy on the way to `url`: the one set, the environment's (https_proxy, no_proxy), or none."""
    if proxy:
        return proxy
    parts = urlsplit(url)
    if not parts.hostname or loopback(parts.hostname) or proxy_bypass(parts.hostname):
        return ""
    return getproxies().get({"ws": "http", "wss": "https"}.get(parts.scheme, parts.scheme), "")


async def probe(url: str, *, ca_file: str = "", proxy: str = "") -> list[Check]:
    """What can be seen on the way to `url` without asking it anything; stops at the first step that fails.

    Args:
        url: http, https, ws or wss.
        ca_file, proxy: As `session` takes them.

    Returns:
        DNS, TCP, with a proxy PROXY, and TLS with the certificate's subject, issuer and end. DNS and TCP are
        the proxy's where there is one.
    """
    found: list[Check] = []
    through = proxy_for(url, proxy)
    hop, step = through or url, "DNS"
    writer: asyncio.StreamWriter | None = None
    try:
        parts = urlsplit(hop)
        host, port = parts.hostname or "", parts.port or _PLAIN.get(parts.scheme, 443)
        found.append(await _dns(host, port))
        step = "TCP"
        async with asyncio.timeout(STEP_S):
            reader, writer = await asyncio.open_connection(host, port)
        found.append(Check(name="TCP", ok=True, detail=f"{host}:{port} accepts connections"))
        if through and urlsplit(url).scheme not in _PLAIN:
            step = "PROXY"
            found.append(await _connect(reader, writer, through, url))
        step = "TLS"
        hop = url
        found.append(await _tls(writer, url, ca_file))
    except (OSError, ssl.SSLError, TimeoutError, ValueError, asyncio.IncompleteReadError) as error:
        from meterkast.uplinks.http_errors import explain

        message, hint = explain(error, hop)
        found.append(Check(name=step, ok=False, detail=f"{message}. {hint}"))
    except ConfigError as error:
        found.append(Check(name=step, ok=False, detail=f"{error}. {error.hint}"))
    finally:
        if writer is not None:
            writer.close()
            with contextlib.suppress(OSError, ssl.SSLError, TimeoutError):
                async with asyncio.timeout(2):
                    await writer.wait_closed()
    return found


async def _dns(host: str, port: int) -> Check:
    try:
        ipaddress.ip_address(host)
        return Check(name="DNS", ok=True, detail=f"{host} is an address already")
    except ValueError:
        pass
    async with asyncio.timeout(STEP_S):
        found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    return Check(name="DNS", ok=True, detail=f"{host} is {', '.join(addresses)}")


async def _connect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, proxy: str, url: str) -> Check:
    """A tunnel through the proxy, as for https (RFC 9110, 9.3.6)."""
    parts, ours = urlsplit(url), urlsplit(proxy)
    if ours.scheme != "http":
        raise ConfigError("a proxy is reached by http://", hint="Write proxy as http://host:port.")
    target = f"{parts.hostname}:{parts.port or _PLAIN.get(parts.scheme, 443)}"
    head = f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n"
    if ours.username:
        pair = f"{unquote(ours.username)}:{unquote(ours.password or '')}"
        head += f"Proxy-Authorization: Basic {base64.b64encode(pair.encode()).decode('ascii')}\r\n"
    writer.write(f"{head}\r\n".encode())
    async with asyncio.timeout(STEP_S):
        answer = await reader.readuntil(b"\r\n\r\n")
    status = answer.split(b"\r\n", 1)[0].decode("latin-1").partition(" ")[2]
    if not status.startswith("2"):
        raise ConfigError(
            f"the proxy does not let through to {target}: {status[:80]}",
            hint="Ask who runs the proxy to allow that host."
            if not status.startswith("407")
            else "Write user and password in the setting `proxy`: http://user:password@host:port.",
        )
    return Check(name="PROXY", ok=True, detail=f"{ours.hostname}:{ours.port or 80} lets through to {target}")


async def _tls(writer: asyncio.StreamWriter, url: str, ca_file: str) -> Check:
    parts = urlsplit(url)
    if parts.scheme in _PLAIN:
        return Check(name="TLS", ok=True, detail=f"not used: the address begins with {parts.scheme}://")
    async with asyncio.timeout(STEP_S):
        await writer.start_tls(tls_context(ca_file), server_hostname=parts.hostname)
    certificate = writer.get_extra_info("peercert") or {}
    return Check(
        name="TLS",
        ok=True,
        detail=f"{writer.get_extra_info('ssl_object').version()}, certificate for "
        f"{_name(certificate.get('subject'))}, issued by {_name(certificate.get('issuer'))}, "
        f"valid until {certificate.get('notAfter', 'unknown')}",
    )


def _name(name: Any) -> str:
    """Common name and organisation of what `ssl` gives as nested tuples, typed nowhere."""
    parts = {key: value for group in name or () for key, value in group}
    shown = [parts[key] for key in ("commonName", "organizationName") if key in parts]
    return ", ".join(shown) or "nobody named"
