"""A stick that may be looking for devices, as the operator sees it in the driver's status."""

from __future__ import annotations

from typing import Any

from meterkast.model.errors import RefusedError
from meterkast.ports.driver import LinkState


async def test_the_status_says_so_until_it_has_stopped(cupboard: Any, kinds: Any) -> None:
    cupboard.driver.network.patience.again_s = 0.05
    cupboard.server.answers["controller.stop_inclusion"] = RefusedError("the stick is jammed", hint="")
    await cupboard.connect(kinds.plug(7))
    await cupboard.until(lambda: "pull the stick out" in cupboard.driver.status().detail, "said")
    status = cupboard.driver.status()
    assert (status.state, status.counters["stick not stopped"] > 0) == (LinkState.READING, True)
    del cupboard.server.answers["controller.stop_inclusion"]
    await cupboard.until(lambda: "pull the stick out" not in cupboard.driver.status().detail, "stopped")
