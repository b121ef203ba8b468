"""What delivery remembers of one stream: its waits, its refusals, and what it is about to send."""

from __future__ import annotations

from dataclasses import dataclass, field

from meterkast.model.delivery import Item, ItemId
from meterkast.model.time import UtcMs
from meterkast.pipeline.backoff import Backoff

WHOLE = 1_000_000
"""No limit of ours on a batch."""


@dataclass(slots=True)
class StreamState:
    """Where one stream is.

    Attributes:
        retry_boot_ms: Not before this, in ms of CLOCK_BOOTTIME: the clock may be set meanwhile.
        limit: The largest batch; halved while looking for the item that is refused.
        narrow_until: The last item of the batch that is being halved.
        refusals: How often the oldest item was refused.
        row: Its items that were refused in a row and set aside.
        probing: All of them were; one item is tried now and then.
        paused, hint: Why it is paused or behind the others, and what to do; empty where it is not.
        trouble: What its last failure said, and the hint.
        due_ms: When its oldest item may be sent.
        busy: A batch is with the uplink.
    """

    backoff: Backoff
    retry_boot_ms: int = 0
    limit: int = WHOLE
    narrow_until: ItemId | None = None
    refusals: int = 0
    row: dict[ItemId, Item] = field(default_factory=dict)
    probing: bool = False
    probes: int = 0
    paused: str = ""
    hint: str = ""
    trouble: tuple[str, str] = ("", "")
    due_ms: UtcMs = UtcMs(0)
    page: list[Item] = field(default_factory=list)
    busy: bool = False
