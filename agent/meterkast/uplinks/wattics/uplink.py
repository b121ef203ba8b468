"""The uplink: one stream per meter, one packet per transaction, strictly in order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from meterkast.model.delivery import Item, Stream
from meterkast.model.errors import ConfigError, MisconfiguredError, NotDeliveredError
from meterkast.model.half_hour import HalfHour
from meterkast.model.time import UtcMs, iso_local
from meterkast.ports.uplink import Binding, Check, Uplink, Wanted
from meterkast.uplinks.context import Context
from meterkast.uplinks.wattics.packet import packet, proven_ms, stamp
from meterkast.uplinks.wattics.settings import SECTION, Settings, credentials, plans, urls

if TYPE_CHECKING:
    from meterkast.uplinks.wattics.client import Client


def create(settings: Settings, context: Context) -> Uplink:
    """The uplink of these settings.

    Raises:
        ConfigError: A value cannot work, or a user or password is missing.
    """
    return WatticsUplink(settings, context)


class WatticsUplink:
    """Wattics' REST API for meter data."""

    name = "wattics"

    def __init__(self, settings: Settings, context: Context) -> None:
        self._settings = settings
        self._zone = context.grid.zone
        self._clock = context.clock
        self._plans = {plan.id: plan for plan in plans(settings)}
        self._credentials = credentials(settings)
        self._client: Client | None = None
        self._proven_ms: dict[str, UtcMs] = {}
        self.parallel = settings.parallel
        self.continues = settings.counters == "continue"
        self.urls: Sequence[str] = tuple(dict.fromkeys(urls(settings)))
        self.warnings: Sequence[str] = ()

    def wanted(self) -> Sequence[Wanted]:
        return [plan.wanted() for plan in self._plans.values()]

    def batch_limit(self, stream: str) -> int:
        """One packet per transaction, says the document."""
        return 1

    def compose(self, stream: Stream, half_hours: Mapping[Binding, HalfHour], end_ms: UtcMs) -> list[bytes]:
        """The packet of one interval; none where all of it is missing. Suspect values count as missing."""
        written = stamp(end_ms, self._zone, self._settings.dst)
        made = packet(stream.name, written, self._plans[stream.name].parameters, half_hours)
        return [made] if made else []

    async def deliver(self, stream: str, items: Sequence[Item]) -> str:
        if stream not in self._plans:
            raise MisconfiguredError(
                f"meter {stream} is no longer in the configuration, and packets for it are left",
                hint=f"Add it to [[{SECTION}.meters]] again to have them sent.",
                stream=stream,
            )
        client, receipt = self._opened(), ""
        try:
            for item in items:
                receipt = await self._read_back(client, stream, item) if item.tries > 1 else ""
                receipt = receipt or await client.post(stream, item.payload)
        except BaseException:
            self._proven_ms.pop(stream, None)  # what was on its way may be there by now
            raise
        return receipt

    async def held_until(self, stream: str) -> UtcMs | None:
        """As `Answering`: the last packet, "latest data" of a meter."""
        last = await self._opened().last(stream)
        written = last.get("tsISO8601")
        if written is None:
            return None
        last_ms = proven_ms(written, self._zone, self._settings.dst)
        if last_ms is None:
            raise NotDeliveredError(
                f"Wattics' last packet of meter {stream} bears a time whose offset is not this site's",
                hint='The platform may keep the wall clock only; then set dst = "standard-time".',
            )
        self._proven_ms.pop(stream, None)
        return last_ms

    def due_ms(self, end_ms: UtcMs) -> UtcMs:
        """At once: "our data collection system expects to receive data at the agreed time interval"."""
        return end_ms

    async def ask_time(self) -> None:
        from meterkast.uplinks import http

        ca_file, proxy = self._settings.ca_file, self._settings.proxy
        await http.ask_date(self.urls[0], ca_file=ca_file, proxy=proxy, clock=self._clock)

    async def idle(self) -> None:
        """The session stays for its cookies; its connections close by themselves."""

    async def close(self) -> None:
        if self._client is not None:
            client, self._client = self._client, None
            await client.close()

    async def check(self) -> Sequence[Check]:
        from meterkast.uplinks.wattics.check import check

        return await check(self._settings, self._zone, self._clock.now_ms())

    async def _read_back(self, client: Client, stream: str, item: Item) -> str:
        """The receipt if the platform has the packet already; else empty.

        It is asked once: packets go in order, so what is newer than its last one is not there either, until
        one fails on the way. It may lag or fail; sending again is safe, for it discards what it has.
        """
        if stream not in self._proven_ms:
            try:
                last = await client.last(stream)
            except (NotDeliveredError, MisconfiguredError):
                return ""  # the answer to the packet itself decides
            last_ms = proven_ms(last.get("tsISO8601"), self._zone, self._settings.dst)
            self._proven_ms[stream] = UtcMs(-1) if last_ms is None else last_ms
        known_ms = self._proven_ms[stream]
        return f"read back: {iso_local(known_ms, self._zone)}" if known_ms >= item.at_ms else ""

    def _opened(self) -> Client:
        if self._client is None:
            from meterkast.uplinks.wattics.client import Client

            try:
                self._client = Client(self._settings, self._credentials, self._clock)
            except ConfigError as error:
                raise MisconfiguredError(str(error), hint=error.hint) from error
        return self._client
