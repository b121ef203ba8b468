"""The connection to RESET: far ends that freeze, hang up, or stand behind a proxy with a CA of their own.

Whatever they do, it ends within seconds and leaves no task behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import ssl
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from meterkast.model.errors import MisconfiguredError, NotDeliveredError
from meterkast.uplinks.reset.session import Session
from meterkast.uplinks.socketio import Connection
from meterkast_rig import reset

LIMIT_S = 30  # only against hanging

Message = dict[str, Any]
Answer = Callable[[str, Message], Awaitable[None]]


async def test_frozen_far_end_is_torn_down_the_hard_way_and_found_again(gateway: Any, secret: str) -> None:
    async with reset.serving(client_secret=secret) as server, gateway(server.url) as uplink:
        await uplink.deliver(1)
        server.pause()
        with pytest.raises(NotDeliveredError) as caught:
            await uplink.deliver(2)
        assert caught.value.in_doubt
        with pytest.raises(NotDeliveredError):
            await uplink.deliver(2)
        server.resume()
        await uplink.deliver(2)


async def test_frozen_far_end_with_much_queued_cannot_hold_the_gateway(
    secret: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "meterkast")
    async with reset.serving(client_secret=secret) as server:
        lost: list[str] = []
        open_before = len(os.listdir("/dev/fd"))
        connection = Connection(
            server.origin,
            "/v2",
            transport="websocket",
            ca_file="",
            proxy="",
            events=(),
            on_event=lambda event, said: None,
            on_lost=lost.append,
        )
        await connection.open(5)
        server.pause()
        for _ in range(40):
            await connection.send("readings", json.dumps("x" * 200_000))
        await asyncio.wait_for(connection.close(), LIMIT_S)
        async with asyncio.timeout(LIMIT_S):  # the event loop closes the socket some turns later
            while True:
                if len(os.listdir("/dev/fd")) <= open_before:
                    break
                await asyncio.sleep(0.01)
        assert not connection.alive
        assert lost == []  # it was closed, not lost
        (told,) = [one for one in caplog.records if one.getMessage() == "connection ended the hard way"]
        assert vars(told)["reason"] == "TimeoutError"


@pytest.mark.parametrize(
    "answer",
    [
        b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nlogi",
        b"220 mail.example.org ESMTP\r\n",
        b"",
    ],
    ids=["no socket.io there", "captive portal", "mail server", "hangs up"],
)
@pytest.mark.parametrize("transport", ["websocket", "polling"])
async def test_far_end_that_is_no_socketio_server_is_told_plainly(
    gateway: Any, listening: Any, answer: bytes, transport: str
) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with listening(say) as port, gateway(f"http://127.0.0.1:{port}/v2", transport=transport) as uplink:
        with pytest.raises(NotDeliveredError) as caught:
            await uplink.deliver()
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert not caught.value.in_doubt
    assert caught.value.hint


async def test_far_end_that_accepts_and_says_nothing_is_given_up(gateway: Any, listening: Any) -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(LIMIT_S)

    async with (
        listening(wait) as port,
        gateway(f"http://127.0.0.1:{port}/v2", connect_timeout_s=0.3) as uplink,
    ):
        with pytest.raises(NotDeliveredError, match="in time"):
            await uplink.deliver()


async def test_stop_while_connecting_leaves_nothing_behind(gateway: Any, listening: Any) -> None:
    accepted = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await asyncio.sleep(LIMIT_S)

    async with listening(wait) as port, gateway(f"http://127.0.0.1:{port}/v2") as uplink:
        delivering = asyncio.create_task(uplink.deliver())
        await accepted.wait()
        delivering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivering


async def test_wrong_namespace_names_itself(far_end: Any, gateway: Any) -> None:
    async with far_end.serving(), gateway(far_end.url.replace("/v2", "/v3")) as uplink:
        with pytest.raises(MisconfiguredError, match="no namespace /v3"):
            await uplink.deliver()


@pytest.fixture
def certificate(authority: Any) -> tuple[Path, ssl.SSLContext]:
    """An authority that nobody knows, and a server's context with its certificate for localhost."""
    return Path(authority.file), authority.server()


async def test_authority_of_ones_own_is_trusted_when_it_is_named(
    far_end: Any, gateway: Any, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    cert, context = certificate
    async with far_end.serving(context):
        async with gateway(far_end.url) as stranger:
            with pytest.raises(NotDeliveredError, match="authority that is not known"):
                await stranger.deliver()
        async with gateway(far_end.url, ca_file=str(cert)) as uplink:
            assert await uplink.deliver()


async def test_ca_file_that_is_none_is_a_matter_of_settings(gateway: Any, tmp_path: Path) -> None:
    async with gateway("https://127.0.0.1:1/v2", ca_file=str(tmp_path / "none.pem")) as uplink:
        with pytest.raises(MisconfiguredError, match="ca_file"):
            await uplink.deliver()


async def test_proxy_is_gone_through(
    far_end: Any, gateway: Any, listening: Any, certificate: tuple[Path, ssl.SSLContext]
) -> None:
    cert, context = certificate
    asked: list[str] = []

    async def tunnel(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        asked.append(head.split("\r\n")[0])
        host, _, port = head.split()[1].rpartition(":")
        inner_reader, inner_writer = await asyncio.open_connection(host, int(port))
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                while piece := await source.read(65_536):
                    sink.write(piece)
            sink.close()

        try:
            await asyncio.gather(pump(reader, inner_writer), pump(inner_reader, writer))
        finally:
            inner_writer.close()
            await asyncio.wait([asyncio.ensure_future(inner_writer.wait_closed())], timeout=1)

    async with far_end.serving(context), listening(tunnel) as port:
        proxy = f"http://127.0.0.1:{port}"
        async with gateway(far_end.url, ca_file=str(cert), proxy=proxy) as uplink:
            assert await uplink.deliver()
        host = far_end.url.removeprefix("https://").removesuffix("/v2")
        assert asked == [f"CONNECT {host} HTTP/1.1"]


async def test_a_session_that_failed_is_not_used_again(far_end: Any, gateway: Any, secret: str) -> None:
    async with far_end.serving(), gateway(far_end.url) as uplink:
        session = Session(uplink.settings, secret)
        await session.connect()
        await session.authenticate()
        assert session.alive
        await session.close()
        assert not session.alive
        with pytest.raises(NotDeliveredError) as caught:
            await session.ask("readings", "{}", "id")
        assert not caught.value.in_doubt
        await session.close()  # twice is harmless
