"""Adding that comes to a halt: the stick, the device or the server says no more."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from meterkast.model.errors import LinkLostError, RefusedError

DSK = "12345-11111-22222-33333-44444-55555-00000-12345"
OTHER_DSK = "54321-11111-22222-33333-44444-55555-00000-12345"
QR = "9001" + "1" * 50


async def test_nobody_presses_and_the_stick_does_not_stop(site: Any) -> None:
    site.server.answers["controller.stop_inclusion"] = {"success": False}
    await site.connect()
    view = await site.ended((await site.searching(timeout_s=1.0)).id)
    assert site.last(view)[0] == "install_aborted"
    assert "The stick stopped without a new device" in site.last(view)[1]
    assert "The stick may still be looking for devices" in site.last(view)[1]


@pytest.mark.parametrize("refused", [True, False])
async def test_key_exchange_that_hangs_is_broken_off_then_the_server_is_started_anew(
    site: Any, refused: bool
) -> None:
    if refused:
        site.server.answers["controller.cancel_secure_bootstrap_s2"] = RefusedError("no", hint="")
    link = await site.connect()
    job = await site.searching()
    link.tell("node found", node={"id": 5})
    view = await site.ended(job.id)
    assert "controller.cancel_secure_bootstrap_s2" in site.server.told
    assert (site.last(view)[0], site.restarts) == ("install_busy", 1)


async def test_pin_that_nobody_gives_is_not_called_a_wrong_one(site: Any) -> None:
    site.network.patience.pin_s = 0.1
    site.server.answers["node.ping"] = {"responded": True}
    link = await site.connect()
    job = await site.searching()
    link.tell("node found", node={"id": 5})
    link.tell("validate dsk and enter pin", dsk="-11111-22222-33333-44444-55555-00000-12345")
    await site.wait_for(lambda: "controller.validate_dsk_and_enter_pin" in site.server.told)
    assert site.server.newest["controller.validate_dsk_and_enter_pin"]["pin"] == ""
    link.added(site.described(5, ready=False), lowSecurity=True, lowSecurityReason=6)
    view = await site.ended(job.id)
    said = " ".join(one.detail for one in view.steps)
    assert "No PIN was given in time." in said
    assert "Wrong PIN" not in said


async def test_pin_that_is_answered_goes_to_the_server(site: Any) -> None:
    site.network.patience.exchange_s = 30.0
    link = await site.connect()
    job = await site.searching()
    link.tell("node found", node={"id": 5})
    link.tell("validate dsk and enter pin", dsk="-11111-22222-33333-44444-55555-00000-12345")
    await site.until(job.id, lambda view: view.asks == "pin")
    await site.network.answer(job.id, " 54321 ")
    await site.wait_for(lambda: "controller.validate_dsk_and_enter_pin" in site.server.told)
    assert site.server.newest["controller.validate_dsk_and_enter_pin"]["pin"] == "54321"
    link.added(site.described(5, ready=False), lowSecurity=True, lowSecurityReason=6)
    view = await site.ended(job.id)
    assert "Wrong PIN" in " ".join(one.detail for one in view.steps)


@pytest.mark.parametrize("site", [False], indirect=True)
async def test_busy_stick_whose_server_is_not_ours(site: Any) -> None:
    site.server.answers["controller.begin_inclusion"] = {"success": False}
    await site.connect()
    view = await site.ended((await site.start("include")).id)
    assert site.last(view)[0] == "install_busy"
    assert "restart the Z-Wave server, or pull the stick out" in site.last(view)[1]


async def test_busy_stick_whose_server_cannot_be_started_anew(site: Any) -> None:
    site.restart_error = LinkLostError("no stick", hint="Plug it in.")
    site.server.answers["controller.begin_inclusion"] = asyncio.Event()
    await site.connect()
    view = await site.ended((await site.start("include")).id)
    assert site.last(view) == (
        "install_busy",
        "The stick is busy, and its server could not be restarted: no stick. Plug it in.",
    )


async def test_stick_that_another_program_left_looking_is_stopped_then_used(site: Any) -> None:
    site.network.patience.busy_s = 30.0
    await site.connect()
    site.server.looking = {"exclusion"}
    site.server.answers["controller.begin_inclusion"] = [{"success": False}]
    view = await site.searching()
    assert site.server.looking == {"inclusion"}
    assert not any("The stick is busy" in one.detail for one in view.steps)


async def test_device_whose_values_cannot_be_stored_yet(site: Any, made: Any) -> None:
    link = await site.connect()
    job = await site.searching(security="none")
    site.shelf.refusing = True
    link.added({**site.described(5), "values": [made.energy()]})
    view = await site.ended(job.id)
    assert site.last(view)[0] == "install_success"
    assert "Device 5 is a device whose values are not known yet." in site.last(view)[1]


# --------------------------------------------------------------------------------------------- Smart Start


async def test_stick_without_smart_start(site: Any) -> None:
    site.server.answers["controller.supports_feature"] = {"supported": False}
    await site.connect()
    view = await site.ended((await site.start("include", code=DSK)).id)
    assert site.last(view) == (
        "install_proto_fail",
        "This stick has no Smart Start. Leave out the code: add the device with its button and PIN.",
    )
    assert "controller.provision_smart_start_node" not in site.server.told


@pytest.mark.parametrize(
    ("request_", "why"),
    [
        ({"kind": "include", "code": DSK, "security": "none"}, "a code goes with S2 security"),
        ({"kind": "include", "code": QR, "security": "s0"}, "a code goes with S2 security"),
        ({"kind": "exclude", "code": DSK}, "a code is for adding a device"),
        ({"kind": "include", "code": DSK[:-1]}, "is no code of a Z-Wave device"),
    ],
)
async def test_codes_that_make_no_sense(site: Any, request_: dict[str, Any], why: str) -> None:
    await site.connect()
    with pytest.raises(RefusedError, match=why):
        await site.start(**request_)


async def test_another_listed_device_that_joins_meanwhile_is_left_alone(site: Any) -> None:
    site.server.answers["controller.supports_feature"] = {"supported": True}
    site.server.answers["controller.get_provisioning_entry"] = lambda message: {
        "entry": {"dsk": OTHER_DSK if message["dskOrNodeId"] == 5 else DSK}
    }
    link = await site.connect()
    job = await site.searching(code=DSK)
    link.added({**site.described(5), "highestSecurityClass": 1})
    await site.wait_for(lambda: site.server.told.count("controller.get_provisioning_entry") >= 2)
    link.added({**site.described(6), "highestSecurityClass": 1})
    view = await site.ended(job.id)
    assert view.node == 6


async def test_listed_device_that_the_server_takes_out_again_without_a_word(site: Any) -> None:
    site.server.answers["controller.supports_feature"] = {"supported": True}
    link = await site.connect()
    job = await site.searching(code=DSK)
    link.tell("node found", node={"id": 5})
    view = await site.ended(job.id)
    assert site.last(view)[0] == "install_sec_hs_fail"
    assert "it was taken out again. It tries again by itself" in site.last(view)[1]
    assert site.restarts == 0


async def test_listed_device_that_does_not_come_stays_on_the_list(site: Any) -> None:
    site.server.answers["controller.supports_feature"] = {"supported": True}
    await site.connect()
    view = await site.ended((await site.searching(code=DSK, timeout_s=1.0)).id)
    assert site.last(view)[0] == "install_timeout"
    assert "It stays on the list" in site.last(view)[1]
    assert "controller.unprovision_smart_start_node" not in site.server.told
