"""What went wrong on the way to a far end, in words a person can act on."""

from __future__ import annotations

import errno
import re
import socket
import ssl
from collections.abc import Iterator
from urllib.parse import urlsplit

from meterkast.lean import aiohttp

# Codes of OpenSSL's certificate verification, x509_vfy.h.
_EXPIRED, _NOT_YET_VALID = 10, 9
_SELF_SIGNED = (18, 19)
_UNKNOWN_ISSUER = (2, 20, 21)
_WRONG_NAME = (62, 64)

_WORDS_CHARACTERS = 300

_ERRNO: dict[int, tuple[str, str]] = {
    errno.ECONNREFUSED: (
        "{at} refuses the connection",
        "Nothing listens there, or a firewall refuses it. Check host and port.",
    ),
    errno.EHOSTUNREACH: (
        "{at} cannot be reached",
        "Check the network cable, the gateway's router and its firewall.",
    ),
    errno.ENETUNREACH: ("{at} cannot be reached: no network", "Check the network cable or mobile link."),
    errno.ETIMEDOUT: (
        "{at} does not answer",
        "Check the network; a firewall may drop the connection silently.",
    ),
    errno.ECONNRESET: (
        "{at} cut the connection",
        "It is tried again. If it stays so, a firewall may be in between.",
    ),
    errno.EPIPE: (
        "{at} cut the connection",
        "It is tried again. If it stays so, a firewall may be in between.",
    ),
    errno.ECONNABORTED: (
        "the connection to {at} was cut",
        "It is tried again. Check the network if it stays so.",
    ),
}


def explain(error: BaseException, url: str) -> tuple[str, str]:
    """What happened, and what to do about it.

    Args:
        error: As caught; its causes and contexts are looked through.
        url: Where to; user and password in it are never shown.

    Returns:
        Message and hint, in plain words and without secrets.
    """
    at = where(url)
    for link in chain(error):
        if isinstance(link, aiohttp.ClientProxyConnectionError):
            return (
                f"the proxy {link.host}:{link.port} cannot be reached",
                "Check the setting `proxy`, or the environment's https_proxy.",
            )
        if isinstance(link, aiohttp.ClientHttpProxyError):
            return _proxy_answered(link.status, at)
        if found := _tls(link, at) or _network(link, at):
            return found
    if any(isinstance(link, TimeoutError) for link in chain(error)):
        return f"{at} did not answer in time", "It is tried again. Check the network if it stays so."
    if any(
        isinstance(link, aiohttp.ServerDisconnectedError | aiohttp.ClientPayloadError)
        for link in chain(error)
    ):
        return f"{at} cut the connection", "It is tried again. If it stays so, a firewall may be in between."
    if isinstance(error, aiohttp.InvalidURL):
        return f"{at} is not an address", "Write it as https://host/path."
    # aiohttp repeats what the far end sent, over several lines and up to 8 KB of it.
    words = " ".join(without_secrets(str(error)).split())[:_WORDS_CHARACTERS]
    return f"{at}: {type(error).__name__}: {words}", "It is tried again."


def nothing_sent(error: BaseException) -> bool:
    """Whether the request certainly never left: the connection was not even made."""
    return any(
        isinstance(
            link,
            aiohttp.ClientConnectorError
            | aiohttp.ClientConnectorCertificateError
            | aiohttp.ConnectionTimeoutError
            | aiohttp.ClientHttpProxyError
            | aiohttp.InvalidURL,
        )
        for link in chain(error)
    )


def where(url: str) -> str:
    """Host and port of an address, without user and password."""
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError:
        return "the address"
    if not host:
        return "the address"
    return f"{host}:{port or (80 if parts.scheme in ('http', 'ws') else 443)}"


def without_secrets(text: str) -> str:
    """The text without the user and password of any address in it."""
    return re.sub(r"//[^/@\s]*@", "//", text)


def chain(error: BaseException) -> Iterator[BaseException]:
    """The error and everything it came from, the outermost first, each once."""
    seen: set[int] = set()
    waiting: list[BaseException | None] = [error]
    while waiting:
        link = waiting.pop(0)
        if link is None or id(link) in seen:
            continue
        seen.add(id(link))
        yield link
        # aiohttp keeps the cause in attributes too, with or without chaining it.
        for name in ("os_error", "certificate_error"):
            inner = getattr(link, name, None)
            waiting.append(inner if isinstance(inner, BaseException) else None)
        if isinstance(link, BaseExceptionGroup):
            waiting.extend(link.exceptions)
        waiting += [link.__cause__, link.__context__]


def _tls(error: BaseException, at: str) -> tuple[str, str] | None:
    if isinstance(error, aiohttp.ClientError):
        return None  # it calls itself an SSLError and has none of its attributes; the real one is its cause
    if isinstance(error, ssl.SSLCertVerificationError):
        code = error.verify_code
        if code in _WRONG_NAME:
            return (
                f"TLS: the certificate shown by {at} is for another name",
                "Check the host name; a firewall or a hotel's portal may be answering in its place.",
            )
        if code == _EXPIRED:
            return (
                f"TLS: the certificate of {at} has expired",
                "Check the gateway's clock; if it is right, tell whoever runs that server.",
            )
        if code == _NOT_YET_VALID:
            return f"TLS: the certificate of {at} is not valid yet", "Check the gateway's clock."
        if code in (*_SELF_SIGNED, *_UNKNOWN_ISSUER):
            return (
                f"TLS: the certificate of {at} is signed by an authority that is not known here",
                "Set ca_file to that authority's certificate (PEM) if it is yours; "
                "else a firewall may be opening the connection.",
            )
        return (
            f"TLS: the certificate of {at} is refused: {error.verify_message}",
            "Check the host name and ca_file.",
        )
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if reason in ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "RECORD_LAYER_FAILURE"):
            return f"{at} does not speak TLS", "Check the port; http:// and https:// have different ones."
        if "PROTOCOL" in reason:
            return (
                f"TLS: {at} offers only versions older than TLS 1.2",
                "It must be renewed; TLS 1.2 is the least.",
            )
        return (
            f"TLS with {at} failed: {reason or 'no reason given'}",
            "Check the address and any firewall in between.",
        )
    return None


def _network(error: BaseException, at: str) -> tuple[str, str] | None:
    host = at.rpartition(":")[0] or at
    if isinstance(error, socket.gaierror):
        if error.errno == socket.EAI_AGAIN:
            return f"{host}: the name cannot be looked up now", "Check the network and its DNS server."
        return (
            f"{host} has no address in DNS",
            "Check the spelling of the host name, and the network's DNS server.",
        )
    if isinstance(error, OSError) and error.errno in _ERRNO:
        message, hint = _ERRNO[error.errno]
        return message.format(at=at), hint
    return None


def _proxy_answered(status: int, at: str) -> tuple[str, str]:
    if status == 407:
        return (
            "the proxy asks for user and password",
            "Write them in the setting `proxy`: http://user:password@host:port.",
        )
    return (
        f"the proxy does not let through to {at}: status {status}",
        "Ask who runs the proxy to allow that host.",
    )
