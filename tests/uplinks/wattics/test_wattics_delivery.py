"""What becomes of a packet at the stand-in: delivered once, read back after a doubt, kept when refused."""

from __future__ import annotations

import json
from typing import Any

import pytest

from meterkast.model.errors import MisconfiguredError, NotDeliveredError, RejectedError
from meterkast.model.time import Grid, UtcMs, parse_iso, zone
from meterkast.uplinks.wattics.packet import Dst
from meterkast.uplinks.wattics.settings import Meter
from meterkast_rig.wattics import WatticsStandIn

AMSTERDAM = zone("Europe/Amsterdam")
NOON = parse_iso("2026-01-15T12:00:00+01:00")
HALF_PAST = parse_iso("2026-01-15T12:30:00+01:00")


async def stored(server: WatticsStandIn, meter: str = "m1") -> list[str]:
    return [packet["tsISO8601"] for packet in (await server.received())["meters"].get(meter, [])]


async def test_packet_is_delivered_once_with_credentials_sent_at_once(
    server: WatticsStandIn, uplink: Any, item: Any
) -> None:
    async with uplink(server.url) as wire:
        assert await wire.deliver("m1", [item()]) == "200"
        assert wire.batch_limit("m1") == 1
        assert wire.due_ms(NOON) == NOON
    received = await server.received()
    assert received["meters"]["m1"][0]["body"] == json.loads(item().payload)
    assert (received["posts"], received["gets"], received["refused"]) == (1, 0, [])


async def test_packet_whose_answer_was_lost_is_read_back_and_not_sent_again(
    server: WatticsStandIn, uplink: Any, item: Any
) -> None:
    await server.set_faults(lost_answers=1)
    async with uplink(server.url) as wire:
        with pytest.raises(NotDeliveredError) as caught:
            await wire.deliver("m1", [item()])
        assert caught.value.in_doubt
        await server.set_faults(lost_answers=None)
        assert await wire.deliver("m1", [item(tries=2)]) == "read back: 2026-01-15T12:00:00.000+01:00"
    assert (await server.received())["posts"] == 1


async def test_packet_that_never_arrived_is_sent_again_after_asking(
    server: WatticsStandIn, uplink: Any, item: Any
) -> None:
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
    server: WatticsStandIn, uplink: Any, item: Any
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


async def test_no_answer_in_time_leaves_the_packet_in_doubt(
    server: WatticsStandIn, uplink: Any, item: Any
) -> None:
    await server.set_faults(freeze=True)
    async with uplink(server.url, timeout_s=1) as wire:
        with pytest.raises(NotDeliveredError, match="did not answer in time") as caught:
            await wire.deliver("m1", [item()])
    assert caught.value.in_doubt


async def test_server_that_is_not_there_leaves_no_doubt(uplink: Any, item: Any) -> None:
    async with uplink("http://127.0.0.1:9/") as wire:
        with pytest.raises(NotDeliveredError, match="refuses the connection") as caught:
            await wire.deliver("m1", [item()])
    assert not caught.value.in_doubt


async def test_captive_portal_is_no_delivery(server: WatticsStandIn, uplink: Any, item: Any) -> None:
    await server.set_faults(portal=1)
    async with uplink(server.url) as wire:
        with pytest.raises(NotDeliveredError, match="web page instead of the platform") as caught:
            await wire.deliver("m1", [item()])
    assert caught.value.in_doubt
    assert await stored(server) == []


async def test_redirect_is_not_followed(server: WatticsStandIn, uplink: Any, item: Any) -> None:
    await server.set_faults(redirect=1)
    async with uplink(server.url) as wire:
        with pytest.raises(MisconfiguredError, match="redirects") as caught:
            await wire.deliver("m1", [item()])
    assert caught.value.stream is None
    received = await server.received()
    assert (received["posts"], received["gets"]) == (1, 0)


async def test_wrong_shared_password_pauses_all_and_a_meters_own_only_that_meter(
    server: WatticsStandIn, uplink: Any, item: Any
) -> None:
    await server.set_faults(refuse_auth=True)
    own = Meter(id="m2", interval_min=30, meter="E", user="me", password="mine")
    async with uplink(server.url, Meter(id="m1", interval_min=30, meter="E"), own) as wire:
        for meter, stream in (("m1", None), ("m2", "m2")):
            with pytest.raises(MisconfiguredError, match="user and password") as caught:
                await wire.deliver(meter, [item(meter=meter)])
            assert caught.value.stream == stream


async def test_meter_that_is_forbidden_or_unknown_pauses_alone(
    server: WatticsStandIn, uplink: Any, item: Any
) -> None:
    await server.set_faults(forbid="m1")
    other = Meter(id="m3", interval_min=30, meter="E")
    async with uplink(server.url, Meter(id="m1", interval_min=30, meter="E"), other) as wire:
        for meter, words in (("m1", "does not allow"), ("m3", "knows no meter m3: 404 Not Found")):
            with pytest.raises(MisconfiguredError, match=words) as caught:
                await wire.deliver(meter, [item(meter=meter)])
            assert caught.value.stream == meter


async def test_packet_that_is_refused_bears_the_platforms_words_and_the_next_one_passes(
    server: WatticsStandIn, uplink: Any, item: Any
) -> None:
    await server.set_faults(poison="2026-01-15T12:00:00.000+01:00")
    async with uplink(server.url) as wire:
        with pytest.raises(RejectedError) as caught:
            await wire.deliver("m1", [item()])
        assert caught.value.words == "400 Bad Request: 2026-01-15T12:00:00.000+01:00 is refused"
        assert await wire.deliver("m1", [item(HALF_PAST)]) == "200"


async def test_meter_that_was_taken_out_of_the_configuration_keeps_its_packets(
    server: WatticsStandIn, uplink: Any, item: Any
) -> None:
    async with uplink(server.url) as wire:
        with pytest.raises(MisconfiguredError, match="no longer in the configuration") as caught:
            await wire.deliver("gone", [item(meter="gone")])
    assert caught.value.stream == "gone"


async def test_maintenance_says_when_to_come_back(server: WatticsStandIn, uplink: Any, item: Any) -> None:
    await server.set_faults(error_503=1, retry_after=17)
    async with uplink(server.url) as wire:
        with pytest.raises(NotDeliveredError, match="503") as caught:
            await wire.deliver("m1", [item()])
    assert caught.value.retry_after_s == 17


@pytest.mark.parametrize("policy", [Dst.STANDARD_TIME, Dst.OFFSET])
async def test_standard_time_survives_a_platform_that_orders_by_the_wall_clock(
    server: WatticsStandIn, policy: Dst, uplink: Any, item: Any
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
