"""Live pages: what is sent, to how many, and how it ends."""

from __future__ import annotations

import asyncio
import json
from typing import Any

from meterkast.web.events import STREAMS

from .house import House


async def parts(answer: Any) -> dict[str, str]:
    """The next event."""
    while True:
        line = await answer.content.readline()
        assert line, "the stream ended"
        if line.startswith(b"data: "):
            found: dict[str, str] = json.loads(line[6:])
            return found


async def test_a_stream_sends_the_page_and_then_only_what_changed(house: House) -> None:
    async with house.client.get(house.url + "events") as answer:
        assert answer.content_type == "text/event-stream"
        first = await parts(answer)
        assert {"verdict", "products", "uplinks", "gateway", "closed"} <= set(first)
        house.change(sentence="Something changed.")
        second = await parts(answer)
        assert set(second) == {"verdict"}
        assert "Something changed." in second["verdict"]


async def test_only_so_many_pages_are_live(house: House) -> None:
    streams = [await house.client.get(house.url + "events") for _ in range(STREAMS)]
    async with house.client.get(house.url + "events") as answer:
        assert answer.status == 503
        assert answer.headers["Retry-After"] == "10"
    assert (await house.get("/"))[0] == 200
    for stream in streams:
        stream.close()


async def test_a_client_that_leaves_gives_its_place_back(house: House) -> None:
    for _ in range(STREAMS * 2):
        # The server sees the end of a connection a moment after the client made it.
        while (answer := await house.client.get(house.url + "events")).status == 503:
            answer.close()
        assert answer.status == 200
        await parts(answer)
        answer.close()


async def test_streams_share_one_rendering(house: House) -> None:
    streams = await asyncio.gather(*(house.client.get(house.url + "events") for _ in range(STREAMS)))
    await asyncio.gather(*map(parts, streams))
    assert house.asked < STREAMS
    for stream in streams:
        stream.close()


async def test_a_stop_ends_every_stream(house: House) -> None:
    async with house.client.get(house.url + "events") as answer:
        await parts(answer)
        await house.running.close()
        assert b"data:" not in await answer.content.read()
