"""Smart Start: a device is listed by its label, and joins by itself when it is switched on, now or in a
month.

The list is kept by the Z-Wave server. With each entry stands which product the device is meant for, so
that it fills it even when it comes after the job has ended.
"""

from __future__ import annotations

import re
from typing import Any

from meterkast_drivers.zwave import library  # noqa: F401

# isort: split
# `library` has to be imported before these.
from zwave_js_server.const import SecurityClass, ZwaveFeature
from zwave_js_server.model.controller.inclusion_and_provisioning import ProvisioningEntry
from zwave_js_server.model.utils import async_parse_qr_code_string

from meterkast.model.errors import RefusedError
from meterkast.network import JobRequest
from meterkast_drivers.zwave.job import EndedError, Job
from meterkast_drivers.zwave.joining import NEAR, Joined, Joining, Phase
from meterkast_drivers.zwave.means import Means

PRODUCT = "meterkastProduct"
"""In an entry of the server's list: the identity of the product the device is meant for."""

LISTED = (
    "The device is on the list. Switch it on where it will stay: it joins by itself, which takes up to ten "
    f"minutes. If it was on already, switch it off and on. If it is not heard there: {NEAR}"
)

_DSK = re.compile(r"[0-9]{5}(-[0-9]{5}){7}", re.ASCII)
_QR = re.compile(r"90[0-9]{50,}", re.ASCII)
_QR_SMART_START = "9001"


def check(request: JobRequest) -> None:
    """Whether the code can be one.

    Raises:
        RefusedError: It is neither a QR code's text nor a DSK, or it is given without S2.
    """
    if not request.code:
        return
    if not _DSK.fullmatch(request.code) and not _QR.fullmatch(request.code):
        raise RefusedError(
            f'"{request.code}" is no code of a Z-Wave device',
            hint="Give the QR code's text (digits that begin with 90), or the DSK: eight groups of digits, "
            "12345-12345-…",
        )
    if request.security in ("s0", "none"):
        raise RefusedError(
            f'a code goes with S2 security, not with "{request.security}"',
            hint="Leave out the code or the security.",
        )
    if request.kind != "include":
        raise RefusedError("a code is for adding a device", hint="Leave out the code.")


def is_meant(request: JobRequest) -> bool:
    """Whether the device joins by itself; a QR code without Smart Start only spares the PIN."""
    return request.code.startswith(_QR_SMART_START) or bool(_DSK.fullmatch(request.code))


async def enlist(means: Means, code: str) -> str:
    """Put the device on the list; its DSK.

    Raises:
        RefusedError: The stick has no Smart Start, or the code is not understood.
    """
    ask, within_s = means.link.ask, means.patience.command_s
    has = await ask(
        means.controller.async_supports_feature(ZwaveFeature.SMART_START),
        what="Smart Start",
        within_s=within_s,
    )
    if has is False:
        raise RefusedError(
            "this stick has no Smart Start",
            hint="Leave out the code: add the device with its button and PIN.",
        )
    if _DSK.fullmatch(code):
        classes = [
            SecurityClass.S2_ACCESS_CONTROL,
            SecurityClass.S2_AUTHENTICATED,
            SecurityClass.S2_UNAUTHENTICATED,
        ]
        entry: Any = ProvisioningEntry(dsk=code, security_classes=classes)
    else:
        entry = await read(means, code)
    if means.product is not None:
        entry.additional_properties = {
            **(entry.additional_properties or {}),
            PRODUCT: means.product.description.identity,
        }
    await ask(
        means.controller.async_provision_smart_start_node(entry), what="list the device", within_s=within_s
    )
    return str(entry.dsk)


async def read(means: Means, code: str) -> Any:
    """What a QR code says.

    Raises:
        EndedError: A digit of it is wrong.
    """
    try:
        return await means.link.ask(
            async_parse_qr_code_string(means.link.driver.client, code),
            what="the code cannot be read",
            within_s=means.patience.command_s,
        )
    except RefusedError as error:
        raise EndedError(
            "aborted", f"This is no right QR code ({error}). Scan it again, or type the DSK from the label."
        ) from error


async def unlist(means: Means, dsk: str) -> None:
    """Take the device off the list."""
    await means.link.ask(
        means.controller.async_unprovision_smart_start_node(dsk),
        what="take the device off the list",
        within_s=means.patience.command_s,
    )


async def wait(job: Job, means: Means, joining: Joining, dsk: str) -> Joined:
    """The listed device, once it has joined; others that join meanwhile are left alone.

    Raises:
        EndedError: It did not come in time; it stays on the list.
        LinkLostError: The connection was lost.
    """
    while True:
        joined = await joining.wait(job.request.timeout_s)
        # Without a finished key exchange the server does not know by which entry a device came.
        if await entry_of(means, joined.live.node_id, "dsk") in (dsk, ""):
            return joined
        joining.phase, joining.node, job.node = Phase.BUTTON, None, None


async def entry_of(means: Means, node: int, key: str) -> str:
    """A text of the list's entry that a node joined by; empty where there is none."""
    answer = await means.tell("controller.get_provisioning_entry", dskOrNodeId=node)
    found = (answer.get("entry") or {}).get(key)
    return found if isinstance(found, str) else ""


def not_yet(within_s: float) -> EndedError:
    """Nothing joined while the job waited."""
    return EndedError(
        "timeout",
        f"The device has not joined in {within_s:.0f} s. It stays on the list: it joins by itself "
        "whenever it is switched on within reach, tomorrow as well, and gets its product then.",
    )
