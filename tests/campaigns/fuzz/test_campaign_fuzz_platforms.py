"""Whatever a platform answers: one of our errors, or a delivery that it has proved."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from random import Random
from typing import Any

import pytest
from aiohttp import WSMsgType, web

from meterkast.clock import FastClock
from meterkast.config.decoding import decode
from meterkast.model.delivery import Item, ItemId
from meterkast.model.errors import MisconfiguredError, NotDeliveredError, RejectedError
from meterkast.model.time import UtcMs, parse_iso
from meterkast.ports.uplink import Uplink
from meterkast.uplinks import reset, wattics

from ...uplinks.remembering import context
from ...uplinks.reset.monitor import MONITOR, PAYLOAD
from .mutation import HALF_PAIR, SEED, SIZE, damaged, twisted

OURS = (NotDeliveredError, MisconfiguredError, RejectedError)
NOON = parse_iso("2026-01-15T12:00:00+01:00")
SECRET = "hunter2-s3cret"
LIMIT_S = 60.0  # only against hanging


async def delivered(uplink: Uplink, stream: str, item: Item, where: str) -> bool:
    """Whether the item was acknowledged; anything but that and our errors is a failure."""
    try:
        async with asyncio.timeout(LIMIT_S):
            receipt = await uplink.deliver(stream, [item])
    except OURS as error:
        told = f"{error} {error.hint} {getattr(error, 'words', '')}"
        clean = bool(error.hint) and SECRET not in told and len(told) < 5000
    except Exception as error:
        raise AssertionError(f"{where}: {error!r}") from error
    else:
        assert isinstance(receipt, str), where
        return True
    assert clean, f"{where}: {told[:300]}"
    return False


# --- Wattics: HTTP ---------------------------------------------------------------------------------------

HTTP = (
    b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 15\r\n\r\n" + b'{"status":"ok"}',
    b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 20\r\n\r\n<html>sign in</html>",
    b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"a":\r\n2\r\n1}\r\n0\r\n\r\n',
    b"HTTP/1.1 400 Bad Request\r\nContent-Length: 9\r\n\r\nno packet",
    b"HTTP/1.1 429 Too Many\r\nRetry-After: 30\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 503 No\r\nRetry-After: Thu, 15 Jan 2026 12:00:00 GMT\r\nSet-Cookie: a=b\r\n\r\n",
    b"HTTP/1.1 302 Found\r\nLocation: https://elsewhere.example/\r\nContent-Length: 0\r\n\r\n",
    b'HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic realm="x"\r\nContent-Length: 0\r\n\r\n',
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 20\r\n\r\n"
    b"\x1f\x8b\x08\0\0\0\0\0\0\x03\xab\xae\x05\0C\xbf\xa6\xa3\x02\0\0\0",
)
HTTP_TOKENS = (
    b"\r\n",
    b"\r\n\r\n",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"Content-Length: 99999999999999999999\r\n",
    b"Content-Length: -1\r\n",
    b"Content-Encoding: br\r\n",
    b"Content-Encoding: deflate\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Retry-After: 1e999\r\n",
    b"Retry-After: " + b"9" * 400 + b"\r\n",
    b"Location: //[::1\r\n",
    b"Set-Cookie: \xff=\x00; domain=.\r\n",
    b"X: " + b"y" * 9000 + b"\r\n",
    b"ffffffffffffffff\r\n",
    b"<",
    b"\0",
)


def answers(chance: Random) -> Iterator[bytes]:
    """What a far end might say to a POST or a GET."""
    packet = {"id": "m1", "tsISO8601": "2026-01-15T12:00:00+01:00", "pC_1": 1}
    while True:
        how = chance.random()
        if how < 0.7:
            yield damaged(chance.choice(HTTP), chance, HTTP_TOKENS, 3)
        elif how < 0.75:
            yield chance.choice(HTTP)
        elif how < 0.78:
            yield b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 300_000
        else:
            body = json.dumps(twisted(packet, chance, HALF_PAIR)).encode()
            yield b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)


@asynccontextmanager
async def far_end(said: list[bytes]) -> AsyncIterator[str]:
    """A server that says those bytes to each request and hangs up."""

    async def take(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            head = await reader.readuntil(b"\r\n\r\n")
            if b"\r\nContent-Length: " in head:
                await reader.readexactly(int(head.split(b"\r\nContent-Length: ")[1].split(b"\r\n")[0]))
            writer.write(said[0])
            await writer.drain()
        except (OSError, asyncio.IncompleteReadError):
            pass  # the client had heard enough
        finally:
            writer.close()

    server = await asyncio.start_server(take, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"


@pytest.mark.slow
async def test_wattics_answers() -> None:
    chance = Random(f"http {SEED}")
    said, taken = [b""], 0
    async with far_end(said) as url:
        settings = decode(
            wattics.Settings,
            {
                "endpoint": url,
                "user": "u",
                "password": SECRET,
                "timeout_s": 5,
                "meters": [{"id": "m1", "interval_min": 30, "meter": "E"}],
            },
            "uplinks.wattics",
        )
        uplink = wattics.create(settings, context(FastClock(1, UtcMs(NOON + 60_000))))
        try:
            for number, answer in zip(range(1500 * SIZE), answers(chance), strict=False):
                said[0] = answer
                # A second try asks for the last packet first, which is older than this one.
                item = Item(
                    id=ItemId(number),
                    uplink="wattics",
                    stream="m1",
                    at_ms=UtcMs(NOON + (number + 1) * 1_800_000),
                    payload=b'{"id":"m1","tsISO8601":"2026-01-15T12:00:00+01:00","pC_1":1}',
                    tries=chance.choice((1, 2)),
                )
                where = f"seed {SEED}, answer {number}: {answer[:200]!r}"
                if await delivered(uplink, "m1", item, where):
                    taken += 1
                    assert b" 200" in answer, f"{where}: taken for an acknowledgement"
        finally:
            await uplink.close()
    assert taken > 50 * SIZE
    print(f"\nfuzz wattics: seed {SEED}, {1500 * SIZE:,} answers, {taken:,} were acknowledgements")


# --- RESET: Socket.IO ------------------------------------------------------------------------------------

ANSWERS: tuple[tuple[str, Any], ...] = (
    ("ack", {"code": "10200", "ack": True, "message_id": "another"}),
    ("ack", {"code": "10200", "ack": True}),
    ("errors", {"code": "10400", "message": f"no {SECRET}", "message_id": "another"}),
    ("errors", {"code": "10500", "message": "later"}),
    ("auth", {"code": "10200", "message": "Succeeded.", "api_version": "v2"}),
)
WIRE_TOKENS = (
    b"42/v2,",
    b"45-1/v2,",
    b'{"_placeholder":true,"num":0}',
    b"41/v2,",
    b"44/v2,",
    b"40",
    b"2",
    b"[",
    b"]",
    b'"',
    b"9" * 5000,
    b"[" * 3000,
    b"\\ud800",
    b"null",
)


class Babbler:
    """A Socket.IO server by hand: it says what a test gives it, then the truth or nothing more.

    Attributes:
        frames: What it says to each reading before that.
        honest: Whether the truth follows; else it hangs up.
        proved: Message ids that it has acknowledged.
    """

    def __init__(self) -> None:
        self.frames: list[str | bytes] = []
        self.honest = True
        self.proved: set[str] = set()

    async def serve(self, request: web.Request) -> web.WebSocketResponse:
        socket = web.WebSocketResponse(max_msg_size=0)
        await socket.prepare(request)
        hello = {
            "sid": "a",
            "upgrades": [],
            "pingInterval": 25_000,
            "pingTimeout": 20_000,
            "maxPayload": 10**6,
        }
        await socket.send_str("0" + json.dumps(hello))
        async for message in socket:
            if message.type is not WSMsgType.TEXT:
                continue
            if message.data.startswith("40"):
                await socket.send_str('40/v2,{"sid":"b"}')
            elif message.data.startswith("42"):
                event, said = json.loads(message.data.partition(",")[2])
                await self._answer(socket, event, said)
        return socket

    async def _answer(self, socket: web.WebSocketResponse, event: str, said: dict[str, Any]) -> None:
        if event == "auth":
            await socket.send_str('42/v2,["auth",{"code":"10200","message":"Succeeded."}]')
            return
        try:
            if event == "readings":
                for frame in self.frames:
                    await (socket.send_str(frame) if isinstance(frame, str) else socket.send_bytes(frame))
                if not self.honest:
                    await socket.close()
                    return
                self.proved.add(said["message_id"])
            good = {"code": "10200", "ack": True, "message_id": said["message_id"]}
            await socket.send_str("42/v2," + json.dumps(["ack", good]))
        except OSError:
            return  # the gateway had heard enough


def babble(chance: Random) -> list[str | bytes]:
    """Frames that acknowledge nothing: the right id is never in them."""
    frames: list[str | bytes] = []
    for _ in range(chance.randint(1, 6)):
        name, said = chance.choice(ANSWERS)
        if chance.random() < 0.8:
            frames.append("42/v2," + json.dumps([name, twisted(said, chance, HALF_PAIR)]))
        else:
            wire = damaged(("42/v2," + json.dumps([name, said])).encode(), chance, WIRE_TOKENS, 3)
            frames.append(wire.decode("latin-1") if chance.random() < 0.8 else wire)
    return frames


@pytest.mark.slow
async def test_reset_answers() -> None:
    chance = Random(f"socket.io {SEED}")
    babbler, taken = Babbler(), 0
    application = web.Application()
    application.router.add_get("/socket.io/", babbler.serve)
    runner = web.AppRunner(application, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    settings = decode(
        reset.Settings,
        {
            "url": f"http://127.0.0.1:{runner.addresses[0][1]}/v2",
            "client_id": "demo",
            "client_secret": SECRET,
            "connect_timeout_s": 5,
            "ack_timeout_s": 5,
            "stray_wait_s": 0.1,
            "monitors": [MONITOR],
        },
        "uplinks.reset",
    )
    uplink = reset.create(settings, context(FastClock(1, UtcMs(NOON + 60_000))))
    try:
        for number in range(700 * SIZE):
            babbler.frames, babbler.honest = babble(chance), chance.random() < 0.7
            babbler.proved.clear()
            item = Item(id=ItemId(number), uplink="reset", stream="M1", at_ms=UtcMs(number), payload=PAYLOAD)
            where = f"seed {SEED}, answer {number}: {[str(frame)[:150] for frame in babbler.frames]}"
            if await delivered(uplink, "M1", item, where):
                taken += 1
                assert babbler.proved, f"{where}: taken for an acknowledgement"
            if number % 10 == 0:
                babbler.frames, babbler.honest = [], True
                assert await delivered(uplink, "M1", item, where), f"{where}: the next is not delivered"
    finally:
        await uplink.close()
        await runner.cleanup()
    assert taken > 100 * SIZE
    print(f"\nfuzz reset: seed {SEED}, {700 * SIZE:,} deliveries, {taken:,} acknowledged")
