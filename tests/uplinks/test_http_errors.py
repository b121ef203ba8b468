"""What went wrong on the way to a platform is told in words, with a cure and without secrets."""

from __future__ import annotations

import errno
import socket
import ssl

import aiohttp
import pytest
from yarl import URL

from meterkast.uplinks import http

PLATFORM = "https://user:hunter2@platform.example/path"


def refused(code: int) -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_code, error.verify_message = code, "some reason"
    return error


def failed(reason: str) -> ssl.SSLError:
    error = ssl.SSLError(1, "failed")
    error.reason = reason
    return error


def caused(cause: BaseException) -> aiohttp.ClientError:
    error = aiohttp.ClientError("wrapped")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("error", "says", "cure"),
    [
        (OSError(errno.EHOSTUNREACH, "x"), "platform.example:443 cannot be reached", "network cable"),
        (OSError(errno.ENETUNREACH, "x"), "cannot be reached: no network", "mobile link"),
        (OSError(errno.ETIMEDOUT, "x"), "does not answer", "firewall"),
        (OSError(errno.ECONNRESET, "x"), "cut the connection", "tried again"),
        (socket.gaierror(socket.EAI_AGAIN, "x"), "cannot be looked up now", "DNS server"),
        (socket.gaierror(socket.EAI_NONAME, "x"), "platform.example has no address in DNS", "spelling"),
        (refused(9), "is not valid yet", "gateway's clock"),
        (refused(99), "is refused: some reason", "ca_file"),
        (failed("TLSV1_ALERT_PROTOCOL_VERSION"), "older than TLS 1.2", "renewed"),
        (failed("BAD_RECORD"), "TLS with platform.example:443 failed: BAD_RECORD", "firewall"),
        (failed(""), "no reason given", "address"),
        (TimeoutError(), "did not answer in time", "network"),
        (aiohttp.ServerDisconnectedError(), "cut the connection", "firewall"),
        (aiohttp.InvalidURL("x"), "is not an address", "https://host/path"),
        (ValueError(f"odd {PLATFORM}"), "ValueError: odd https://platform.example/path", "tried again"),
        (caused(OSError(errno.ECONNREFUSED, "x")), "refuses the connection", "host and port"),
        (ExceptionGroup("all", [OSError(errno.EPIPE, "x")]), "cut the connection", "firewall"),
    ],
    ids=lambda part: type(part).__name__ if isinstance(part, BaseException) else "",
)
def test_each_trouble_has_its_words_and_its_cure(error: BaseException, says: str, cure: str) -> None:
    message, hint = http.explain(error, PLATFORM)
    assert says in message
    assert cure in hint
    assert "hunter2" not in message + hint


def test_what_a_far_end_sent_is_told_short_and_on_one_line() -> None:
    message, _ = http.explain(aiohttp.ClientError("bad\n  line: " + "y" * 9000), PLATFORM)
    assert message.startswith("platform.example:443: ClientError: bad line: yyy")
    assert len(message) < 400


@pytest.mark.parametrize(
    ("status", "says", "cure"),
    [(407, "asks for user and password", "setting `proxy`"), (403, "status 403", "runs the proxy")],
)
def test_a_proxy_that_refuses_is_told_as_the_proxy(status: int, says: str, cure: str) -> None:
    request = aiohttp.RequestInfo(URL(PLATFORM), "CONNECT", {}, URL(PLATFORM))
    message, hint = http.explain(aiohttp.ClientHttpProxyError(request, (), status=status), PLATFORM)
    assert says in message
    assert cure in hint


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        (PLATFORM, "platform.example:443"),
        ("http://platform.example", "platform.example:80"),
        ("wss://platform.example:8069/v2", "platform.example:8069"),
        ("https://platform.example:port", "the address"),
        ("nonsense", "the address"),
    ],
)
def test_an_address_is_shown_as_host_and_port(url: str, shown: str) -> None:
    assert http.where(url) == shown
