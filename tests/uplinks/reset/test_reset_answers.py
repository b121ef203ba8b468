"""What the RESET stand-in answers: every documented shape, refusals, and credentials."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from meterkast.model.errors import MisconfiguredError, NotDeliveredError, RejectedError
from meterkast_buffer.store import SqliteStore
from meterkast_rig.reset import ResetStandIn

# A module's tests share the stand-in, and the event loop it was started in.
pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.mark.parametrize(
    "fault",
    [
        {"duplicate_acks": 1},
        {"stray_errors": 1},
        {"answer_key": "id"},
        {"answer_key": "mixed"},
        {"no_api_version": True},
        {"slow": 0.2},
    ],
    ids=lambda fault: next(iter(fault)),
)
async def test_answers_in_every_documented_shape_are_understood(
    server: ResetStandIn, gateway: Any, fault: dict[str, Any]
) -> None:
    await server.set_faults(**fault)
    uplink = gateway.uplink()
    for number in range(3):
        await uplink.deliver("MK1-energy", gateway.items(uplink, begin=number))
    received = await server.received()
    assert [one["value"] for one in received["readings"]] == [84.270, 84.271, 84.272]
    assert received["messages"] == {"auth": 1, "monitors": 1, "readings": 3}


async def test_error_that_names_no_message_counts_when_no_other_answer_comes(
    server: ResetStandIn, gateway: Any
) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    await server.set_faults(stray_errors=1, lost_acks=1)
    with pytest.raises(RejectedError) as caught:
        await uplink.deliver("MK1-energy", gateway.items(uplink, begin=1))
    assert caught.value.words == "stray error"


async def test_refused_reading_is_told_in_resets_own_words(server: ResetStandIn, gateway: Any) -> None:
    uplink = gateway.uplink()
    items = gateway.items(uplink, 4)
    await server.set_faults(poison="2026-01-15T12:30:00+01:00")
    with pytest.raises(RejectedError) as caught:
        await uplink.deliver("MK1-energy", items)
    assert caught.value.words == ("data.readings[1].reading_time: 2026-01-15T12:30:00.000+01:00 is refused")
    for good in (items[:1], items[2:]):
        await uplink.deliver("MK1-energy", good)
    assert await gateway.values() == [84.270, 84.272, 84.273]


async def test_refused_monitor_pauses_its_stream_and_no_other(server: ResetStandIn, gateway: Any) -> None:
    await server.set_faults(refuse_monitor="MK1-energy")
    uplink = gateway.uplink(gateway.monitors["energy"], gateway.monitors["water"])
    with pytest.raises(MisconfiguredError, match="monitor MK1-energy is refused") as caught:
        await uplink.deliver("MK1-energy", gateway.items(uplink))
    assert caught.value.stream == "MK1-energy"
    await uplink.deliver("MK1-water", gateway.items(uplink, 1, "MK1-water"))


async def test_monitor_that_reset_lost_is_created_again(server: ResetStandIn, gateway: Any) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    await server.reset_state()
    await uplink.deliver("MK1-energy", gateway.items(uplink, begin=1))
    assert (await server.received())["messages"]["monitors"] == 1
    assert await gateway.values() == [84.271]


async def test_monitor_whose_creation_was_never_acknowledged_is_modified(
    server: ResetStandIn, gateway: Any, store: SqliteStore
) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    await server.set_faults(refuse_recreate=True)
    await store.set_state("reset", "MK1-energy", '{"account":"none","definition":{}}')
    again = gateway.uplink(gateway.monitors["energy"] | {"label": "Main"})
    await again.deliver("MK1-energy", gateway.items(again, begin=1))
    assert (await server.received())["monitors"]["MK1-energy"]["label"] == "Main"


async def test_a_monitor_cannot_become_another_module(server: ResetStandIn, gateway: Any) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    other = gateway.uplink(gateway.monitors["water"] | {"connection_id": "MK1-energy"})
    with pytest.raises(MisconfiguredError, match="as energy; it cannot become water") as caught:
        await other.deliver("MK1-energy", gateway.items(other, begin=1))
    assert caught.value.stream == "MK1-energy"


async def test_refused_credentials_are_a_matter_of_settings_and_stay_secret(
    server: ResetStandIn, gateway: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    uplink = gateway.uplink(client_secret="wr0ng-secret")
    with pytest.raises(MisconfiguredError, match="10401 Authentication failed") as caught:
        await uplink.deliver("MK1-energy", gateway.items(uplink))
    assert caught.value.stream is None
    good = gateway.uplink()
    await good.deliver("MK1-energy", gateway.items(good))
    said = f"{caught.value}{caught.value.hint}{caplog.text}{uplink.urls}"
    assert "wr0ng-secret" not in said
    assert gateway.secret not in said


async def test_unanswered_credentials_are_tried_again_later(server: ResetStandIn, gateway: Any) -> None:
    await server.set_faults(silent_auth=True)
    uplink = gateway.uplink(auth_timeout_s=0.3)
    with pytest.raises(NotDeliveredError, match="did not answer `auth`") as caught:
        await uplink.deliver("MK1-energy", gateway.items(uplink))
    assert not caught.value.in_doubt
