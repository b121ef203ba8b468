"""What an uplink is given where a test has no gateway around it."""

from __future__ import annotations

from typing import cast

from meterkast.model.time import Grid, zone
from meterkast.ports.clock import Clock
from meterkast.ports.store import Store
from meterkast.uplinks.context import Context


class Memory:
    """The one part of a store that an uplink uses."""

    def __init__(self) -> None:
        self.texts: dict[tuple[str, str], str] = {}

    async def get_state(self, scope: str, key: str) -> str | None:
        return self.texts.get((scope, key))

    async def set_state(self, scope: str, key: str, text: str) -> None:
        self.texts[scope, key] = text


def context(clock: Clock) -> Context:
    """A gateway's surroundings in Amsterdam; what an uplink keeps is forgotten with it."""
    return Context(
        device_id="mk-test",
        grid=Grid(zone("Europe/Amsterdam")),
        clock=clock,
        store=cast(Store, Memory()),
        random=lambda: 0.0,
    )
