"""Who is answered, and who is cut off."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest
from aiohttp import web

from meterkast.config.sections import Page
from meterkast.model.errors import ConfigError
from meterkast.web.guard import CONNECTIONS, Gate
from meterkast.web.rules import hosts
from meterkast.web.server import serve

from .house import House

Server = web.Server
FOREIGN = ["evil.example", "localhost.evil.example", "[::2]", "127.0.0.1.evil.example", "10.0.0.1"]


@pytest.mark.parametrize("host", ["localhost", "LOCALHOST:9000", "127.0.0.1", "[::1]:8080", "localhost."])
async def test_own_names_are_answered(house: House, host: str) -> None:
    assert (await house.get("/healthz", headers={"Host": host}))[0] == 200


@pytest.mark.parametrize("host", FOREIGN)
@pytest.mark.parametrize("path", ["/", "/events", "/api/status", "/nowhere"])
async def test_any_other_name_is_misdirected(house: House, host: str, path: str) -> None:
    assert (await house.get(path, headers={"Host": host}))[0] == 421


def test_configured_names_and_the_bound_address_are_allowed() -> None:
    allowed = hosts(Page(host="192.168.4.1", allowed_hosts=("Gateway.local",)))
    assert {"gateway.local", "192.168.4.1", "localhost"} <= allowed


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH", "TRACE"])
async def test_nothing_but_reading_is_answered(house: House, method: str) -> None:
    async with house.client.request(method, house.url) as answer:
        assert answer.status == 405
        assert answer.headers["Allow"] == "GET, HEAD"


async def test_a_body_is_refused_unread(house: House) -> None:
    assert (await house.get("/", data=b"x" * 100_000))[0] == 413


async def test_every_answer_carries_the_strict_headers(house: House) -> None:
    for path in ("/", "/nowhere", "/static/page.css", "/api/status", "/api/half-hours", "/metrics"):
        async with house.client.get(house.url.rstrip("/") + path) as answer:
            policy = answer.headers["Content-Security-Policy"]
            assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';"), path
            assert "unsafe" not in policy
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Referrer-Policy"] == "no-referrer"
            assert "aiohttp" not in answer.headers["Server"]


async def test_a_head_has_no_body_and_opens_no_stream(house: House) -> None:
    for path in ("", "events", "healthz"):
        async with house.client.head(house.url + path) as answer:
            assert answer.status == 200
            assert await answer.read() == b""


async def test_static_files_are_a_list_and_no_folder(house: House) -> None:
    for path in ("/static/README.md", "/static/..%2Fserver.py", "/static/%2e%2e/server.py", "/static/"):
        assert (await house.get(path))[0] == 404, path


async def test_a_failing_page_shows_no_trace(house: House, caplog: pytest.LogCaptureFixture) -> None:
    house.snapshot = None
    status, body = await house.get("/")
    assert (status, "Traceback" in body, "NoneType" in body) == (500, False, False)
    assert "page failed" in caplog.text


@pytest.mark.parametrize("path", ["/nowhere", "/static/nothing.js", "/api/nowhere"])
async def test_an_address_that_is_not_there_leads_to_the_page(house: House, path: str) -> None:
    status, body = await house.get(path)
    assert status == 404
    assert "The status page is at /." in body
    assert body.startswith('{"error":') == path.startswith("/api/")


async def test_a_store_that_refuses_is_logged_with_its_reason(
    house: House, caplog: pytest.LogCaptureFixture
) -> None:
    await house.store.close()
    assert (await house.get("/api/half-hours?property=3"))[0] == 503
    (told,) = [record for record in caplog.records if record.getMessage() == "page cannot answer"]
    assert vars(told)["reason"]


async def cut_off(reader: asyncio.StreamReader) -> bool:
    """Whether the server ended the connection without an answer."""
    try:
        return await reader.read(1) == b""
    except ConnectionError:
        return True


async def plain_server(gate: Callable[[Server], Gate]) -> tuple[asyncio.Server, int, Server]:
    async def answer(request: web.BaseRequest) -> web.Response:
        return web.Response(text="ok")

    server = web.Server(answer)
    listener = await asyncio.get_running_loop().create_server(gate(server), "127.0.0.1", 0)
    return listener, listener.sockets[0].getsockname()[1], server


async def test_headers_that_never_end_are_cut_off() -> None:
    listener, port, server = await plain_server(lambda inner: Gate(inner, header_s=0.2))
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET / HTTP/1.1\r\nHost: localhost\r\n")
    assert await cut_off(reader)
    writer.close()
    listener.close()
    await server.shutdown(0)


async def test_headers_in_pieces_are_answered() -> None:
    listener, port, server = await plain_server(Gate)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    for piece in (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r", b"\n"):
        writer.write(piece)
        await writer.drain()
        await asyncio.sleep(0.02)
    assert (await reader.readline()).startswith(b"HTTP/1.1 200")
    writer.close()
    listener.close()
    await server.shutdown(0)


async def test_one_connection_too_many_is_cut_off_and_the_others_stay(house: House) -> None:
    port = int(house.url.rstrip("/").rpartition(":")[2])
    opened = [await asyncio.open_connection("127.0.0.1", port) for _ in range(CONNECTIONS)]
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    assert await cut_off(reader)
    writer.close()
    first_reader, first_writer = opened[0]
    first_writer.write(b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n")
    assert (await first_reader.readline()).startswith(b"HTTP/1.1 200")
    for _, each in opened:
        each.close()


async def test_a_taken_port_is_named(house: House) -> None:
    port = int(house.url.rstrip("/").rpartition(":")[2])
    with pytest.raises(ConfigError, match=f"page.port = {port}"):
        await serve(web.Application(), Page(port=port))
