"""Devices that are listed by their label and join by themselves."""

from __future__ import annotations

import hashlib
from typing import Any

import pytest

pytestmark = [
    pytest.mark.slow,
    pytest.mark.asyncio(loop_scope="module"),
    pytest.mark.xdist_group("zwave smart start"),
]

PIN = ["S2_Authenticated", "S2_Unauthenticated"]


async def test_smart_start_device_joins_by_itself(site: Any) -> None:
    made = await site.stick.verb("smart_make", kind="s2meter", id=40, classes=PIN)
    job = await site.start(kind="include", code=made["dsk"], product="Tenant's meter")
    view = await site.until(job.id, "install_searching")
    assert "joins by itself" in view.steps[-1].detail
    await site.stick.verb("smart_on")
    view = await site.ended(job.id)
    assert view.state == "done"
    assert "encrypted (S2_" in view.steps[-1].detail
    assert site.running.product(40).name == "Tenant's meter"


async def test_smart_start_device_that_comes_after_its_job(site: Any) -> None:
    made = await site.stick.verb("smart_make", kind="s2meter", id=41, classes=PIN)
    job = await site.start(kind="include", code=made["dsk"], product="Late meter", timeout_s=1.0)
    view = await site.ended(job.id)
    assert view.steps[-1].status == "install_timeout"
    assert "stays on the list" in view.steps[-1].detail
    await site.stick.verb("smart_on")
    await site.running.settled(41)
    assert site.running.product(41).name == "Late meter"


async def test_smart_start_that_is_cancelled_takes_the_device_off_the_list(site: Any) -> None:
    made = await site.stick.verb("smart_make", kind="s2meter", id=42, classes=PIN)
    job = await site.start(kind="include", code=made["dsk"])
    await site.until(job.id, "install_searching")
    view = await site.network.cancel(job.id)
    assert view.steps[-1].status == "install_aborted"
    assert "off the list" in view.steps[-1].detail
    assert not await site.listed(made["dsk"])


async def test_listed_device_whose_first_five_digits_were_typed_wrong(site: Any, patience: Any) -> None:
    patience.rescue_s = 1.0
    made = await site.stick.verb("smart_make", kind="s2meter", id=45, classes=PIN)
    first, rest = made["dsk"][:5], made["dsk"][5:]
    job = await site.start(kind="include", code=f"{(int(first) + 1) % 65536:05}{rest}")
    await site.until(job.id, "install_searching")
    await site.stick.verb("smart_on")
    view = await site.ended(job.id)
    assert "install_sec_hs_fail" in site.words(view)
    assert "Device 45 is still in the network, without security" in view.steps[-1].detail
    assert (await site.exclude(45)).state == "done"


async def test_listed_device_that_goes_silent_is_taken_out_again_by_the_server(
    site: Any, patience: Any
) -> None:
    patience.exchange_s = 15.0
    made = await site.stick.verb("smart_make", kind="s2meter", id=46, classes=PIN)
    job = await site.start(kind="include", code=made["dsk"])
    await site.until(job.id, "install_searching")
    await site.stick.verb("smart_on")
    await site.until(job.id, "install_found")
    await site.stick.verb("dead", id=46)
    view = await site.ended(job.id)
    assert view.steps[-1].status == "install_sec_hs_fail"
    assert "It tries again by itself" in view.steps[-1].detail
    assert 46 not in site.numbers()
    assert site.running.losses == []


def qr_code(dsk: str, *, version: int = 1, keys: int = 3) -> str:
    """The text of a device's QR code, as zwave-js reads it: its type and its product are required."""
    told = f"{keys:03}{dsk.replace('-', '')}" + "0010" + "0409600512" + "0220" + "00134000030009600256"
    checksum = int.from_bytes(hashlib.sha1(told.encode()).digest()[:2])
    return f"90{version:02}{checksum:05}{told}"


async def test_device_joins_by_the_qr_code_of_its_label(site: Any) -> None:
    made = await site.stick.verb("smart_make", kind="s2meter", id=44, classes=PIN)
    code = qr_code(made["dsk"])
    wrong = await site.start(kind="include", code=code[:-1] + "7")
    view = await site.ended(wrong.id)
    assert view.steps[-1].status == "install_aborted"
    assert "This is no right QR code" in view.steps[-1].detail
    assert "Scan it again" in view.steps[-1].detail
    job = await site.start(kind="include", code=f"{code[:40]} {code[40:]}\n", product="By its label")
    await site.until(job.id, "install_searching")
    assert await site.listed(made["dsk"])
    await site.stick.verb("smart_on")
    view = await site.ended(job.id)
    assert (view.state, view.node) == ("done", 44)
    assert "encrypted (S2_" in view.steps[-1].detail
    assert site.running.product(44).name == "By its label"
