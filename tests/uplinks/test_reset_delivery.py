"""Delivery to the RESET stand-in: monitors first, then readings, acknowledged or kept through every fault."""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from pathlib import Path
from typing import Any

import engineio.base_client
import pytest
import pytest_asyncio

from meterkast import config
from meterkast.clock import SystemClock
from meterkast.model.delivery import Item, ItemId, Stream
from meterkast.model.errors import MisconfiguredError, NotDeliveredError, RejectedError
from meterkast.model.half_hour import HalfHour
from meterkast.model.product import PropertyId
from meterkast.model.quantity import Quantity
from meterkast.model.time import HALF_HOUR_MS, Grid, UtcMs, parse_iso, zone
from meterkast.ports import Binding, Uplink
from meterkast.uplinks.context import Context
from meterkast.uplinks.reset import Settings, create
from meterkast_buffer.store import SqliteStore, open_store
from meterkast_rig import reset

# Starting Node takes most of a second, so all tests share one stand-in and the event loop it was started in.
pytestmark = pytest.mark.asyncio(loop_scope="module")

SECRET = "s3cret-of-the-test"
FIRST = parse_iso("2026-01-15T12:00:00+01:00")
AMSTERDAM = Grid(zone("Europe/Amsterdam"))
# Each gateway begins its message ids at another place, as real ones do by chance.
BEGINNINGS = itertools.count(1)

ENERGY: dict[str, Any] = {
    "connection_id": "MK1-energy",
    "module": "energy",
    "brand": "Landis+Gyr",
    "sku": "E360",
    "serial": "E0012",
    "channels": [{"id": "c01", "readings": {"power_consumption": "E1/import_total"}}],
}
BIN: dict[str, Any] = ENERGY | {
    "connection_id": "MK1-bin",
    "module": "circularity",
    "emptyings": True,
    "channels": [{"id": "c01", "readings": {"bin_weight": "S1/weight"}}],
}
WATER: dict[str, Any] = ENERGY | {
    "connection_id": "MK1-water",
    "module": "water",
    "channels": [{"id": "c01", "readings": {"water_flow": "W1/volume", "water_temp": "W1/temp"}}],
}
AIR: dict[str, Any] = {
    "connection_id": "MK1-air",
    "module": "air",
    "brand": "b",
    "sku": "s",
    "serial": "1",
    "readings": {name: f"A1/{name}" for name in ("pm2p5", "tvoc", "co2", "temp", "rh", "pm10")},
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def shared() -> AsyncIterator[reset.ResetStandIn]:
    async with reset.serving(seed=1, client_secret=SECRET) as server:
        yield server


@pytest_asyncio.fixture(loop_scope="module")
async def server(shared: reset.ResetStandIn) -> reset.ResetStandIn:
    await shared.reset_state()
    await shared.set_faults(**dict.fromkeys(await shared.faults()))
    return shared


@pytest_asyncio.fixture(loop_scope="module")
async def store(tmp_path: Path) -> AsyncIterator[SqliteStore]:
    opened = await open_store(tmp_path / "meterkast.db")
    yield opened
    await opened.close()


class Gateway:
    """An uplink to the stand-in, and the items it is given."""

    def __init__(self, server: reset.ResetStandIn, store: SqliteStore) -> None:
        self.server, self.store = server, store
        self.uplinks: list[Uplink] = []
        self.numbers = itertools.count(1)

    def uplink(self, *monitors: dict[str, Any], **keys: Any) -> Uplink:
        """A gateway that has just started."""
        limits = {"connect_timeout_s": 5, "auth_timeout_s": 5, "ack_timeout_s": 5, "stray_wait_s": 0.3}
        tree = {
            "url": self.server.url,
            "client_id": "demo",
            "client_secret": SECRET,
            "monitors": list(monitors) or [ENERGY],
        }
        beginning = next(BEGINNINGS) / 1000
        context = Context(
            device_id="mk-test",
            grid=AMSTERDAM,
            clock=SystemClock(),
            store=self.store,
            random=lambda: beginning,
        )
        made = create(config.decode(Settings, tree | limits | keys, "uplinks.reset"), context)
        self.uplinks.append(made)
        return made

    def items(
        self, uplink: Uplink, count: int = 1, name: str = "MK1-energy", begin: int = 0, **value: Any
    ) -> list[Item]:
        """Half-hours of a monitor, oldest first, composed as the pipeline does."""
        [wanted] = [one for one in uplink.wanted() if one.name == name]
        stream = Stream(uplink="reset", name=name, properties=())
        found = []
        for number in range(begin, begin + count):
            end_ms = UtcMs(FIRST + number * HALF_HOUR_MS)
            half_hours = {
                binding: HalfHour(
                    property_id=PropertyId(1), end_ms=end_ms, value=Quantity(84_270 + number), **value
                )
                for binding in wanted.bindings
            }
            [payload] = uplink.compose(stream, half_hours, end_ms)
            found.append(
                Item(
                    id=ItemId(next(self.numbers)), uplink="reset", stream=name, at_ms=end_ms, payload=payload
                )
            )
        return found


@pytest_asyncio.fixture(loop_scope="module")
async def gateway(server: reset.ResetStandIn, store: SqliteStore) -> AsyncIterator[Gateway]:
    """A gateway; when the test is over, nothing of it may be left."""
    before = asyncio.all_tasks()
    made = Gateway(server, store)
    yield made
    for uplink in made.uplinks:
        await uplink.close()
    await asyncio.sleep(0)
    left = asyncio.all_tasks() - before - {asyncio.current_task()}
    assert left == set()
    assert engineio.base_client.connected_clients == []


async def values(server: reset.ResetStandIn) -> list[Any]:
    return [one["value"] for one in (await server.received())["readings"]]


async def until(server: reset.ResetStandIn, seen: Callable[[dict[str, Any]], object]) -> None:
    for _ in range(400):
        if seen(await server.received()):
            return
        await asyncio.sleep(0.02)
    pytest.fail("it never came to that")


# ---- all well ----


async def test_monitor_is_created_and_then_its_readings_are_sent(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    uplink = gateway.uplink()
    receipt = await uplink.deliver("MK1-energy", gateway.items(uplink, 3))
    received = await server.received()
    assert received["monitors"]["MK1-energy"]["channels"] == [{"channel_id": "c01"}]
    assert [(one["reading_time"], one["value"]) for one in received["readings"]] == [
        ("2026-01-15T12:00:00.000+01:00", 84.270),
        ("2026-01-15T12:30:00.000+01:00", 84.271),
        ("2026-01-15T13:00:00.000+01:00", 84.272),
    ]
    assert received["messages"] == {"auth": 1, "monitors": 1, "readings": 1}
    assert received["refused"] == []
    assert receipt.startswith("mk-test_")
    assert receipt.endswith("Z")


@pytest.mark.parametrize("monitor", [ENERGY, WATER, AIR, BIN], ids=["energy", "water", "air", "circularity"])
async def test_every_module_is_accepted(
    server: reset.ResetStandIn, gateway: Gateway, monitor: dict[str, Any]
) -> None:
    uplink, name = gateway.uplink(monitor), monitor["connection_id"]
    await uplink.deliver(name, gateway.items(uplink, 48, name))
    received = await server.received()
    assert received["refused"] == []
    assert len({one["reading_time"] for one in received["readings"]}) == 48


async def test_emptyings_arrive_as_further_readings_of_the_half_hour(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    uplink = gateway.uplink(BIN)
    await uplink.deliver("MK1-bin", gateway.items(uplink, 1, "MK1-bin", before_emptyings=(70_000, 84_270)))
    received = await server.received()
    assert received["refused"] == []
    assert [one["value"] for one in received["readings"]] == [70_000, 84_270, 84_270]


async def test_polling_transport_delivers_too(server: reset.ResetStandIn, gateway: Gateway) -> None:
    uplink = gateway.uplink(transport="polling")
    await uplink.deliver("MK1-energy", gateway.items(uplink, 2))
    assert await values(server) == [84.270, 84.271]


async def test_monitor_is_created_once_also_after_a_restart(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    await uplink.deliver("MK1-energy", gateway.items(uplink, begin=1))
    await uplink.close()
    again = gateway.uplink()
    await again.deliver("MK1-energy", gateway.items(again, begin=2))
    assert (await server.received())["messages"] == {"auth": 2, "monitors": 1, "readings": 3}


async def test_new_calibration_date_modifies_the_monitor_before_its_readings(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    changed = gateway.uplink(ENERGY | {"calibrated": "2026-08-01T00:00:00+02:00", "label": "Main"})
    await changed.deliver("MK1-energy", gateway.items(changed, begin=1))
    monitor = (await server.received())["monitors"]["MK1-energy"]
    assert monitor["meta"]["monitor_detail"]["last_monitor_calibration_date"] == "2026-08-01T00:00:00+02:00"
    assert (monitor["label"], monitor["messages"]) == ("Main", 2)


async def test_channel_taken_out_of_the_configuration_is_not_dropped_at_reset(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    second = {"id": "c02", "readings": {"power_consumption": "E2/import_total"}}
    uplink = gateway.uplink(ENERGY | {"channels": [*ENERGY["channels"], second]})
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    less = gateway.uplink(ENERGY | {"label": "Main"})
    await less.deliver("MK1-energy", gateway.items(less, begin=1))
    received = await server.received()
    assert received["refused"] == []
    assert received["monitors"]["MK1-energy"]["channels"] == [{"channel_id": "c01"}, {"channel_id": "c02"}]


async def test_large_backlog_is_divided_and_each_part_acknowledged(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    names = [f"c{n:03}" for n in range(200)]
    channels = [{"id": name, "readings": {"power_consumption": f"{name}/i"}} for name in names]
    uplink = gateway.uplink(ENERGY | {"channels": channels})
    await uplink.deliver("MK1-energy", gateway.items(uplink, 48))
    received = await server.received()
    assert received["messages"]["readings"] == 2
    assert len(received["readings"]) == 48 * 200


async def test_connection_is_closed_when_nothing_was_sent_for_a_while(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    uplink = gateway.uplink(idle_close_s=0.2)
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    await uplink.idle()
    await until(server, lambda received: received["disconnects"])
    await uplink.deliver("MK1-energy", gateway.items(uplink, begin=1))
    assert (await server.received())["connections"] == 2


# ---- answers ----


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
    server: reset.ResetStandIn, gateway: Gateway, fault: dict[str, Any]
) -> None:
    await server.set_faults(**fault)
    uplink = gateway.uplink()
    for number in range(3):
        await uplink.deliver("MK1-energy", gateway.items(uplink, begin=number))
    received = await server.received()
    assert [one["value"] for one in received["readings"]] == [84.270, 84.271, 84.272]
    assert received["messages"] == {"auth": 1, "monitors": 1, "readings": 3}


async def test_error_that_names_no_message_counts_when_no_other_answer_comes(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    await server.set_faults(stray_errors=1, lost_acks=1)
    with pytest.raises(RejectedError) as caught:
        await uplink.deliver("MK1-energy", gateway.items(uplink, begin=1))
    assert caught.value.words == "stray error"


async def test_refused_reading_is_told_in_resets_own_words(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    uplink = gateway.uplink()
    items = gateway.items(uplink, 4)
    await server.set_faults(poison="2026-01-15T12:30:00+01:00")
    with pytest.raises(RejectedError) as caught:
        await uplink.deliver("MK1-energy", items)
    assert caught.value.words == ("data.readings[1].reading_time: 2026-01-15T12:30:00.000+01:00 is refused")
    for good in (items[:1], items[2:]):
        await uplink.deliver("MK1-energy", good)
    assert await values(server) == [84.270, 84.272, 84.273]


async def test_refused_monitor_pauses_its_stream_and_no_other(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    await server.set_faults(refuse_monitor="MK1-energy")
    uplink = gateway.uplink(ENERGY, WATER)
    with pytest.raises(MisconfiguredError, match="monitor MK1-energy is refused") as caught:
        await uplink.deliver("MK1-energy", gateway.items(uplink))
    assert caught.value.stream == "MK1-energy"
    await uplink.deliver("MK1-water", gateway.items(uplink, 1, "MK1-water"))


async def test_monitor_that_reset_lost_is_created_again(server: reset.ResetStandIn, gateway: Gateway) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    await server.reset_state()
    await uplink.deliver("MK1-energy", gateway.items(uplink, begin=1))
    assert (await server.received())["messages"]["monitors"] == 1
    assert await values(server) == [84.271]


async def test_monitor_whose_creation_was_never_acknowledged_is_modified(
    server: reset.ResetStandIn, gateway: Gateway, store: SqliteStore
) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    await server.set_faults(refuse_recreate=True)
    await store.set_state("reset", "MK1-energy", '{"account":"none","definition":{}}')
    again = gateway.uplink(ENERGY | {"label": "Main"})
    await again.deliver("MK1-energy", gateway.items(again, begin=1))
    assert (await server.received())["monitors"]["MK1-energy"]["label"] == "Main"


async def test_a_monitor_cannot_become_another_module(server: reset.ResetStandIn, gateway: Gateway) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    other = gateway.uplink(WATER | {"connection_id": "MK1-energy"})
    with pytest.raises(MisconfiguredError, match="as energy; it cannot become water") as caught:
        await other.deliver("MK1-energy", gateway.items(other, begin=1))
    assert caught.value.stream == "MK1-energy"


# ---- credentials ----


async def test_refused_credentials_are_a_matter_of_settings_and_stay_secret(
    server: reset.ResetStandIn, gateway: Gateway, caplog: pytest.LogCaptureFixture
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
    assert SECRET not in said


async def test_unanswered_credentials_are_tried_again_later(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    await server.set_faults(silent_auth=True)
    uplink = gateway.uplink(auth_timeout_s=0.3)
    with pytest.raises(NotDeliveredError, match="did not answer `auth`") as caught:
        await uplink.deliver("MK1-energy", gateway.items(uplink))
    assert not caught.value.in_doubt


# ---- faults ----


async def fails(uplink: Uplink, items: Sequence[Item]) -> NotDeliveredError:
    with pytest.raises(NotDeliveredError) as caught:
        await uplink.deliver("MK1-energy", items)
    return caught.value


@pytest.mark.parametrize(
    ("fault", "says"),
    [
        ({"lost_acks": 1}, "did not answer `readings`"),
        ({"lost_messages": 1}, "did not answer `readings`"),
        ({"late_acks": 0.8}, "did not answer `readings`"),
        ({"freeze": 30}, "did not answer `readings`"),
        ({"disconnect": 1}, "lost before it answered `readings`"),
        ({"error_10500": 1}, "10500 Internal Server Error"),
    ],
    ids=["lost_acks", "lost_messages", "late_acks", "freeze", "disconnect", "error_10500"],
)
async def test_after_a_doubt_the_same_values_are_sent_again_until_acknowledged(
    server: reset.ResetStandIn, gateway: Gateway, fault: dict[str, Any], says: str
) -> None:
    uplink = gateway.uplink(ack_timeout_s=0.5)
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    await server.set_faults(**fault)
    items = gateway.items(uplink, 2, begin=1)
    for _ in range(3):
        error = await fails(uplink, items)
        assert says in str(error)
        assert error.in_doubt
        if "freeze" in fault:
            break
    await server.set_faults(**dict.fromkeys(fault))
    await uplink.deliver("MK1-energy", items)
    received = await server.received()
    assert [one["value"] for one in received["readings"]] == [84.270, 84.271, 84.272]
    assert (received["conflicts"], received["out_of_order"]) == ([], [])
    assert all("used before" not in one["message"] for one in received["refused"])
    assert received["connections"] > 1  # no answer may come for another message's


async def test_refused_connection_is_told_without_doubt(server: reset.ResetStandIn, gateway: Gateway) -> None:
    await server.set_faults(refuse="connect")
    uplink = gateway.uplink()
    error = await fails(uplink, gateway.items(uplink))
    assert not error.in_doubt
    assert "127.0.0.1" in str(error)


async def test_connection_closed_by_reset_between_two_half_hours_is_made_again(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    uplink = gateway.uplink()
    await uplink.deliver("MK1-energy", gateway.items(uplink))
    await server.set_faults(refuse="connect")
    await until(server, lambda received: received["disconnects"])
    await server.set_faults(refuse=None)
    await uplink.deliver("MK1-energy", gateway.items(uplink, begin=1))
    assert await values(server) == [84.270, 84.271]


async def test_stop_in_the_middle_of_a_message_leaves_nothing_behind(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    await server.set_faults(lost_acks=1)
    uplink = gateway.uplink()
    delivering = asyncio.create_task(uplink.deliver("MK1-energy", gateway.items(uplink)))
    await until(server, lambda received: received["messages"]["monitors"])
    delivering.cancel()
    await asyncio.gather(delivering, return_exceptions=True)
    await uplink.close()
    await until(server, lambda received: received["disconnects"])


@pytest.mark.slow
async def test_everything_arrives_in_order_and_once_through_all_faults_together(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    await server.set_faults(
        lost_acks=0.1,
        lost_messages=0.1,
        disconnect=0.1,
        error_10500=0.1,
        stray_errors=0.2,
        duplicate_acks=0.2,
        answer_key="mixed",
    )
    uplink = gateway.uplink(ack_timeout_s=0.3, stray_wait_s=0.1)
    done = 0
    while done < 40:
        items = gateway.items(uplink, min(4, 40 - done), begin=done)
        for _ in range(50):
            try:
                await uplink.deliver("MK1-energy", items)
                break
            except (NotDeliveredError, RejectedError, MisconfiguredError):
                continue  # a stray error and a lost ack together look like a refusal
        else:
            pytest.fail("never delivered")
        done += len(items)
    received = await server.received()
    assert [round(one["value"] * 1000) for one in received["readings"]] == [84_270 + n for n in range(40)]
    assert (received["conflicts"], received["out_of_order"], received["falls"]) == ([], [], [])


# ---- the connection test ----


async def test_check_goes_all_the_way_and_creates_nothing(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    steps = await gateway.uplink().check()
    assert [(step.name, step.ok) for step in steps] == [
        (name, True) for name in ("DNS", "TCP", "TLS", "NAMESPACE", "AUTH", "ROUND TRIP")
    ]
    received = await server.received()
    assert (received["monitors"], received["readings"]) == ({}, [])
    assert received["messages"] == {"auth": 1, "monitors": 0, "readings": 0}


async def test_check_says_which_namespace_is_wrong_and_which_credentials(
    server: reset.ResetStandIn, gateway: Gateway
) -> None:
    wrong = await gateway.uplink(url=f"{server.origin}/v3").check()
    assert (wrong[-1].name, wrong[-1].ok) == ("NAMESPACE", False)
    assert "no namespace /v3" in wrong[-1].detail
    refused = await gateway.uplink(client_secret="wr0ng-secret").check()
    assert (refused[-1].name, refused[-1].ok) == ("AUTH", False)
    assert "10401" in refused[-1].detail
    assert "wr0ng-secret" not in refused[-1].detail


async def test_binding_of_a_reading_is_what_the_pipeline_asks_for(gateway: Gateway) -> None:
    [wanted] = gateway.uplink().wanted()
    assert wanted.bindings == (Binding(product="E1", key="import_total"),)
    assert gateway.uplink().batch_limit("MK1-energy") == 48
    assert gateway.uplink().due_ms(FIRST) == FIRST
    assert gateway.uplink(mode="daily").due_ms(FIRST) == parse_iso("2026-01-16T01:00:00+01:00")
