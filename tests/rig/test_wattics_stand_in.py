"""The Wattics stand-in takes what the document allows, refuses the rest, and loses packets as documented."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import AsyncIterator

import aiohttp
import pytest

from meterkast.model.errors import ConfigError
from meterkast_rig import wattics

AUTH = {"Authorization": "Basic " + base64.b64encode(b"demo:demo").decode()}
GOOD = {"id": "m1", "tsISO8601": "2026-01-15T12:00:00.000+01:00", "pC_1": 84276}


class Client:
    """An aiohttp client that neither follows redirects nor forgets the credentials."""

    def __init__(self, server: wattics.WatticsStandIn, session: aiohttp.ClientSession) -> None:
        self.server = server
        self.session = session

    async def post(self, packet: object, *, url: str | None = None) -> int:
        return (await self.answer(packet, url=url))[0]

    async def answer(self, packet: object, *, url: str | None = None) -> tuple[int, str]:
        body = packet if isinstance(packet, str) else json.dumps(packet)
        async with self.session.post(
            url or self.server.url, data=body.encode(), headers=AUTH, allow_redirects=False
        ) as response:
            return response.status, await response.text()

    async def last(self, meter: str) -> tuple[int, object]:
        async with self.session.get(self.server.url, params={"stream": meter}, headers=AUTH) as response:
            is_json = response.content_type == "application/json"
            return response.status, await response.json() if is_json else await response.text()


@pytest.fixture
async def client() -> AsyncIterator[Client]:
    async with wattics.serving(meters=["m1", "m2"]) as server, aiohttp.ClientSession() as session:
        yield Client(server, session)


def at(stamp: str, **values: float) -> dict[str, object]:
    return {"id": "m1", "tsISO8601": stamp, **(values or {"value": 1})}


async def test_packet_is_stored_and_read_back(client: Client) -> None:
    assert await client.last("m1") == (200, {})
    assert await client.post(GOOD) == 200
    assert await client.last("m1") == (200, GOOD)
    received = await client.server.received()
    assert received["meters"]["m1"] == [
        {"tsISO8601": GOOD["tsISO8601"], "body": GOOD, "seq": 1, "count": 1},
    ]
    assert (received["posts"], received["gets"]) == (1, 2)


@pytest.mark.parametrize(
    "packet",
    [
        json.dumps(GOOD) + "\n",
        json.dumps(GOOD, indent=1),
        json.dumps([GOOD]),
        "{",
        '{"id":"m1","tsISO8601":"2026-01-15T12:00:00.000+01:00","value":NaN}',
        '{"id":"m1","tsISO8601":"2026-01-15T12:00:00.000+01:00","value":1e999}',
        '{"id":"m1","tsISO8601":"2026-01-15T12:00:00.000+01:00","value":1,"value":2}',
        GOOD | {"pC_1": "84276"},
        GOOD | {"pC_1": None},
        GOOD | {"pC_1": True},
        GOOD | {"value": 1},
        GOOD | {"pC_4": 1},
        GOOD | {"unit": "Wh"},
        GOOD | {"id": ""},
        {"id": "m1", "tsISO8601": GOOD["tsISO8601"]},
        GOOD | {"tsISO8601": "2026-01-15T12:00:00+01:00"},
        GOOD | {"tsISO8601": "2026-01-15T11:00:00.000Z"},
        GOOD | {"tsISO8601": "2026-02-30T12:00:00.000+01:00"},
    ],
)
async def test_what_the_document_does_not_allow_is_answered_400(client: Client, packet: object) -> None:
    assert await client.post(packet) == 400
    received = await client.server.received()
    assert received["meters"] == {}
    assert received["refused"][0]["why"].startswith("Bad Request: ")


async def test_wrong_credentials_are_answered_401_with_the_words_of_the_platform(client: Client) -> None:
    async with client.session.post(client.server.url, data=json.dumps(GOOD)) as response:
        assert response.status == 401
        assert "Full authentication is required" in await response.text()
        assert response.headers["WWW-Authenticate"].startswith("Basic")


async def test_unregistered_meter_is_answered_404(client: Client) -> None:
    assert await client.post(GOOD | {"id": "m9"}) == 404
    assert (await client.last("m9"))[0] == 404


async def test_missing_slash_is_a_redirect_that_delivers_nothing(client: Client) -> None:
    bare = client.server.url.rstrip("/")
    assert await client.post(GOOD, url=bare) == 301
    # The trap: a client that follows gets a GET with 200.
    async with client.session.post(bare, data=json.dumps(GOOD), headers=AUTH) as response:
        assert (response.status, response.method) == (200, "GET")
    assert (await client.server.received())["meters"] == {}


async def test_packet_that_is_not_newer_is_answered_200_and_discarded(client: Client) -> None:
    noon, later = at("2026-01-15T12:00:00.000+01:00"), at("2026-01-15T12:30:00.000+01:00")
    other = at("2026-01-15T12:30:00.000+01:00", value=2)
    early = at("2026-01-15T11:30:00.000+01:00")
    assert [await client.post(packet) for packet in (noon, later, later, other, early)] == [200] * 5
    received = await client.server.received()
    assert [(packet["body"], packet["count"]) for packet in received["meters"]["m1"]] == [
        (noon, 1),
        (later, 2),
    ]
    assert received["repeated"] == 1
    assert [one["body"] for one in received["conflicts"]] == [other]
    assert [one["body"] for one in received["discarded"]] == [early]


@pytest.mark.parametrize(("wall_clock", "stored"), [(False, 2), (True, 1)])
async def test_second_hour_of_the_autumn_night_is_kept_by_instant_and_lost_by_wall_clock(
    client: Client, wall_clock: bool, stored: int
) -> None:
    await client.server.set_faults(wall_clock=wall_clock)
    for stamp in ("2026-10-25T02:30:00.000+02:00", "2026-10-25T02:00:00.000+01:00"):
        assert await client.post(at(stamp)) == 200
    assert len((await client.server.received())["meters"]["m1"]) == stored


@pytest.mark.parametrize(("switch", "stored"), [("lost_answers", 1), ("cut", 0)])
async def test_cut_connection_leaves_the_client_in_doubt(client: Client, switch: str, stored: int) -> None:
    await client.server.set_faults(**{switch: 1})
    with pytest.raises(aiohttp.ClientError):
        await client.post(GOOD)
    assert len((await client.server.received())["meters"]) == stored


@pytest.mark.parametrize(
    ("switch", "value", "status"),
    [
        ("error_400", 1, 400),
        ("error_503", 1, 503),
        ("redirect", 1, 302),
        ("portal", 1, 200),
        ("poison", "2026-01-15T11:00:00.000+00:00", 400),
        ("forbid", "m1", 403),
        ("refuse_auth", True, 401),
    ],
)
async def test_fault_is_answered_and_nothing_is_stored(
    client: Client, switch: str, value: float | str, status: int
) -> None:
    await client.server.set_faults(**{switch: value})
    assert await client.post(GOOD) == status
    assert (await client.server.received())["meters"] == {}
    await client.server.set_faults(**{switch: None})
    assert await client.post(GOOD) == 200


async def test_error_500_stores_some_all_the_same() -> None:
    async with wattics.serving(faults="error_500=1", seed=1) as server, aiohttp.ClientSession() as session:
        client = Client(server, session)
        answers = [await client.post(at(f"2026-01-15T{hour:02}:00:00.000+01:00")) for hour in range(20)]
        assert set(answers) == {500}
        assert 0 < len((await server.received())["meters"]["m1"]) < 20


async def test_frozen_request_goes_on_after_the_thaw(client: Client) -> None:
    await client.server.set_faults(freeze=True)
    waiting = asyncio.create_task(client.post(GOOD))
    async with asyncio.timeout(60):
        while not (await client.server.received())["posts"]:  # noqa: ASYNC110 - it tells nobody
            await asyncio.sleep(0)
    assert (await client.server.received())["meters"] == {}
    await client.server.set_faults(freeze=False)
    assert await waiting == 200


async def test_state_and_switches_are_served_over_http(client: Client) -> None:
    await client.post(GOOD | {"id": "<m>"})
    await client.post(GOOD)
    origin = client.server.origin
    async with client.session.get(origin + "/") as response:
        text = await response.text()
        assert "84276" in text
        assert "<m>" not in text
    async with client.session.post(origin + "/faults", json={"slo": 1}) as response:
        assert response.status == 400
        assert "'slow'" in (await response.json())["hint"]
    async with client.session.post(origin + "/faults", json={"slow": 0.001}) as response:
        assert (await response.json())["slow"] == 0.001
    async with client.session.post(origin + "/reset-state"):
        pass
    async with client.session.get(origin + "/received.json") as response:
        received = await response.json()
    assert received["meters"] == {}
    assert received["faults"]["slow"] == 0.001


def test_wrong_switch_names_the_nearest() -> None:
    with pytest.raises(ConfigError) as caught:
        wattics.WatticsStandIn(faults="lost_answer=0.1")
    assert "'lost_answers'" in caught.value.hint


@pytest.mark.parametrize(
    "text", ["cut=2", "cut", "cut=x", "slow=-1", "refuse_auth=maybe", "cut=0,cut=1", "poison=x"]
)
def test_wrong_value_of_a_switch_is_refused(text: str) -> None:
    with pytest.raises(ConfigError):
        wattics.WatticsStandIn(faults=text)
