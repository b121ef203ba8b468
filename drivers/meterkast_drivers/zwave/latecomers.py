"""Devices that come, or wake up, after their job has ended, and the products that they were meant for."""

from __future__ import annotations

import logging
from typing import Any

from meterkast.ports.inventory import Inventory
from meterkast_drivers.zwave.devices import Devices
from meterkast_drivers.zwave.errands import Errands
from meterkast_drivers.zwave.fitting import Meant
from meterkast_drivers.zwave.job import Patience
from meterkast_drivers.zwave.link import Link
from meterkast_drivers.zwave.smart_start import PRODUCT

log = logging.getLogger(__name__)


class Latecomers:
    """Links them, whether a job runs or not."""

    def __init__(self, devices: Devices, inventory: Inventory, meant: Meant, patience: Patience) -> None:
        self._inventory, self._meant, self._patience = inventory, meant, patience
        self._link: Link | None = None
        self._errands = Errands("late device not linked")
        devices.on_change.append(self._changed)

    def attach(self, link: Link) -> None:
        """A new connection; nothing may be awaited here."""
        self._link = link
        link.driver.controller.on("node added", lambda heard: self._added(heard["node"], link))

    def detach(self) -> None:
        """The connection is gone."""
        self._link = None

    def close(self) -> None:
        """The gateway stops."""
        self._errands.cancel()

    def _added(self, live: Any, link: Link) -> None:
        """A device joined, perhaps hours after its job: the list says what it is meant for."""
        self._errands.begin(self._find(live, link), node=live.node_id)

    def _changed(self, node: int) -> None:
        if self._link is None or not self._meant.waits(node):
            return
        live = self._link.driver.controller.nodes.get(node)
        if live is None:
            self._meant.forget(node)
        else:
            self._errands.begin(self._link_late(live), node=node)

    async def _find(self, live: Any, link: Link) -> None:
        answer = await link.ask(
            link.driver.client.async_send_command(
                {"command": "controller.get_provisioning_entry", "dskOrNodeId": live.node_id}
            ),
            what="look up the list",
            within_s=self._patience.command_s,
        )
        identity = (answer.get("entry") or {}).get(PRODUCT)
        for product in await self._inventory.products():
            if product.description.identity == identity:
                self._meant.expect(live.node_id, product)
        await self._link_late(live)

    async def _link_late(self, live: Any) -> None:
        wrong = await self._meant.link(live)
        if wrong:
            log.warning("late device is not the one meant", extra={"node": live.node_id, "reason": wrong})
