"""How the uplinks are: what each stream waits for, what is pending and set aside, and what is wrong."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from meterkast.model.delivery import StreamStatus
from meterkast.model.time import HALF_HOUR_MS
from meterkast.pipeline.beginning import FIRST_READING
from meterkast.pipeline.closing import Closing
from meterkast.pipeline.delivery import Delivery
from meterkast.pipeline.health import Problem, QuarantinedItem, StreamHealth, UplinkHealth
from meterkast.pipeline.keeping import Keeper
from meterkast.pipeline.pace import longest_s
from meterkast.ports.store import Store

NOT_COMPOSED = (
    "Its half-hours are kept, but an internal error keeps them from being put into the platform's form. "
    "Nothing is lost. Please report this, with the log."
)


class UplinkExaminer:
    """Looks at the uplinks; asked each time somebody looks."""

    def __init__(
        self, *, store: Store, closing: Closing, keeper: Keeper, deliveries: Mapping[str, Delivery]
    ) -> None:
        self._store = store
        self._closing = closing
        self._keeper = keeper
        self._deliveries = deliveries

    def healths(self) -> tuple[UplinkHealth, ...]:
        """Every uplink, in the configuration's order."""
        statuses, failed = self._store.streams(), self._closing.failed()
        found = []
        for name, delivery in self._deliveries.items():
            streams = []
            for wanted in delivery.uplink.wanted():
                key = name, wanted.name
                status = statuses.get(key)
                state = delivery.stream_state(wanted.name)
                waiting_for = self._keeper.beginning.waiting_for.get(key, ())
                streams.append(
                    StreamHealth(
                        name=wanted.name,
                        bound=not waiting_for,
                        waiting_for=waiting_for,
                        pending=status.pending if status else 0,
                        quarantined=status.quarantined if status else 0,
                        composed_ms=status.composed_ms if status else None,
                        delivered_ms=status.delivered_ms if status else None,
                        problem=(
                            NOT_COMPOSED
                            if key in failed
                            else f"{state.paused} {state.hint}"
                            if state and state.paused
                            else ""
                        ),
                    )
                )
            lengths = {wanted.name: wanted.length_ms for wanted in delivery.uplink.wanted()}
            own = [status for (uplink, _), status in statuses.items() if uplink == name]
            oldest = [status.oldest_pending_ms for status in own if status.oldest_pending_ms is not None]
            found.append(
                UplinkHealth(
                    name=name,
                    state=delivery.breaker.state,
                    detail=delivery.breaker.detail,
                    hint=delivery.breaker.hint,
                    backlog=sum(status.pending for status in own),
                    half_hours=max((_half_hours(status, lengths) for status in own), default=0),
                    left_s=delivery.left_s(),
                    oldest_pending_ms=min(oldest) if oldest else None,
                    last_acknowledged_ms=delivery.last_acknowledged_ms,
                    last_receipt=delivery.last_receipt,
                    delivered=delivery.delivered,
                    failures=delivery.breaker.failures,
                    retry_at_ms=delivery.breaker.retry_at_ms,
                    streams=tuple(streams),
                    quarantined=tuple(
                        QuarantinedItem(id=item.id, stream=item.stream, at_ms=item.at_ms, words=item.words)
                        for item in delivery.refusals.quarantined
                    ),
                )
            )
        return tuple(found)

    def left_s(self, uplinks: Sequence[UplinkHealth]) -> float | None:
        """How long until everything that waits is delivered, s; None where nobody can know."""
        return longest_s((uplink.backlog, uplink.left_s) for uplink in uplinks)

    def problems(self, uplinks: Sequence[UplinkHealth], *, settled: bool) -> list[Problem]:
        """What is wrong with them.

        Args:
            settled: Whether the gateway has run long enough for what is waited for to mean something.
        """
        problems = []
        for uplink in uplinks:
            where = f"uplink {uplink.name}"
            if uplink.state == "paused":
                problems.append(Problem(severity="problem", where=where, what=uplink.detail, do=uplink.hint))
            elif uplink.state == "waiting":
                problems.append(
                    Problem(severity="attention", where=where, what=uplink.detail, do=uplink.hint)
                )
            if uplink.quarantined:
                problems.append(
                    Problem(
                        severity="attention",
                        where=where,
                        what=f"{len(uplink.quarantined)} items were refused and set aside.",
                        do="Read its words, correct the cause, then `meterkast outbox send-again`.",
                    )
                )
            for stream in uplink.streams:
                if stream.problem:
                    problems.append(
                        Problem(
                            severity="problem", where=f"{where}, {stream.name}", what=stream.problem, do=""
                        )
                    )
                elif stream.waiting_for and settled:
                    # A sleeping device may tell its first value an hour after it was added.
                    patient = stream.waiting_for == (FIRST_READING,)
                    problems.append(
                        Problem(
                            severity="attention" if patient else "problem",
                            where=f"{where}, {stream.name}",
                            what="Waits for " + "; ".join(stream.waiting_for) + ".",
                            do="Nothing, unless it lasts: then check the device."
                            if patient
                            else "Check the meter, or the name of the value in the configuration.",
                        )
                    )
        return problems


def _half_hours(status: StreamStatus, lengths: Mapping[str, int]) -> int:
    """The pending items of a stream as half-hours, rounded up."""
    return -(-status.pending * lengths.get(status.stream, HALF_HOUR_MS) // HALF_HOUR_MS)
