"""Whatever goes wrong in a job, it ends with a sentence, and the next one can begin."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meterkast.model.errors import LinkLostError, RefusedError, StorageError
from meterkast.model.product import Medium, ProductDescription

BEGIN = "controller.begin_rebuilding_routes"


@pytest.mark.parametrize(
    ("error", "word", "sentence"),
    [
        (RefusedError("not so", hint="Try again."), "heal_proto_fail", "Not so. Try again."),
        (
            StorageError("the disk is full", hint="Free some."),
            "heal_internal",
            "The disk is full. Free some.",
        ),
        (LinkLostError("it is gone", hint="Wait."), "heal_internal", "It is gone. Wait. What was done"),
        (IndexError("odd"), "heal_internal", "Something went wrong inside the gateway (IndexError)."),
    ],
)
async def test_error_of_each_kind(
    site: Any, caplog: pytest.LogCaptureFixture, error: Exception, word: str, sentence: str
) -> None:
    site.server.answers[BEGIN] = [error]
    await site.connect(site.described(7))
    view = await site.ended((await site.start("heal")).id)
    assert (view.state, site.last(view)[0]) == ("failed", word)
    assert site.last(view)[1].startswith(sentence)
    failures = [one for one in caplog.records if one.message == "job failed"]
    assert [(one.job, one.kind) for one in failures] == ([(view.id, "heal")] if "odd" in str(error) else [])
    assert (await site.start("heal")).state == "running"


async def test_order_that_is_never_answered(site: Any) -> None:
    site.server.answers[BEGIN] = asyncio.Event()
    await site.connect(site.described(7))
    view = await site.ended((await site.start("heal")).id)
    assert site.last(view)[0] == "heal_busy"
    assert "no answer" in site.last(view)[1]


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (RefusedError("the stick is jammed", hint=""), "the stick is jammed"),
        (TimeoutError(), "no answer"),
        (KeyError("odd"), "KeyError"),
    ],
)
async def test_job_that_cannot_be_stopped_in_order(
    site: Any, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    async def broken(self: Any) -> str:
        raise error

    monkeypatch.setattr("meterkast_drivers.zwave.inclusion.Inclusion.abort", broken)
    await site.connect()
    view = await site.network.cancel((await site.searching()).id)
    assert f"It could not be stopped in order ({why})." in site.last(view)[1]
    assert site.server.looking == set()


async def test_steps_that_cannot_be_kept_are_shown_all_the_same(
    site: Any, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def refuse(_: Any) -> None:
        raise StorageError("the disk is full", hint="Free some space.")

    monkeypatch.setattr(site.shelf, "report", refuse)
    await site.connect()
    view = await site.network.cancel((await site.searching()).id)
    assert [one.status for one in view.steps][-1] == "install_aborted"
    assert caplog.messages.count("a job's step was not kept") == len(view.steps)


async def test_several_products_of_one_name(site: Any) -> None:
    await site.connect()
    for number in (1, 2):
        await site.shelf.declare(
            ProductDescription(identity=f"product:{number}", name="Meter", medium=Medium.OTHER), []
        )
    with pytest.raises(RefusedError, match='2 products are called "meter"') as refused:
        await site.start("include", product="meter")
    assert refused.value.hint == "Give its id: 1, 2."


async def test_device_that_is_not_there(site: Any) -> None:
    await site.connect(site.described(7))
    with pytest.raises(RefusedError, match="there is no device 8"):
        site.network.values(8)
    assert site.network.values(7) == []


async def test_product_that_waits_for_a_device_that_went_again(site: Any, made: Any) -> None:
    product, _ = await site.shelf.declare(
        ProductDescription(identity="product:1", name="Meter", medium=Medium.OTHER, type="Meter"), []
    )
    link = await site.connect()
    job = await site.searching(security="none", product="Meter")
    link.added(site.described(5, ready=False))
    await site.said(job.id, "install_configuring")
    await site.network.cancel(job.id)
    link.removed(5)
    site.devices.changed(5)
    link.added({**site.described(5), "values": [made.energy()]})
    await site.named(5)
    assert site.devices.get(5).product.id != product.id
