"""Asks the platforms what they have, and sends again what they lack: only the gap, and in order."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import cast

from meterkast.model.delivery import StreamStatus
from meterkast.model.errors import MisconfiguredError, NotDeliveredError
from meterkast.model.time import DAY_MS, HOUR_MS, UtcMs
from meterkast.ports.uplink import Answering, Uplink
from meterkast.proof.books import BookedStore

_MUTE_MS = 2 * DAY_MS - HOUR_MS
"""The third night in a row; the night the clock changes is an hour shorter."""

SCOPE, KEY = "proof", "reconcile"


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came of asking after one stream.

    Attributes:
        asked_ms: When.
        outcome: "agrees", "sent again", "would be sent again", "not shown", "backlog", "not asked" or
            "cannot tell".
        held_ms: End of the newest interval that the platform has; None where it has none, or did not say.
        delivered_ms: End of the newest interval that is delivered by our books.
        again: How many items were put back.
        gone: How many lack at the platform, and cannot be sent again: their payload is no longer kept.
        words: Why it was not asked; empty otherwise.
        mute_ms: Since when it could not be asked; None where it could.
    """

    uplink: str
    stream: str
    asked_ms: int
    outcome: str
    held_ms: int | None = None
    delivered_ms: int | None = None
    again: int = 0
    gone: int = 0
    words: str = ""
    mute_ms: int | None = None


async def reconcile(
    store: BookedStore,
    uplinks: Mapping[str, Uplink],
    now_ms: UtcMs,
    *,
    only: str = "",
    dry_run: bool = False,
) -> list[Answer]:
    """Ask after every stream that something was delivered to, and put back what a platform lacks.

    Args:
        only: Only the uplink of that name; empty for all.
        dry_run: Put nothing back, and keep no result.

    Returns:
        One for each stream, in their order. They are kept for the report.

    Raises:
        StorageError: The database refused.
    """
    before = {(one.uplink, one.stream): one for one in await kept(store)}
    answers = []
    for (name, stream), status in sorted(store.streams().items()):
        if (uplink := uplinks.get(name)) is None or only not in ("", name) or status.delivered_ms is None:
            continue
        answers.append(await _ask(store, uplink, stream, status, now_ms, before.get((name, stream)), dry_run))
    if not dry_run:
        known = before | {(one.uplink, one.stream): one for one in answers}
        await store.set_state(SCOPE, KEY, json.dumps([asdict(one) for one in known.values()]))
    return answers


async def kept(store: BookedStore) -> list[Answer]:
    """What came of it the last time, by stream."""
    text = await store.get_state(SCOPE, KEY)
    return [Answer(**one) for one in json.loads(text)] if text else []


async def _ask(
    store: BookedStore,
    uplink: Uplink,
    stream: str,
    status: StreamStatus,
    now_ms: UtcMs,
    before: Answer | None,
    dry_run: bool,
) -> Answer:
    def answer(outcome: str, **more: object) -> Answer:
        return Answer(
            uplink=uplink.name,
            stream=stream,
            asked_ms=now_ms,
            outcome=outcome,
            delivered_ms=status.delivered_ms,
            **more,  # type: ignore[arg-type]  # fields of Answer
        )

    if not hasattr(uplink, "held_until"):
        return answer("cannot tell")
    if status.pending:
        # What waits goes out first, and says by itself what the platform has.
        return answer("backlog")
    try:
        held_ms = await cast(Answering, uplink).held_until(stream)
    except (NotDeliveredError, MisconfiguredError) as error:
        since_ms = before.mute_ms if before is not None and before.mute_ms is not None else now_ms
        return answer("not asked", words=f"{error}. {error.hint}", mute_ms=since_ms)
    assert status.delivered_ms is not None
    if held_ms is not None and held_ms >= status.delivered_ms:
        return answer("agrees", held_ms=held_ms)
    if before is not None and before.outcome in ("sent again", "not shown") and before.held_ms == held_ms:
        # It acknowledged them twice and shows them not: a third time changes nothing, for ever.
        return answer("not shown", held_ms=held_ms)
    after_ms = UtcMs(-1) if held_ms is None else held_ms
    again, gone = await store.books.send_again(status, after_ms, dry_run=dry_run)
    outcome = "would be sent again" if dry_run else "sent again"
    return answer(
        outcome if again else "backlog" if not gone else "not shown", held_ms=held_ms, again=again, gone=gone
    )


def lacking(answers: Sequence[Answer]) -> list[Answer]:
    """Those a person should know of: the platform lacks what it acknowledged, and nothing cures it.

    Or nobody knows: it could not be asked for some nights.
    """
    return [
        one
        for one in answers
        if one.outcome == "not shown"
        or one.gone
        or (one.mute_ms is not None and one.asked_ms - one.mute_ms >= _MUTE_MS)
    ]
