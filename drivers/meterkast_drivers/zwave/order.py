"""What a person orders: whether it can be meant, and in words."""

from __future__ import annotations

from meterkast.model.errors import RefusedError
from meterkast.network import JobKind, JobRequest
from meterkast_drivers.zwave import smart_start
from meterkast_drivers.zwave.device import LONGEST_NAME

LONGEST_WAIT_S = 3600.0
"""The stick listens to everybody meanwhile: nobody leaves it so for longer."""

_NEED_NODE = frozenset({"remove", "replace", "interview"})

ORDERS: dict[JobKind, str] = {
    "include": "A device is to be added.",
    "exclude": "A device is to be taken out.",
    "remove": "A device that no longer answers is to be removed.",
    "replace": "A new device is to take a failed one's place.",
    "interview": "A device is to be asked everything again.",
    "heal": "Routes are to be found again.",
    "backup": "The stick's memory is to be saved.",
}
"""The first sentence of a job."""


def check(request: JobRequest) -> None:
    """Whether an order can be carried out at all.

    Raises:
        RefusedError: It cannot; what is wrong, and what to write instead.
    """
    if request.kind in _NEED_NODE and request.node is None:
        raise RefusedError(
            f"{request.kind} needs a device", hint="Give its number; `meterkast zwave nodes` lists them."
        )
    if not 1.0 <= request.timeout_s <= LONGEST_WAIT_S:
        raise RefusedError(
            f"{request.timeout_s:g} s is no time to wait", hint=f"Give 1 to {LONGEST_WAIT_S:.0f} seconds."
        )
    if request.pin and not (len(request.pin) == 5 and request.pin.isascii() and request.pin.isdecimal()):
        raise RefusedError(
            f'"{request.pin}" is no PIN',
            hint="Give the five digits that are underlined on the device's label.",
        )
    if request.product is not None and not 0 < len(request.product.strip()) <= LONGEST_NAME:
        raise RefusedError(
            "the product's name is empty or too long",
            hint=f"Give a name of at most {LONGEST_NAME} characters, or leave it out.",
        )
    smart_start.check(request)
