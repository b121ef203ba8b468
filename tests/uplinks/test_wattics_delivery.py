"""What Wattics answers, and what becomes of the packet; against the rig's stand-in where it can do it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, cast

import pytest
from aiohttp import web

from meterkast.clock import FastClock
from meterkast.model.delivery import Item, ItemId
from meterkast.model.errors import MeterkastError, MisconfiguredError, NotDeliveredError, RejectedError
from meterkast.model.time import Grid, UtcMs, parse_iso, zone
from meterkast.ports import Store, Uplink
from meterkast.uplinks.context import Context
from meterkast.uplinks.http import basic
from meterkast.uplinks.wattics import Settings, create
from meterkast.uplinks.wattics.packet import Dst, stamp
from meterkast.uplinks.wattics.settings import Meter
from meterkast_rig import wattics

AMSTERDAM = zone("Europe/Amsterdam")
NOON = parse_iso("2026-01-15T12:00:00+01:00")
HALF_PAST = parse_iso("2026-01-15T12:30:00+01:00")
USER, PASSWORD = "demo", "hunter2-é"


@contextlib.asynccontextmanager
async def uplink(url: str, *meters: Meter, **others: Any) -> AsyncIterator[Uplink]:
    own = meters or (Meter(id="m1", interval_min=30, meter="E"), Meter(id="m2", interval_min=30, meter="E"))
    made = create(
        Settings(endpoint=url, user=USER, password=PASSWORD, meters=own, **others),
        Context(
            device_id="gw1",
            grid=Grid(AMSTERDAM),
            clock=FastClock(1, HALF_PAST),
            store=cast(Store, None),  # this uplink keeps nothing of its own
            random=lambda: 0.5,
        ),
    )
    try:
        yield made
    finally:
        await made.close()


@pytest.fixture
async def server() -> AsyncIterator[wattics.WatticsStandIn]:
    async with wattics.serving(username=USER, password=PASSWORD, meters=["m1", "m2"]) as stand_in:
        yield stand_in


def item(at_ms: UtcMs = NOON, *, tries: int = 1, meter: str = "m1", dst: Dst = Dst.OFFSET) -> Item:
    written = stamp(at_ms, AMSTERDAM, dst)
    payload = f'{{"id":"{meter}","tsISO8601":"{written}","pC_1":{at_ms // 1000}}}'.encode()
    return Item(id=ItemId(1), uplink="wattics", stream=meter, at_ms=at_ms, payload=payload, tries=tries)


async def stored(server: wattics.WatticsStandIn, meter: str = "m1") -> list[str]:
    return [packet["tsISO8601"] for packet in (await server.received())["meters"].get(meter, [])]


async def test_packet_is_delivered_once_with_credentials_sent_at_once(server: wattics.WatticsStandIn) -> None:
    async with uplink(server.url) as wire:
        assert await wire.deliver("m1", [item()]) == "200"
        assert wire.batch_limit("m1") == 1
        assert wire.due_ms(NOON) == NOON
    received = await server.received()
    assert received["meters"]["m1"][0]["body"] == json.loads(item().payload)
    assert (received["posts"], received["gets"], received["refused"]) == (1, 0, [])


async def test_packet_whose_answer_was_lost_is_read_back_and_not_sent_again(
    server: wattics.WatticsStandIn,
) -> None:
    await server.set_faults(lost_answers=1)
    async with uplink(server.url) as wire:
        with pytest.raises(NotDeliveredError) as caught:
            await wire.deliver("m1", [item()])
        assert caught.value.in_doubt
        await server.set_faults(lost_answers=None)
        assert await wire.deliver("m1", [item(tries=2)]) == "read back: 2026-01-15T12:00:00.000+01:00"
    assert (await server.received())["posts"] == 1


async def test_packet_that_never_arrived_is_sent_again_after_asking(server: wattics.WatticsStandIn) -> None:
    async with uplink(server.url) as wire:
        await wire.deliver("m1", [item()])
        await server.set_faults(cut=1)
        with pytest.raises(NotDeliveredError) as caught:
            await wire.deliver("m1", [item(HALF_PAST)])
        assert caught.value.in_doubt
        await server.set_faults(cut=None)
        assert await wire.deliver("m1", [item(HALF_PAST, tries=2)]) == "200"
    assert await stored(server) == ["2026-01-15T12:00:00.000+01:00", "2026-01-15T12:30:00.000+01:00"]


async def test_after_a_start_the_platform_is_asked_once_and_again_after_the_next_doubt(
    server: wattics.WatticsStandIn,
) -> None:
    async with uplink(server.url) as before:
        await before.deliver("m1", [item(UtcMs(NOON - 3_600_000))])
        await before.deliver("m1", [item(UtcMs(NOON - 1_800_000))])
    async with uplink(server.url) as wire:
        # All of these waited at the start, so the engine sends every one as perhaps delivered.
        receipts = [
            await wire.deliver("m1", [item(UtcMs(NOON + minutes * 60_000), tries=2)])
            for minutes in (-60, -30, 0, 30)
        ]
        assert [receipt.split(":")[0] for receipt in receipts] == ["read back", "read back", "200", "200"]
        assert (await server.received())["gets"] == 1
        await server.set_faults(lost_answers=1)
        late = item(UtcMs(NOON + 3_600_000), tries=2)
        with pytest.raises(NotDeliveredError):
            await wire.deliver("m1", [late])
        await server.set_faults(lost_answers=None)
        assert (await wire.deliver("m1", [late])).startswith("read back")
    received = await server.received()
    assert (received["gets"], received["posts"], received["repeated"]) == (2, 5, 0)


async def test_no_answer_in_time_leaves_the_packet_in_doubt(server: wattics.WatticsStandIn) -> None:
    await server.set_faults(freeze=True)
    async with uplink(server.url, timeout_s=0.3) as wire:
        with pytest.raises(NotDeliveredError, match="did not answer in time") as caught:
            await wire.deliver("m1", [item()])
    assert caught.value.in_doubt


async def test_server_that_is_not_there_leaves_no_doubt() -> None:
    async with uplink("http://127.0.0.1:9/") as wire:
        with pytest.raises(NotDeliveredError, match="refuses the connection") as caught:
            await wire.deliver("m1", [item()])
    assert not caught.value.in_doubt


async def test_captive_portal_is_no_delivery(server: wattics.WatticsStandIn) -> None:
    await server.set_faults(portal=1)
    async with uplink(server.url) as wire:
        with pytest.raises(NotDeliveredError, match="web page instead of the platform") as caught:
            await wire.deliver("m1", [item()])
    assert caught.value.in_doubt
    assert await stored(server) == []


async def test_redirect_is_not_followed(server: wattics.WatticsStandIn) -> None:
    await server.set_faults(redirect=1)
    async with uplink(server.url) as wire:
        with pytest.raises(MisconfiguredError, match="redirects") as caught:
            await wire.deliver("m1", [item()])
    assert caught.value.stream is None
    received = await server.received()
    assert (received["posts"], received["gets"]) == (1, 0)


async def test_wrong_shared_password_pauses_all_and_a_meters_own_only_that_meter(
    server: wattics.WatticsStandIn,
) -> None:
    await server.set_faults(refuse_auth=True)
    own = Meter(id="m2", interval_min=30, meter="E", user="me", password="mine")
    async with uplink(server.url, Meter(id="m1", interval_min=30, meter="E"), own) as wire:
        for meter, stream in (("m1", None), ("m2", "m2")):
            with pytest.raises(MisconfiguredError, match="user and password") as caught:
                await wire.deliver(meter, [item(meter=meter)])
            assert caught.value.stream == stream


async def test_meter_that_is_forbidden_or_unknown_pauses_alone(server: wattics.WatticsStandIn) -> None:
    await server.set_faults(forbid="m1")
    other = Meter(id="m3", interval_min=30, meter="E")
    async with uplink(server.url, Meter(id="m1", interval_min=30, meter="E"), other) as wire:
        for meter, words in (("m1", "does not allow"), ("m3", "knows no meter m3: 404 Not Found")):
            with pytest.raises(MisconfiguredError, match=words) as caught:
                await wire.deliver(meter, [item(meter=meter)])
            assert caught.value.stream == meter


async def test_packet_that_is_refused_bears_the_platforms_words_and_the_next_one_passes(
    server: wattics.WatticsStandIn,
) -> None:
    await server.set_faults(poison="2026-01-15T12:00:00.000+01:00")
    async with uplink(server.url) as wire:
        with pytest.raises(RejectedError) as caught:
            await wire.deliver("m1", [item()])
        assert caught.value.words == "400 Bad Request: 2026-01-15T12:00:00.000+01:00 is refused"
        assert await wire.deliver("m1", [item(HALF_PAST)]) == "200"


async def test_meter_that_was_taken_out_of_the_configuration_keeps_its_packets(
    server: wattics.WatticsStandIn,
) -> None:
    async with uplink(server.url) as wire:
        with pytest.raises(MisconfiguredError, match="no longer in the configuration") as caught:
            await wire.deliver("gone", [item(meter="gone")])
    assert caught.value.stream == "gone"


async def test_maintenance_says_when_to_come_back(server: wattics.WatticsStandIn) -> None:
    await server.set_faults(error_503=1, retry_after=17)
    async with uplink(server.url) as wire:
        with pytest.raises(NotDeliveredError, match="503") as caught:
            await wire.deliver("m1", [item()])
    assert caught.value.retry_after_s == 17


@pytest.mark.parametrize("policy", [Dst.STANDARD_TIME, Dst.OFFSET])
async def test_standard_time_survives_a_platform_that_orders_by_the_wall_clock(
    server: wattics.WatticsStandIn, policy: Dst
) -> None:
    await server.set_faults(wall_clock=True)
    night = Grid(AMSTERDAM).ends(
        parse_iso("2026-10-25T02:00:00+02:00"), parse_iso("2026-10-25T02:30:00+01:00")
    )
    async with uplink(server.url, dst=policy) as wire:
        for end_ms in night:
            await wire.deliver("m1", [item(end_ms, dst=policy)])
    # By the document's own policy such a platform loses the second hour: hence the setting.
    assert len(await stored(server)) == (3 if policy is Dst.STANDARD_TIME else 1)


@dataclass
class Scripted:
    """A far end that answers as told, for what the stand-in does not do.

    Attributes:
        status, text, headers: Of the answer to a POST.
        last: Of the answer to a GET: status and text.
        asked: Method, path with query, and cookie of every request.
    """

    status: int = 200
    text: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    last: tuple[int, str] = (200, "{}")
    asked: list[tuple[str, str, str]] = field(default_factory=list)
    url: str = ""

    async def answer(self, request: web.Request) -> web.StreamResponse:
        self.asked.append((request.method, request.path_qs, request.headers.get("Cookie", "")))
        text = self.text.replace("{authorization}", request.headers["Authorization"])
        if request.method == "GET":
            return web.Response(status=self.last[0], text=self.last[1])
        return web.Response(status=self.status, text=text, headers=self.headers)


@pytest.fixture
async def scripted() -> AsyncIterator[Scripted]:
    far_end = Scripted()
    app = web.Application()
    app.router.add_route(
        "*", "/{path:.*}", cast(Callable[[web.Request], Awaitable[web.StreamResponse]], far_end.answer)
    )
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=1)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    far_end.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    yield far_end
    await runner.cleanup()


@pytest.mark.parametrize(
    ("statuses", "kind", "stream"),
    [
        ((408, 425, 429, 500, 502, 503, 504, 511, 599), NotDeliveredError, None),
        ((201, 202, 204, 206), MisconfiguredError, None),
        ((301, 302, 303, 307, 308, 304), MisconfiguredError, None),
        ((402, 405, 407, 409, 410, 413, 415, 422), MisconfiguredError, None),
        ((401,), MisconfiguredError, None),
        ((403, 404), MisconfiguredError, "m1"),
        ((400,), RejectedError, None),
    ],
)
async def test_every_status_but_200_keeps_the_packet(
    scripted: Scripted, statuses: tuple[int, ...], kind: type[MeterkastError], stream: str | None
) -> None:
    async with uplink(scripted.url) as wire:
        for status in statuses:
            scripted.status, scripted.headers = status, {"Location": "/elsewhere"}
            with pytest.raises(kind) as caught:
                await wire.deliver("m1", [item()])
            assert caught.value.hint
            assert getattr(caught.value, "stream", None) == stream
    assert [method for method, _, _ in scripted.asked] == ["POST"] * len(statuses)


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("<html>sign in</html>", "text/plain"),
        ("\ufeff\n <?xml?>", "text/plain"),
        ("sign in", "Text/HTML; charset=x"),
    ],
)
async def test_any_page_with_200_is_no_delivery(scripted: Scripted, text: str, kind: str) -> None:
    scripted.text, scripted.headers = text, {"Content-Type": kind}
    async with uplink(scripted.url) as wire:
        with pytest.raises(NotDeliveredError) as caught:
            await wire.deliver("m1", [item()])
    assert caught.value.in_doubt


@pytest.mark.parametrize("text", ["", "OK", '{"status":"ok"}'])
async def test_200_of_the_platform_is_a_delivery_whatever_it_says(scripted: Scripted, text: str) -> None:
    scripted.text = text
    async with uplink(scripted.url) as wire:
        assert await wire.deliver("m1", [item()]) == "200"


@pytest.mark.parametrize(
    "last",
    [
        (500, ""),
        (403, ""),
        (200, "null"),
        (200, "[]"),
        (200, "no json"),
        (200, "<html>"),
        (200, '{"tsISO8601":"2026-01-15T11:30:00.000+01:00"}'),
        (200, '{"tsISO8601":"2026-01-15T12:00:00.000+00:00"}'),  # a wall clock labelled anew
    ],
)
async def test_read_back_that_proves_nothing_means_send_again(
    scripted: Scripted, last: tuple[int, str]
) -> None:
    scripted.last = last
    async with uplink(scripted.url) as wire:
        assert await wire.deliver("m1", [item(tries=2)]) == "200"
    path = "/measurements/v2/unifiedjson/"
    assert [asked[:2] for asked in scripted.asked] == [("GET", f"{path}?stream=m1"), ("POST", path)]


async def test_meter_id_is_quoted_in_the_address(scripted: Scripted) -> None:
    async with uplink(scripted.url, Meter(id="a b&c/é", interval_min=30, meter="E")) as wire:
        await wire.deliver("a b&c/é", [item(tries=2)])
    assert scripted.asked[0][1].endswith("?stream=a+b%26c/%C3%A9")


async def test_utc_policy_posts_to_its_own_address(scripted: Scripted) -> None:
    async with uplink(scripted.url, dst=Dst.UTC_ENDPOINT) as wire:
        await wire.deliver("m1", [item(tries=2)])
    assert [asked[:2] for asked in scripted.asked] == [
        ("GET", "/measurements/v2/unifiedjson/?stream=m1"),
        ("POST", "/measurements/v2/unifiedjson_utc/"),
    ]


async def test_session_cookie_is_kept(scripted: Scripted) -> None:
    scripted.headers = {"Set-Cookie": "JSESSIONID=1; Path=/"}
    async with uplink(scripted.url) as wire:
        await wire.deliver("m1", [item()])
        await wire.idle()
        await wire.deliver("m1", [item(HALF_PAST)])
    assert [cookie for _, _, cookie in scripted.asked] == ["", "JSESSIONID=1"]


async def test_no_secret_in_any_message_even_if_the_far_end_repeats_it(scripted: Scripted) -> None:
    scripted.text = (
        "<html><style>x</style><b>{authorization}</b> " + PASSWORD + " https://u:" + PASSWORD + "@h/</html>"
    )
    async with uplink(scripted.url) as wire:
        encoded = basic(USER, PASSWORD).removeprefix("Basic ")
        for status in (400, 401, 403, 404, 418, 500):
            scripted.status = status
            with pytest.raises(MeterkastError) as caught:
                await wire.deliver("m1", [item(tries=3)])
            said = f"{caught.value} {caught.value.hint} {getattr(caught.value, 'words', '')}"
            assert PASSWORD not in said
            assert encoded not in said
            assert len(said) < 1500
