"""The uplink: one stream per monitor, one connection, one message in flight.

idle → connecting → authenticating → syncing the monitor → sending, and back to idle when nothing was sent
for a minute. The document recommends "maintaining the socket connection until all the monitors and readings
events planned this session are completed": all of a backlog goes over one connection, and the next half-hour
is another session. In daily mode the last item of a day leaves others waiting for tomorrow, so it is time and
not an empty outbox that ends a session.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import TYPE_CHECKING

from meterkast.model.delivery import Item, Stream
from meterkast.model.errors import MisconfiguredError, NotDeliveredError, RejectedError, StorageError
from meterkast.model.half_hour import HalfHour
from meterkast.model.time import UtcMs, iso_local, iso_utc
from meterkast.ports.uplink import Binding, Check, Uplink, Wanted
from meterkast.uplinks.context import Context
from meterkast.uplinks.reset.answer import OK, REFUSED, UNAUTHORIZED, Answer
from meterkast.uplinks.reset.attempts import Attempts
from meterkast.uplinks.reset.monitors import (
    CREATE,
    MODIFY,
    Acknowledged,
    Definition,
    account,
    definition,
    monitor_message,
    unknown_monitor,
)
from meterkast.uplinks.reset.plan import Plan, plans
from meterkast.uplinks.reset.readings import (
    MOST_ELEMENTS,
    Part,
    compose,
    parts,
    readings_message,
)
from meterkast.uplinks.reset.schedule import daily_due_ms
from meterkast.uplinks.reset.settings import SECTION, Settings, daily_at, secret, target

if TYPE_CHECKING:
    from meterkast.uplinks.reset.session import Session

log = logging.getLogger(__name__)

SCOPE = "reset"
"""Of the store's state: what RESET acknowledged of each monitor, by connection_id."""


def create(settings: Settings, context: Context) -> Uplink:
    """The uplink of these settings; it connects when there is something to send.

    Raises:
        ConfigError: A value cannot work, or the secret is missing.
    """
    return ResetUplink(settings, context)


class ResetUplink:
    """RESET's API V2.1 for data providers."""

    name = "reset"
    parallel = 1  # the document gives no limit; one message in flight was measured to survive every fault

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._context = context
        self._plans = {plan.connection_id: plan for plan in plans(settings)}
        self._secret = secret(settings)
        self._daily_at = daily_at(settings)
        self._account = account(settings)
        target(settings)
        self.continues = settings.counters == "continue"
        self.urls: Sequence[str] = (settings.url,)
        self.warnings: Sequence[str] = tuple(
            warning for plan in self._plans.values() for warning in plan.warnings
        )
        # It begins anywhere: after a restart on a clock that went back no id may come again.
        self._counter = itertools.count(int(context.random() * 1_000_000))
        self._attempts = Attempts()
        self._synced: set[str] = set()
        self._session: Session | None = None
        self._lock = asyncio.Lock()
        self._rest: asyncio.Task[None] | None = None

    def wanted(self) -> Sequence[Wanted]:
        return [plan.wanted() for plan in self._plans.values()]

    def batch_limit(self, stream: str) -> int:
        """48 reading times: "one message maxes out at 48 readings"."""
        return MOST_ELEMENTS

    def compose(self, stream: Stream, half_hours: Mapping[Binding, HalfHour], end_ms: UtcMs) -> list[bytes]:
        made = compose(self._plans[stream.name], iso_local(end_ms, self._context.grid.zone), half_hours)
        return [made] if made else []

    def due_ms(self, end_ms: UtcMs) -> UtcMs:
        if self._settings.mode == "daily":
            return daily_due_ms(self._context.grid, end_ms, self._daily_at)
        return end_ms

    async def deliver(self, stream: str, items: Sequence[Item]) -> str:
        plan, receipt = self._plans.get(stream), ""
        if plan is None:
            raise MisconfiguredError(
                f"monitor {stream} is no longer in the configuration, and readings for it are left",
                hint=f"Add it to [[{SECTION}.monitors]] again to have them sent.",
                stream=stream,
            )
        async with self._lock:
            self._wake()
            try:
                for item in items:
                    receipt = self._attempts.proofs.get(item.id, receipt)
                for part in parts([item for item in items if item.id not in self._attempts.proofs]):
                    receipt = await self._send(plan, part)
            except (NotDeliveredError, asyncio.CancelledError):
                await self._drop()  # after a doubt no later answer may be taken for another's
                raise
            finally:
                self._sleep()
            self._attempts.forget(items)
        return receipt

    async def ask_time(self) -> None:
        from meterkast.uplinks import http

        ca_file, proxy = self._settings.ca_file, self._settings.proxy
        await http.ask_date(self._settings.url, ca_file=ca_file, proxy=proxy, clock=self._context.clock)

    async def idle(self) -> None:
        """The connection stays until nothing was sent for `idle_close_s`; see above."""

    async def close(self) -> None:
        async with self._lock:
            self._wake()
            await self._drop()

    async def check(self) -> Sequence[Check]:
        from meterkast.uplinks.reset.check import check

        return await check(self._settings, self._secret)

    async def _send(self, plan: Plan, part: Part) -> str:
        """One message of readings, acknowledged; returns the receipt."""
        for anew in (False, True):
            await self._sync(plan, anew=anew)
            answer = await self._ask(
                "readings",
                lambda message_id: readings_message(plan.connection_id, part.elements, message_id),
                part.items,
            )
            if answer.code == OK:
                receipt = f"{answer.message_id} {iso_utc(self._context.clock.now_ms())}"
                self._attempts.acknowledged(answer.message_id, receipt)
                return receipt
            if answer.code != REFUSED:
                break
            if anew or not unknown_monitor(answer.words):
                raise RejectedError(
                    f"RESET refuses readings of {plan.connection_id}: {answer.words}",
                    hint="Compare what is sent (meterkast reset show) with the monitor at RESET.",
                    words=answer.words,
                )
        raise answer.unclear()

    async def _sync(self, plan: Plan, *, anew: bool) -> None:
        """Let RESET acknowledge the monitor's definition, if it has not acknowledged this one.

        Args:
            anew: RESET does not know the monitor, although it acknowledged it once.
        """
        if plan.connection_id in self._synced and not anew:
            return
        had = await self._acknowledged(plan)
        if had is not None and had.definition["module"] != plan.module:
            raise MisconfiguredError(
                f"RESET knows monitor {plan.connection_id} as {had.definition['module']}; "
                f"it cannot become {plan.module}",
                hint=f"Give it another connection_id in [[{SECTION}.monitors]].",
                stream=plan.connection_id,
            )
        told = definition(plan, had.definition if had else None)
        if anew or had is None or had.definition != told:
            await self._tell(plan, told, CREATE if anew or had is None else MODIFY)
            await self._keep(plan, Acknowledged(self._account, told).text())
        self._synced.add(plan.connection_id)

    async def _tell(self, plan: Plan, told: Definition, kind: str) -> None:
        refusal = await self._refusal(told, kind)
        if not refusal:
            log.info("monitor acknowledged", extra={"uplink": self.name, "kind": kind})
            return
        # Created before, and the acknowledgement was lost; or deleted at RESET since.
        other = MODIFY if kind == CREATE else CREATE
        if kind == CREATE or unknown_monitor(refusal):
            second = await self._refusal(told, other)
            if not second:
                log.info("monitor acknowledged", extra={"uplink": self.name, "kind": other})
                return
            refusal = f"{kind}: {refusal}; {other}: {second}"
        raise MisconfiguredError(
            f"RESET refuses monitor {plan.connection_id}: {refusal}",
            hint=f"Correct it in [[{SECTION}.monitors]]; `meterkast reset show` prints what is sent.",
            stream=plan.connection_id,
        )

    async def _refusal(self, told: Definition, kind: str) -> str:
        """RESET's words if it refuses a definition; empty if it acknowledges it."""
        answer = await self._ask("monitors", lambda message_id: monitor_message(kind, told, message_id))
        if answer.code == OK:
            return ""
        if answer.code == REFUSED:
            return answer.words or REFUSED
        raise answer.unclear()

    async def _ask(self, event: str, make: Callable[[str], str], items: Collection[Item] = ()) -> Answer:
        """Send a message; once more over a new connection if RESET has forgotten who we are."""
        for _ in range(2):
            session = await self._connected()
            message_id = f"{self._context.device_id}_{self._context.clock.now_ms()}_{next(self._counter)}"
            message = make(message_id)
            earlier = self._attempts.covering(tuple(items)) if items else frozenset()
            if items:
                self._attempts.sent(message_id, tuple(items))
            answer = await session.ask(event, message, message_id, earlier)
            if answer.code != UNAUTHORIZED:
                return answer
            await self._drop()
        raise MisconfiguredError(
            f"RESET authenticates this gateway and then refuses its `{event}`: {answer.words}",
            hint="Ask RESET whether this client_id may send data.",
        )

    async def _connected(self) -> Session:
        if self._session is not None and self._session.alive:
            return self._session
        await self._drop()
        from meterkast.uplinks.reset.session import Session

        session = Session(self._settings, self._secret, self._context.clock)
        try:
            await session.connect()
            await session.authenticate()
        except BaseException:
            await session.close()
            raise
        self._session = session
        return session

    async def _drop(self) -> None:
        if self._session is not None:
            # Forgotten only when it is closed: if this is cancelled, the next call ends it.
            await self._session.close()
            self._session = None

    def _sleep(self) -> None:
        """Close the connection when nothing was sent for a while."""
        if self._session is not None:
            self._rest = asyncio.create_task(self._close_later(), name="reset idle")

    def _wake(self) -> None:
        """Nobody else holds the lock, so the task is waiting and not closing."""
        if self._rest is not None:
            self._rest.cancel()
            self._rest = None

    async def _close_later(self) -> None:
        await asyncio.sleep(self._settings.idle_close_s)
        async with self._lock:
            await self._drop()

    async def _acknowledged(self, plan: Plan) -> Acknowledged | None:
        try:
            kept = await self._context.store.get_state(SCOPE, plan.connection_id)
        except StorageError as error:
            raise NotDeliveredError(str(error), hint=error.hint) from error
        return Acknowledged.of(kept, self._account)

    async def _keep(self, plan: Plan, text: str) -> None:
        try:
            await self._context.store.set_state(SCOPE, plan.connection_id, text)
        except StorageError as error:
            # RESET is told once more after the next start, which is harmless.
            log.warning("monitor not kept", extra={"uplink": self.name, "reason": str(error)})
