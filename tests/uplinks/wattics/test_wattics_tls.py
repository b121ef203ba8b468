"""The connection is verified, always, and what is wrong with it is said in plain words."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import ssl
from collections.abc import AsyncIterator, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import aiohttp
import pytest
from aiohttp import web

from meterkast.model.errors import ConfigError
from meterkast.model.time import parse_iso, zone
from meterkast.uplinks import http
from meterkast.uplinks.http_probe import tls_context
from meterkast.uplinks.wattics import Settings
from meterkast.uplinks.wattics.check import check
from meterkast.uplinks.wattics.settings import Meter
from meterkast_rig import wattics

NOW = datetime.now(UTC)
AMSTERDAM = zone("Europe/Amsterdam")
METERS = tuple(Meter(id=name, interval_min=30, meter="E") for name in ("m1", "m2", "m3"))


@contextlib.asynccontextmanager
async def https(shown: ssl.SSLContext) -> AsyncIterator[str]:
    """The address of a server that shows that certificate."""

    async def answer(request: web.Request) -> web.Response:
        return web.Response(text="fine")

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", answer)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=shown).start()
        yield f"https://localhost:{runner.addresses[0][1]}/"
    finally:
        await runner.cleanup()


async def asked(url: str, ca_file: str = "") -> str:
    """What a request gets, or the explanation of what it met."""
    async with http.session(url, ca_file=ca_file) as session:
        try:
            async with session.get(url, allow_redirects=False) as response:
                return await response.text()
        except aiohttp.ClientError as error:
            return http.explain(error, url)[0] if http.nothing_sent(error) else "in doubt"


async def test_private_authority_is_accepted_only_when_it_is_set(authority: Any) -> None:
    async with https(authority.server()) as url:
        assert await asked(url, authority.file) == "fine"
        assert "an authority that is not known here" in await asked(url)
        steps = await http.probe(url, ca_file=authority.file)
    assert [(step.name, step.ok) for step in steps] == [("DNS", True), ("TCP", True), ("TLS", True)]
    assert "certificate for localhost, issued by ours, valid until " in steps[-1].detail


WRONG: dict[str, tuple[Callable[[Any], ssl.SSLContext], str]] = {
    "name": (lambda ca: ca.server("elsewhere.example"), "is for another name"),
    "expired": (lambda ca: ca.server(until=NOW - timedelta(hours=1)), "has expired"),
    "authority": (lambda ca: type(ca)(ca.folder, "theirs").server(), "an authority that is not known here"),
}


@pytest.mark.parametrize("wrong", WRONG)
async def test_wrong_certificate_is_refused_and_named(authority: Any, wrong: str) -> None:
    shown, says = WRONG[wrong]
    async with https(shown(authority)) as url:
        assert says in await asked(url, authority.file)
        steps = await http.probe(url, ca_file=authority.file)
    assert [(step.name, step.ok) for step in steps] == [("DNS", True), ("TCP", True), ("TLS", False)]
    assert says in steps[-1].detail


async def test_tls_older_than_1_2_is_refused() -> None:
    assert http.tls_context().minimum_version is ssl.TLSVersion.TLSv1_2
    assert http.tls_context().verify_mode is ssl.CERT_REQUIRED
    assert http.tls_context().check_hostname


async def test_plain_http_on_a_tls_address_is_named() -> None:
    async with wattics.serving() as server:
        url = server.url.replace("http://", "https://")
        assert "does not speak TLS" in await asked(url)
        assert "does not speak TLS" in (await http.probe(url))[-1].detail


def test_ca_file_that_is_none_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "ca.pem"
    with pytest.raises(ConfigError, match="No such file"):
        http.tls_context(str(file))
    file.write_text("not a certificate")
    with pytest.raises(ConfigError, match="no certificate in PEM form"):
        http.tls_context(str(file))


async def test_probe_stops_at_a_name_without_an_address() -> None:
    (step,) = await http.probe("https://nowhere.invalid/")
    assert (step.name, step.ok) == ("DNS", False)
    assert "nowhere.invalid" in step.detail


async def test_probe_stops_at_a_closed_port() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))  # bound and not listening: refused
        steps = await http.probe(f"https://u:hunter2@127.0.0.1:{taken.getsockname()[1]}/")
    assert [(step.name, step.ok) for step in steps] == [("DNS", True), ("TCP", False)]
    assert "refuses the connection" in steps[-1].detail
    assert "hunter2" not in steps[-1].detail


async def test_probe_goes_through_a_proxy(authority: Any) -> None:
    seen: list[bytes] = []

    async def proxy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.append(await reader.readuntil(b"\r\n\r\n"))
        if b"Proxy-Authorization: Basic dTpw\r\n" not in seen[-1]:
            writer.write(b"HTTP/1.1 407 Who are you?\r\n\r\n")
            writer.close()
            return
        port = int(seen[-1].split(b":", 1)[1].split()[0])
        inner_reader, inner_writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await asyncio.gather(_pump(reader, inner_writer), _pump(inner_reader, writer))

    listening = await asyncio.start_server(proxy, "127.0.0.1", 0)
    host = f"127.0.0.1:{listening.sockets[0].getsockname()[1]}"
    async with listening, https(authority.server()) as url:
        steps = await http.probe(url, ca_file=authority.file, proxy=f"http://u:p@{host}")
        assert [(step.name, step.ok) for step in steps] == [
            ("DNS", True),
            ("TCP", True),
            ("PROXY", True),
            ("TLS", True),
        ]
        refused = (await http.probe(url, ca_file=authority.file, proxy=f"http://{host}"))[-1]
        assert (refused.name, refused.ok) == ("PROXY", False)
        assert "user and password" in refused.detail
        async with (
            http.session(url, ca_file=authority.file, proxy=f"http://u:p@{host}") as session,
            session.get(url) as response,
        ):
            assert await response.text() == "fine"
        async with http.session(url, proxy=f"http://{host}") as session:
            with pytest.raises(aiohttp.ClientHttpProxyError) as caught:
                await session.get(url)
        assert http.explain(caught.value, url)[0] == "the proxy asks for user and password"


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()


def test_proxy_of_the_environment_is_taken_unless_one_is_set(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("https_proxy", "http://env:1")
    monkeypatch.setenv("no_proxy", "near.example")
    assert http.proxy_for("https://h.example/") == "http://env:1"
    assert http.proxy_for("https://h.example/", "http://set:2") == "http://set:2"
    assert http.proxy_for("https://near.example/") == ""
    assert http.proxy_for("https://localhost:8069/") == http.proxy_for("https://127.0.0.1/") == ""


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"Retry-After": "17"}, 17.0),
        ({"Retry-After": "99999"}, 3600.0),
        ({"Retry-After": "-1"}, None),
        ({"Retry-After": "soon"}, None),
        ({"Retry-After": "Thu, 15 Jan 2026 12:02:00 GMT", "Date": "Thu, 15 Jan 2026 12:00:00 GMT"}, 120.0),
        ({"Retry-After": "Thu, 15 Jan 2026 11:00:00 GMT", "Date": "Thu, 15 Jan 2026 12:00:00 GMT"}, 0.0),
        ({"Retry-After": "Thu, 15 Jan 2026 12:02:00 GMT"}, None),
    ],
)
def test_retry_after_is_seconds_or_a_date_and_at_most_an_hour(
    headers: dict[str, str], seconds: float | None
) -> None:
    assert http.retry_after_s(headers) == seconds


def test_socket_notices_a_dead_link() -> None:
    address = (socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", ("127.0.0.1", 9))
    with http.dead_link_socket(address) as made:
        assert made.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) == 30_000
        assert made.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE) == 1


async def test_connection_test_reads_every_meter_and_sends_nothing() -> None:
    async with wattics.serving(username="u", password="p", meters=["m1", "m2"]) as server:
        async with http.session(server.url) as session:
            for stamp in ("2026-01-15T12:00:00.000+01:00",):
                packet = f'{{"id":"m2","tsISO8601":"{stamp}","value":1}}'
                headers = {"Authorization": http.basic("u", "p")}
                await session.post(server.url, data=packet, headers=headers)
        settings = Settings(endpoint=server.url, user="u", password="p", meters=METERS)
        steps = await check(settings, AMSTERDAM, parse_iso("2026-01-15T14:30:00+01:00"))
        posts = (await server.received())["posts"]
    assert posts == 1
    assert [(step.name, step.ok) for step in steps] == [
        ("DNS", True),
        ("TCP", True),
        ("TLS", True),
        ("m1", True),
        ("m2", True),
        ("m3", False),
    ]
    assert "no packet was received yet" in steps[3].detail
    assert "last packet 2026-01-15T12:00:00.000+01:00, 2 hours ago" in steps[4].detail
    assert "knows no meter m3" in steps[5].detail


async def test_connection_test_stops_at_a_password_all_meters_share() -> None:
    async with wattics.serving(faults="refuse_auth") as server:
        settings = Settings(endpoint=server.url, user="u", password="hunter2", meters=METERS)
        steps = await check(settings, AMSTERDAM, parse_iso("2026-01-15T14:30:00+01:00"))
    assert [(step.name, step.ok) for step in steps[3:]] == [("m1", False)]
    assert "hunter2" not in steps[-1].detail


async def test_connection_test_names_a_wrong_setting() -> None:
    (step,) = await check(
        Settings(endpoint="prodution", meters=METERS), AMSTERDAM, parse_iso("2026-01-15T14:30:00Z")
    )
    assert (step.name, step.ok) == ("SETTINGS", False)
    assert "production" in step.detail


def test_a_context_is_made_once_and_anew_when_its_file_changes(authority: Any) -> None:
    first = tls_context(authority.file)
    assert tls_context(authority.file) is first
    os.utime(authority.file, ns=(1, 1))
    assert tls_context(authority.file) is not first
