"""The connection to RESET: far ends that freeze, hang up, talk nonsense, or stand behind a proxy with a CA of
their own. Whatever they do, it ends within seconds and leaves no task behind.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import engineio.base_client
import pytest
import socketio
from aiohttp import web

from meterkast import config
from meterkast.clock import SystemClock
from meterkast.model.delivery import Item, ItemId
from meterkast.model.errors import MisconfiguredError, NotDeliveredError, RejectedError
from meterkast.model.time import Grid, UtcMs, zone
from meterkast.ports import Store, Uplink
from meterkast.uplinks.context import Context
from meterkast.uplinks.reset import Settings, create
from meterkast.uplinks.reset.session import Session
from meterkast.uplinks.socketio import Connection
from meterkast_rig import reset

LIMIT_S = 30  # only against hanging
SECRET = "s3cret-of-the-test"
OK = {"code": "10200", "message": "Authentication succeeded.", "api_version": "v2"}
PAYLOAD = (
    b'{"connection_id":"M1","reading_time":"2026-01-15T12:00:00.000+01:00",'
    b'"power_consumption":[{"channel_id":"c01","reading":84.270}]}'
)

Message = dict[str, Any]
Answer = Callable[[str, Message], Awaitable[None]]
"""Sends an event back."""


@pytest.fixture(autouse=True)
async def nothing_left() -> AsyncIterator[None]:
    """When a test is over, nothing of its connections may be left."""
    before = asyncio.all_tasks()
    yield
    # A server's own; python-engineio leaves them to sleep until the next ping.
    servers = [task for task in asyncio.all_tasks() if "AsyncSocket." in repr(task.get_coro())]
    for task in servers:
        task.cancel()
    await asyncio.gather(*servers, return_exceptions=True)
    assert asyncio.all_tasks() - before - {asyncio.current_task()} == set()
    assert engineio.base_client.connected_clients == []


class Memory:
    """The one part of a store that an uplink uses."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, str], str] = {}

    async def get_state(self, scope: str, key: str) -> str | None:
        return self.texts.get((scope, key))

    async def set_state(self, scope: str, key: str, text: str) -> None:
        self.texts[scope, key] = text


def settings(url: str, **keys: Any) -> Settings:
    tree: dict[str, Any] = {
        "url": url,
        "client_id": "demo",
        "client_secret": SECRET,
        "connect_timeout_s": 2,
        "auth_timeout_s": 2,
        "ack_timeout_s": 2,
        "stray_wait_s": 0.1,
        "monitors": [
            {
                "connection_id": "M1",
                "module": "energy",
                "brand": "b",
                "sku": "s",
                "serial": "1",
                "channels": [{"id": "c01", "readings": {"power_consumption": "e/i"}}],
            }
        ],
    }
    return config.decode(Settings, tree | keys, "uplinks.reset")


@asynccontextmanager
async def gateway(url: str, **keys: Any) -> AsyncIterator[Uplink]:
    context = Context(
        device_id="mk-test",
        grid=Grid(zone("Europe/Amsterdam")),
        clock=SystemClock(),
        store=cast(Store, Memory()),
        random=lambda: 0.0,
    )
    uplink = create(settings(url, **keys), context)
    try:
        yield uplink
    finally:
        await asyncio.wait_for(uplink.close(), LIMIT_S)


def item(number: int = 1) -> Item:
    return Item(id=ItemId(number), uplink="reset", stream="M1", at_ms=UtcMs(number), payload=PAYLOAD)


async def deliver(uplink: Uplink, *items: Item) -> str:
    return await asyncio.wait_for(uplink.deliver("M1", items or [item()]), LIMIT_S)


class FarEnd:
    """A Socket.IO server that does what a test says, where the stand-in does what the document says."""

    def __init__(self) -> None:
        self.server = socketio.AsyncServer(async_mode="aiohttp")
        self.heard: list[tuple[str, Message]] = []
        self.on: dict[str, Callable[[Message, Answer], Awaitable[None]]] = {}
        self.url = ""
        for event in ("auth", "monitors", "readings"):
            self.server.on(event, self._taker(event), namespace="/v2")

    async def part(self) -> None:
        """Disconnect everyone."""
        for sid, _ in list(self.server.manager.get_participants("/v2", None)):
            await self.server.disconnect(sid, namespace="/v2")

    def _taker(self, event: str) -> Callable[[str, Message], Awaitable[None]]:
        async def take(sid: str, message: Message) -> None:
            self.heard.append((event, message))

            async def answer(name: str, said: Message) -> None:
                await self.server.emit(name, said, to=sid, namespace="/v2")

            await self.on.get(event, _good)(message, answer)

        return take


async def _good(message: Message, answer: Answer) -> None:
    if "message_id" in message:
        await answer("ack", {"code": "10200", "ack": True, "id": message["message_id"]})
    else:
        await answer("auth", OK)


@asynccontextmanager
async def serving(far_end: FarEnd, context: ssl.SSLContext | None = None) -> AsyncIterator[FarEnd]:
    app = web.Application()
    far_end.server.attach(app)
    runner = web.AppRunner(app)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context)
    await site.start()
    port = runner.addresses[0][1]
    far_end.url = f"{'https' if context else 'http'}://localhost:{port}/v2"
    try:
        yield far_end
    finally:
        await far_end.server.shutdown()
        await runner.cleanup()


@asynccontextmanager
async def listening(
    answer: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A bare TCP server."""
    writers: list[asyncio.StreamWriter] = []
    tasks: list[asyncio.Task[None] | None] = []

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        tasks.append(asyncio.current_task())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            await answer(reader, writer)
        writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for writer in writers:
            writer.close()
        for task in tasks:
            if task is not None:
                task.cancel()
        await asyncio.gather(*(task for task in tasks if task is not None), return_exceptions=True)
        await server.wait_closed()


# ---- frozen ----


async def test_frozen_far_end_is_torn_down_the_hard_way_and_found_again() -> None:
    async with (
        reset.serving(client_secret=SECRET) as server,
        gateway(server.url, ack_timeout_s=0.5) as uplink,
    ):
        await deliver(uplink, item(1))
        server.pause()
        with pytest.raises(NotDeliveredError) as caught:
            await deliver(uplink, item(2))
        assert caught.value.in_doubt
        with pytest.raises(NotDeliveredError):
            await deliver(uplink, item(2))
        server.resume()
        await deliver(uplink, item(2))


async def test_frozen_far_end_with_much_queued_cannot_hold_the_gateway() -> None:
    async with reset.serving(client_secret=SECRET) as server:
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
        await asyncio.sleep(0.1)
        assert len(os.listdir("/dev/fd")) <= open_before
        assert not connection.alive
        assert lost == []  # it was closed, not lost


# ---- hanging up, nonsense ----


async def test_far_end_that_leaves_instead_of_answering_is_noticed_at_once() -> None:
    far_end = FarEnd()

    async def leaves(message: Message, answer: Answer) -> None:
        await far_end.part()

    far_end.on["auth"] = leaves
    async with serving(far_end), gateway(far_end.url, auth_timeout_s=LIMIT_S) as uplink:
        with pytest.raises(NotDeliveredError, match="lost before it answered `auth`"):
            await deliver(uplink)


async def test_message_whose_sender_is_forgotten_is_sent_again_after_authenticating() -> None:
    far_end = FarEnd()

    async def forgotten_once(message: Message, answer: Answer) -> None:
        if len([one for one in far_end.heard if one[0] == "readings"]) > 1:
            await _good(message, answer)
        else:
            await answer("errors", {"code": "10401", "message": "who?", "message_id": message["message_id"]})

    far_end.on["readings"] = forgotten_once
    async with serving(far_end), gateway(far_end.url) as uplink:
        await deliver(uplink)
    assert [event for event, _ in far_end.heard] == ["auth", "monitors", "readings", "auth", "readings"]


async def test_message_that_is_never_authorized_is_a_matter_of_settings() -> None:
    far_end = FarEnd()

    async def never(message: Message, answer: Answer) -> None:
        await answer("errors", {"code": 10401, "message": f"no {SECRET}", "id": message["message_id"]})

    far_end.on["readings"] = never
    async with serving(far_end), gateway(far_end.url) as uplink:
        with pytest.raises(MisconfiguredError) as caught:
            await deliver(uplink)
    assert caught.value.stream is None
    assert SECRET not in f"{caught.value} {caught.value.hint}"


async def test_late_acknowledgement_of_an_earlier_attempt_completes_the_batch() -> None:
    far_end = FarEnd()

    async def answers_the_first(message: Message, answer: Answer) -> None:
        ids = [one["message_id"] for event, one in far_end.heard if event == "readings"]
        if len(ids) > 1:
            await answer("ack", {"code": "10200", "ack": True, "message_id": ids[0]})

    far_end.on["readings"] = answers_the_first
    async with serving(far_end), gateway(far_end.url, ack_timeout_s=0.3) as uplink:
        with pytest.raises(NotDeliveredError):
            await deliver(uplink, item(1), item(2))
        receipt = await deliver(uplink, item(1), item(2))
        ids = [one["message_id"] for event, one in far_end.heard if event == "readings"]
        assert len(set(ids)) == 2
        assert receipt.startswith(ids[0])


async def test_acknowledgement_of_something_else_proves_nothing() -> None:
    far_end = FarEnd()

    async def confuses(message: Message, answer: Answer) -> None:
        await answer("ack", {"code": "10200", "ack": True})
        await answer("ack", {"code": "10200", "ack": True, "id": "another"})
        await answer("ack", {"code": "10999", "ack": True})
        await answer("errors", {"code": "10400", "message": "other", "id": "another"})
        await answer("errors", {"code": "10200", "message": "?", "id": "another"})

    far_end.on["readings"] = confuses
    async with serving(far_end), gateway(far_end.url, ack_timeout_s=0.4, stray_wait_s=5) as uplink:
        with pytest.raises(NotDeliveredError, match="did not answer"):
            await deliver(uplink)


async def test_answer_that_is_no_json_object_is_no_answer() -> None:
    far_end = FarEnd()

    async def babbles(message: Message, answer: Answer) -> None:
        for said in ("ok", ["10200"], None, 7):
            await answer("ack", cast(Message, said))
        await _good(message, answer)

    far_end.on |= {"readings": babbles}
    async with serving(far_end), gateway(far_end.url, stray_wait_s=5) as uplink:
        assert await deliver(uplink)


async def test_undocumented_code_keeps_the_items() -> None:
    far_end = FarEnd()

    async def busy(message: Message, answer: Answer) -> None:
        await answer("errors", {"code": "10429", "message": "slow down", "id": message["message_id"]})

    far_end.on["readings"] = busy
    async with serving(far_end), gateway(far_end.url) as uplink:
        with pytest.raises(NotDeliveredError, match="10429 slow down") as caught:
            await deliver(uplink)
    assert caught.value.in_doubt


async def test_part_that_was_acknowledged_is_not_sent_again_with_the_rest() -> None:
    far_end = FarEnd()
    refused = 2

    async def refuses_the_second(message: Message, answer: Answer) -> None:
        if len([one for one in far_end.heard if one[0] == "readings"]) == refused:
            await answer("errors", {"code": "10400", "message": "bad", "id": message["message_id"]})
        else:
            await _good(message, answer)

    far_end.on["readings"] = refuses_the_second
    many = [item(n) for n in range(60)]
    async with serving(far_end), gateway(far_end.url) as uplink:
        with pytest.raises(RejectedError, match="bad"):
            await deliver(uplink, *many)
        await deliver(uplink, *many)
    sizes = [len(one["data"]["readings"]) for event, one in far_end.heard if event == "readings"]
    assert sizes == [48, 12, 12]


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
async def test_far_end_that_is_no_socketio_server_is_told_plainly(answer: bytes, transport: str) -> None:
    async def say(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(answer)
        await writer.drain()

    async with listening(say) as port, gateway(f"http://127.0.0.1:{port}/v2", transport=transport) as uplink:
        with pytest.raises(NotDeliveredError) as caught:
            await deliver(uplink)
    assert f"127.0.0.1:{port}" in str(caught.value)
    assert not caught.value.in_doubt
    assert caught.value.hint


async def test_far_end_that_accepts_and_says_nothing_is_given_up() -> None:
    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(LIMIT_S)

    async with (
        listening(wait) as port,
        gateway(f"http://127.0.0.1:{port}/v2", connect_timeout_s=0.3) as uplink,
    ):
        with pytest.raises(NotDeliveredError, match="in time"):
            await deliver(uplink)


async def test_stop_while_connecting_leaves_nothing_behind() -> None:
    accepted = asyncio.Event()

    async def wait(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        accepted.set()
        await asyncio.sleep(LIMIT_S)

    async with listening(wait) as port, gateway(f"http://127.0.0.1:{port}/v2") as uplink:
        delivering = asyncio.create_task(uplink.deliver("M1", [item()]))
        await accepted.wait()
        delivering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await delivering


async def test_message_that_cannot_be_read_ends_the_connection() -> None:
    """asyncio would print "Task exception was never retrieved" for it, which fails a test here."""
    far_end = FarEnd()

    async def garbage(message: Message, answer: Answer) -> None:
        for sid in list(far_end.server.eio.sockets):
            await far_end.server.eio.send(sid, "2/v2,[broken")

    far_end.on["readings"] = garbage
    async with serving(far_end), gateway(far_end.url) as uplink:
        with pytest.raises(NotDeliveredError, match="lost") as caught:
            await deliver(uplink)
    assert caught.value.in_doubt


async def test_wrong_namespace_names_itself() -> None:
    async with serving(FarEnd()) as far_end, gateway(far_end.url.replace("/v2", "/v3")) as uplink:
        with pytest.raises(MisconfiguredError, match="no namespace /v3"):
            await deliver(uplink)


# ---- private authority, proxy ----


@pytest.fixture
def certificate(authority: Any) -> tuple[Path, ssl.SSLContext]:
    """An authority that nobody knows, and a server's context with its certificate for localhost."""
    return Path(authority.file), authority.server()


async def test_authority_of_ones_own_is_trusted_when_it_is_named(
    certificate: tuple[Path, ssl.SSLContext],
) -> None:
    cert, context = certificate
    async with serving(FarEnd(), context) as far_end:
        async with gateway(far_end.url) as stranger:
            with pytest.raises(NotDeliveredError, match="authority that is not known"):
                await deliver(stranger)
        async with gateway(far_end.url, ca_file=str(cert)) as uplink:
            assert await deliver(uplink)


async def test_ca_file_that_is_none_is_a_matter_of_settings(tmp_path: Path) -> None:
    async with gateway("https://127.0.0.1:1/v2", ca_file=str(tmp_path / "none.pem")) as uplink:
        with pytest.raises(MisconfiguredError, match="ca_file"):
            await deliver(uplink)


async def test_proxy_is_gone_through(certificate: tuple[Path, ssl.SSLContext]) -> None:
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

    async with serving(FarEnd(), context) as far_end, listening(tunnel) as port:
        proxy = f"http://127.0.0.1:{port}"
        async with gateway(far_end.url, ca_file=str(cert), proxy=proxy) as uplink:
            assert await deliver(uplink)
        host = far_end.url.removeprefix("https://").removesuffix("/v2")
        assert asked == [f"CONNECT {host} HTTP/1.1"]


async def test_a_session_that_failed_is_not_used_again() -> None:
    async with serving(FarEnd()) as far_end:
        session = Session(settings(far_end.url), SECRET)
        await session.connect()
        await session.authenticate()
        assert session.alive
        await session.close()
        assert not session.alive
        with pytest.raises(NotDeliveredError) as caught:
            await session.ask("readings", "{}", "id")
        assert not caught.value.in_doubt
        await session.close()  # twice is harmless
