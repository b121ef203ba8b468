"""Keys, PINs and codes, and devices that come without security."""

from __future__ import annotations

from typing import Any

import pytest

from meterkast.model.errors import RefusedError

QR = {
    "version": 0,
    "requestedSecurityClasses": [0, 1],
    "securityClasses": [0, 1],
    "dsk": "11111-22222-33333-44444-55555-00000-12345-54321",
    "genericDeviceClass": 1,
    "specificDeviceClass": 1,
    "installerIconType": 1,
    "manufacturerId": 1,
    "productType": 1,
    "productId": 1,
    "applicationVersion": "1.0",
}


async def test_nobody_at_the_button_after_a_failed_key_exchange(site: Any) -> None:
    link = await site.connect()
    site.server.answers["node.ping"] = {"responded": True}
    job = await site.searching()
    link.added(site.described(5, ready=False), lowSecurity=True, lowSecurityReason=3)
    view = await site.ended(job.id)
    assert view.state == "failed"
    assert site.last(view)[0] == "deinst_timeout"
    assert "Device 5 is still in the network, without security" in site.last(view)[1]


@pytest.mark.parametrize("how", ["lost", "refused"])
async def test_device_without_security_is_told_of_whatever_happens_next(site: Any, how: str) -> None:
    link = await site.connect()
    site.network.patience.rescue_s = 30.0
    site.server.answers["node.ping"] = {"responded": True}
    if how == "refused":
        site.server.answers["controller.begin_exclusion"] = RefusedError("no", hint="Never.")
    job = await site.searching()
    link.added(site.described(5, ready=False), lowSecurity=True, lowSecurityReason=3)
    if how == "lost":
        await site.said(job.id, "deinst_searching")
        link.lose()
    view = await site.ended(job.id)
    assert view.state == "failed"
    assert "Device 5 is still in the network, without security" in site.last(view)[1]


async def test_refused_grant_waits_for_what_becomes_of_the_device(site: Any) -> None:
    link = await site.connect()
    site.network.patience.exchange_s = 30.0
    site.server.answers["controller.grant_security_classes"] = RefusedError("too late", hint="")
    job = await site.searching()
    link.tell("node found", node={"id": 5})
    link.tell("grant security classes", requested={"securityClasses": [0, 1], "clientSideAuth": False})
    await site.wait_for(lambda: "controller.grant_security_classes" in site.server.told)
    link.added(site.described(5, ready=False), lowSecurity=True, lowSecurityReason=0)
    view = await site.ended(job.id)
    assert any(one.status == "install_sec_hs_fail" for one in view.steps)


async def test_device_without_s2_in_the_place_of_one_with_a_code(site: Any) -> None:
    link = await site.connect()
    site.server.answers["utils.parse_qr_code_string"] = {"qrProvisioningInformation": QR}
    job = await site.searching(code="9000" + "1" * 50)
    link.added(site.described(5, ready=False))
    view = await site.ended(job.id)
    assert "The device has no S2 security" in " ".join(one.detail for one in view.steps)


async def test_qr_code_without_smart_start_goes_with_the_order_and_spares_the_pin(site: Any) -> None:
    await site.connect()
    site.server.answers["utils.parse_qr_code_string"] = {"qrProvisioningInformation": QR}
    job = await site.searching(code=" 9000" + "1" * 25 + "\n" + "1" * 25)
    options = site.server.newest["controller.begin_inclusion"]["options"]
    assert options == {"strategy": 4, "provisioning": "9000" + "1" * 50}
    await site.network.cancel(job.id)


async def test_whole_dsk_of_another_device_is_refused(site: Any) -> None:
    link = await site.connect()
    site.network.patience.exchange_s = 30.0
    job = await site.searching()
    link.tell("node found", node={"id": 5})
    rest = "-11111-22222-33333-44444-55555-00000-12345"
    link.tell("validate dsk and enter pin", dsk=rest)
    await site.until(job.id, lambda view: view.asks == "pin")
    with pytest.raises(RefusedError, match="another device's label"):
        await site.network.answer(job.id, f"54321{rest[:-1]}9")
    for text in ("1234", "123456", "12 34", "abcde", "", "١٢٣٤٥"):
        with pytest.raises(RefusedError, match="is no PIN"):
            await site.network.answer(job.id, text)
    view = await site.network.answer(job.id, f"54321{rest}")
    assert view.asks == ""
    with pytest.raises(RefusedError, match="asks nothing"):
        await site.network.answer(job.id, "54321")
    await site.network.cancel(job.id)
