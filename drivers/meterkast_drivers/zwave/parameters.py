"""Sets the configuration parameters that the settings ask for, where they differ.

They are compared whenever a device gets ready. One that zwave-js does not describe cannot be compared: it is
set once in a run, as devices keep their parameters in flash memory that wears out.
"""

from __future__ import annotations

import asyncio
import logging
from collections import Counter
from typing import TYPE_CHECKING, Any

from meterkast.model.errors import LinkLostError, RefusedError
from meterkast_drivers.zwave.devices import Device, Devices
from meterkast_drivers.zwave.settings import Settings, parameter_key

if TYPE_CHECKING:
    from meterkast_drivers.zwave.link import Link

log = logging.getLogger(__name__)

ANSWER_S = 30.0

_ASLEEP, _DEAD = 1, 3
_REFUSED = frozenset((0, 2, 3, 4, 5))
# SetValueStatus of zwave-js that mean it was not set.


class Parameters:
    """Sets parameters of devices that are ready and awake.

    Attributes:
        counters: In the operator's words.
    """

    def __init__(self, devices: Devices, settings: Settings) -> None:
        self.counters: Counter[str] = Counter()
        self._devices = devices
        self._settings = settings
        self._wanted: set[int] = set()
        self._blindly: set[tuple[int, str]] = set()  # node and parameter
        self._news = asyncio.Event()

    def ready(self, node: int) -> None:
        """The device was interviewed: compare and set."""
        if self._settings.of(node).parameters:
            self._wanted.add(node)
            self._news.set()

    def added(self, node: int) -> None:
        """A device that was not there before has the number."""
        self._blindly = {one for one in self._blindly if one[0] != node}

    def awake(self, node: int) -> None:
        """The device can be spoken to now."""
        if node in self._wanted:
            self._news.set()

    async def run(self, link: Link) -> None:
        """Set what is asked for until cancelled.

        Raises:
            LinkLostError: The connection is gone.
        """
        while True:
            await self._news.wait()
            self._news.clear()
            for node in sorted(self._wanted):
                device = self._devices.get(node)
                if device is None or not device.ready:
                    self._wanted.discard(node)
                elif device.live is not None and device.live.data.get("status") not in (_ASLEEP, _DEAD):
                    self._wanted.discard(node)
                    await self._apply(link, device)

    async def _apply(self, link: Link, device: Device) -> None:
        failed: list[str] = []
        for text, wanted in self._settings.of(device.node).parameters.items():
            try:
                if await self._set(link, device, text, wanted):
                    self.counters["parameters set"] += 1
            except LinkLostError:
                raise
            except Exception as error:  # a device's odd answer must not end the others
                failed.append(f"Parameter {text} was not set to {wanted}: {error}")
                if not isinstance(error, RefusedError):
                    log.exception("parameter not set", extra={"node": device.node, "parameter": text})
        self.counters["parameters not set"] += len(failed)
        device.problem = "; ".join(failed) + "." if failed else ""

    async def _set(self, link: Link, device: Device, text: str, wanted: int) -> bool:
        """Set one parameter; False where it was so already.

        Raises:
            RefusedError: It is out of range, or the device refused.
        """
        live: Any = device.live
        number, mask = parameter_key(text)
        what = f"setting parameter {text} of node {device.node}"
        value_id = f"{device.node}-112-0-{number}" + (f"-{mask}" if mask is not None else "")
        value = live.values.get(value_id)
        if value is None:
            if (device.node, text) in self._blindly:
                return False
            await link.ask(
                live.async_set_raw_config_parameter_value(wanted, number, mask), what=what, within_s=ANSWER_S
            )
            self._blindly.add((device.node, text))
            return True
        if value.value == wanted:
            return False
        low, high = value.metadata.min, value.metadata.max
        if (low is not None and wanted < low) or (high is not None and wanted > high):
            raise RefusedError(
                f"the device takes {low} to {high}", hint="Look into the device's manual for the value."
            )
        result = await link.ask(live.async_set_value(value_id, wanted), what=what, within_s=ANSWER_S)
        if result is not None and int(result.status) in _REFUSED:
            raise RefusedError(f"the device refused ({result})", hint="Look into the device's manual.")
        return True
