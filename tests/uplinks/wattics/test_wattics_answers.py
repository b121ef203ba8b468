"""What Wattics may answer and the stand-in does not: statuses, pages, odd read-backs, cookies, secrets."""

from __future__ import annotations

from typing import Any

import pytest

from meterkast.model.errors import MeterkastError, MisconfiguredError, NotDeliveredError, RejectedError
from meterkast.model.time import parse_iso
from meterkast.uplinks.http import basic
from meterkast.uplinks.wattics.packet import Dst
from meterkast.uplinks.wattics.settings import Meter

HALF_PAST = parse_iso("2026-01-15T12:30:00+01:00")
USER, PASSWORD = "demo", "hunter2-é"


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
    scripted: Any,
    statuses: tuple[int, ...],
    kind: type[MeterkastError],
    stream: str | None,
    uplink: Any,
    item: Any,
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
async def test_any_page_with_200_is_no_delivery(
    scripted: Any, text: str, kind: str, uplink: Any, item: Any
) -> None:
    scripted.text, scripted.headers = text, {"Content-Type": kind}
    async with uplink(scripted.url) as wire:
        with pytest.raises(NotDeliveredError) as caught:
            await wire.deliver("m1", [item()])
    assert caught.value.in_doubt


@pytest.mark.parametrize("text", ["", "OK", '{"status":"ok"}'])
async def test_200_of_the_platform_is_a_delivery_whatever_it_says(
    scripted: Any, text: str, uplink: Any, item: Any
) -> None:
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
    scripted: Any, last: tuple[int, str], uplink: Any, item: Any
) -> None:
    scripted.last = last
    async with uplink(scripted.url) as wire:
        assert await wire.deliver("m1", [item(tries=2)]) == "200"
    path = "/measurements/v2/unifiedjson/"
    assert [asked[:2] for asked in scripted.asked] == [("GET", f"{path}?stream=m1"), ("POST", path)]


async def test_meter_id_is_quoted_in_the_address(scripted: Any, uplink: Any, item: Any) -> None:
    async with uplink(scripted.url, Meter(id="a b&c/é", interval_min=30, meter="E")) as wire:
        await wire.deliver("a b&c/é", [item(tries=2)])
    assert scripted.asked[0][1].endswith("?stream=a+b%26c/%C3%A9")


async def test_utc_policy_posts_to_its_own_address(scripted: Any, uplink: Any, item: Any) -> None:
    async with uplink(scripted.url, dst=Dst.UTC_ENDPOINT) as wire:
        await wire.deliver("m1", [item(tries=2)])
    assert [asked[:2] for asked in scripted.asked] == [
        ("GET", "/measurements/v2/unifiedjson/?stream=m1"),
        ("POST", "/measurements/v2/unifiedjson_utc/"),
    ]


async def test_session_cookie_is_kept(scripted: Any, uplink: Any, item: Any) -> None:
    scripted.headers = {"Set-Cookie": "JSESSIONID=1; Path=/"}
    async with uplink(scripted.url) as wire:
        await wire.deliver("m1", [item()])
        await wire.idle()
        await wire.deliver("m1", [item(HALF_PAST)])
    assert [cookie for _, _, cookie in scripted.asked] == ["", "JSESSIONID=1"]


async def test_no_secret_in_any_message_even_if_the_far_end_repeats_it(
    scripted: Any, uplink: Any, item: Any
) -> None:
    scripted.text = (
        "<html><style>x</style><b>{authorization}</b> " + PASSWORD + " https://u:" + PASSWORD + "@h/</html>"
    )
    async with uplink(scripted.url, user=USER, password=PASSWORD) as wire:
        encoded = basic(USER, PASSWORD).removeprefix("Basic ")
        for status in (400, 401, 403, 404, 418, 500):
            scripted.status = status
            with pytest.raises(MeterkastError) as caught:
                await wire.deliver("m1", [item(tries=3)])
            said = f"{caught.value} {caught.value.hint} {getattr(caught.value, 'words', '')}"
            assert PASSWORD not in said
            assert encoded not in said
            assert len(said) < 1500
