"""The built gateway: what a person is told of it, and what he can do."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from meterkast.app import Gateway, Page
from meterkast.cli import main
from meterkast.clock import SystemClock
from meterkast.config.decoding import decode
from meterkast.config.sections import Config
from meterkast.model.errors import MisconfiguredError, NotDeliveredError
from meterkast_buffer.store import open_store

Opened = Callable[..., Any]


async def test_a_value_the_meter_does_not_have_is_named_with_those_it_has(site: Opened) -> None:
    meters = [
        {"id": "a", "interval_min": 30, "readings": {"pC_1": "electricity/import_t9"}},
        {"id": "b", "interval_min": 30, "kind": "value", "value": "gas/volume", "unit": "m3"},
    ]
    async with site(meters) as it:
        await it.minutes(40)
        said = it.problems()
        assert "import_t9" in said
        assert "import_total" in said
        assert "gas/volume: no such meter was read yet" in said
        assert it.gateway.examiner.snapshot().verdict == "problem"


async def test_a_stream_that_cannot_be_composed_is_told_and_made_up_for(
    site: Opened, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with site() as it:
        await it.minutes(5)
        uplink = it.gateway.uplinks["wattics"]
        compose = uplink.compose

        def broken(*_: object) -> list[bytes]:
            raise KeyError("oops")

        monkeypatch.setattr(uplink, "compose", broken)
        await it.minutes(35)
        assert "uplink wattics, half: Its half-hours are kept" in it.problems()
        assert it.gateway.examiner.snapshot().verdict == "problem"
        assert await it.payloads("half") == []
        monkeypatch.setattr(uplink, "compose", compose)
        await it.minutes(1)
        assert "half: Its half-hours" not in it.problems()
        assert len(await it.payloads("half")) == 1
        assert len(await it.payloads("five")) == 7


@pytest.mark.parametrize(
    ("error", "state", "severity"),
    [
        (NotDeliveredError("no route to host", hint="Wait."), "waiting", "attention"),
        (MisconfiguredError("401: wrong password", hint="Correct it."), "paused", "problem"),
    ],
)
async def test_each_trouble_of_an_uplink_is_said_with_what_to_do(
    site: Opened, monkeypatch: pytest.MonkeyPatch, error: Exception, state: str, severity: str
) -> None:
    async with site() as it:
        it.driver()
        await it.minutes(35)
        assert it.gateway.examiner.snapshot().verdict == "ok", it.problems()
        delivery = it.gateway.deliveries["wattics"]

        async def deliver(stream: str, items: Sequence[object]) -> str:
            raise error

        monkeypatch.setattr(delivery.uplink, "deliver", deliver)
        await delivery._round()
        snapshot = it.gateway.examiner.snapshot()
        (uplink,) = snapshot.uplinks
        assert (uplink.state, uplink.backlog) == (state, 7)
        assert snapshot.verdict == severity
        assert str(error) in snapshot.sentence
        await it.gateway.uplinks["wattics"].close()


async def test_a_driver_without_its_device_is_said_with_what_to_do(site: Opened) -> None:
    async with site() as it:
        assert "No meter is configured" in it.problems()
        supervisor = it.driver()
        supervisor.problem, supervisor.hint = "/dev/ttyUSB0 is gone", "Plug the cable in."
        assert "p1: /dev/ttyUSB0 is gone. Plug the cable in." in it.problems()


async def test_what_was_set_aside_is_listed_and_sent_again_by_command(
    site: Opened, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with site() as it:
        await it.minutes(65)
        first, second = await it.store.pending("wattics", "half", 10)
        await it.store.quarantine([first.id], "400 no such meter", it.clock.now_ms())
    config = tmp_path / "meterkast.toml"
    config.write_text(f'[storage]\npath = "{tmp_path}/meterkast.db"\n', encoding="utf-8")

    async def outbox(*arguments: str) -> str:
        status = await asyncio.to_thread(main, ["outbox", *arguments, "--config", str(config)])
        said = capsys.readouterr()
        return f"{status}\n{said.out}{said.err}"

    listed = await outbox("list")
    assert "wattics half: 1 pending" in listed
    assert f"set aside: {first.id}  half" in listed
    assert "400 no such meter" in listed
    assert "1\nmeterkast: no item 99999 was set aside" in await outbox("send-again", "99999")
    assert "back in its stream" in await outbox("send-again")
    async with site() as it:
        assert [item.id for item in await it.store.pending("wattics", "half", 10)] == [first.id, second.id]
        assert "is in use by another gateway" in await outbox("send-again")


async def test_a_taken_page_port_does_not_stop_metering(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("meterkast.pipeline.door.RETRY_S", 0.05)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        tree = {"storage": {"path": str(tmp_path / "page.db")}, "page": {"port": taken.getsockname()[1]}}
        store = await open_store(tmp_path / "page.db")
        gateway = Gateway(decode(Config, tree), SystemClock(), store, "mk-test")
        page = Page(gateway)
        showing = asyncio.create_task(page.run())
        await page.tried.wait()
        assert page.url == ""
        assert "no page" in caplog.text
    try:
        async with asyncio.timeout(60):
            while not page.url:  # noqa: ASYNC110 - the page tells nobody
                await asyncio.sleep(0.02)
        assert page.url.endswith(f":{tree['page']['port']}/")
    finally:
        showing.cancel()
        await asyncio.gather(showing, return_exceptions=True)
        await store.close()
