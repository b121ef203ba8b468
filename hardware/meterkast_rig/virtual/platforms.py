"""RESET and Wattics in this process: the documented rules behind the clients' lowest seams.

RESET takes the place of a Socket.IO connection (`uplinks.socketio.Connection`), Wattics that of an HTTP
session. What is refused, lost or answered with an error is drawn from a seeded generator, at rates that the
weather sets.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import random
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

from meterkast.model.errors import NotDeliveredError
from meterkast.model.time import UtcMs, parse_iso
from meterkast_rig.virtual.weather import CALM, Rates, Spans, Weather
from meterkast_rig.wattics_packet import RefusedError, check_packet

_HANG = 0.3
"""Of what happens while a platform is down: how often nothing answers at all, instead of a refusal."""

_PORTAL = "<!doctype html><title>Guest network</title><form><button>I accept the terms</button></form>"

_DISPUTE_MS = 60_000
"""So long after a dispute began something may still come: the kernel is asked every 10 s, and waits end."""

Values = Mapping[str, str]
"""Of one interval of a stream: the numbers as they were written, by parameter (and channel)."""

_ROUGH = Rates(lost_answer=10.0, lost_message=5.0, error=10.0, portal=5.0)
_NO_SPANS = Spans()


@dataclass(slots=True)
class Far:
    """What a platform has, and what was wrong with how it came.

    Attributes:
        streams: What it took: the values of each interval of each stream.
        repeated: Intervals that came again with the same values: harmless.
        wrong: Anything that must not happen, in words.
        answers: How often it answered what.
        trace: Over everything it took, with the time.
    """

    name: str
    streams: dict[str, dict[UtcMs, Values]] = field(default_factory=dict)
    repeated: int = 0
    wrong: list[str] = field(default_factory=list)
    answers: dict[str, int] = field(default_factory=dict)
    trace: Any = field(default_factory=hashlib.sha256)  # hashlib's own type has no public name
    newest: dict[str, UtcMs] = field(default_factory=dict)

    def take(self, stream: str, end_ms: UtcMs, values: Values, now_ms: UtcMs) -> None:
        """One interval came."""
        had = self.streams.setdefault(stream, {})
        known = had.get(end_ms)
        if known == values:
            self.repeated += 1
        elif known is not None:
            self.wrong.append(f"{self.name} {stream} {end_ms}: {values} after {known}")
        elif end_ms <= self.newest.get(stream, -1):
            self.wrong.append(f"{self.name} {stream} {end_ms}: out of order")
        elif end_ms > now_ms:
            self.wrong.append(f"{self.name} {stream} {end_ms}: from the future")
        else:
            had[end_ms] = values
            self.newest[stream] = end_ms
        self.trace.update(f"{now_ms} {stream} {end_ms} {sorted(values.items())}\n".encode())

    def answered(self, what: str) -> None:
        self.answers[what] = self.answers.get(what, 0) + 1


class Platform:
    """What both have in common.

    Args:
        now_ms: The true time.
        clock_right: Whether the gateway knows the time; nothing may come while it is not.
    """

    def __init__(
        self,
        name: str,
        weather: Weather,
        seed: int,
        now_ms: Callable[[], UtcMs],
        clock_right: Callable[[], bool],
    ) -> None:
        self.far = Far(name)
        self._weather = weather
        self._chance = random.Random(f"{seed} {name}")
        self.now_ms = now_ms
        self._clock_right = clock_right

    def chance(self, percent: float) -> bool:
        return self._chance.random() * 100 < percent

    def rates(self) -> Rates:
        rough = self._weather.rough.get(self.far.name, _NO_SPANS)
        return _ROUGH if rough.at(self.now_ms()) else CALM

    def is_down(self) -> bool:
        return self._weather.down.get(self.far.name, _NO_SPANS).at(self.now_ms()) is not None

    def hangs(self) -> bool:
        return self._chance.random() < _HANG

    def latency_s(self) -> float:
        return 0.02 + self._chance.random() * 0.2

    def heard(self) -> None:
        """A message came in."""
        dispute = self._weather.disputes.at(self.now_ms())
        if dispute is not None and self.now_ms() > dispute.begin_ms + _DISPUTE_MS:
            self.far.wrong.append(f"{self.far.name} {self.now_ms()}: sent in a dispute of the clocks")
        if not self._clock_right():
            self.far.wrong.append(f"{self.far.name} {self.now_ms()}: sent under an unknown clock")


class ResetPlatform(Platform):
    """RESET API V2.1: monitors first, answers by events that echo the message's id."""

    def __init__(self, *given: Any) -> None:
        super().__init__("reset", *given)
        self._monitors: set[str] = set()
        self._message_ids: set[str] = set()

    def connection(self, origin: str, namespace: str, **settings: Any) -> ResetConnection:
        """What stands for `uplinks.socketio.Connection`."""
        return ResetConnection(self, settings["on_event"], settings["on_lost"])

    def processed(self, event: str, message: dict[str, Any]) -> dict[str, str]:
        """The answer to a message: its code and words."""
        self.heard()
        rates = self.rates()
        if self.chance(rates.error):
            if self.chance(50):
                self._process(event, message)
            return {"code": "10500", "message": "Internal Server Error"}
        return self._process(event, message)

    def _process(self, event: str, message: dict[str, Any]) -> dict[str, str]:
        message_id, data = message["message_id"], message["data"]
        monitor = data["connection_id"]
        if message_id in self._message_ids:
            self.far.wrong.append(f"reset {message_id}: used before")
        self._message_ids.add(message_id)
        if event == "monitors":
            known = monitor in self._monitors
            if known != (message["message_type"] == "modify"):
                return {"code": "10400", "message": f"monitor {monitor} {'exists' if known else 'unknown'}"}
            self._monitors.add(monitor)
            return {"code": "10200"}
        if monitor not in self._monitors:
            return {"code": "10400", "message": f"no monitor {monitor}; create it first"}
        readings = data["readings"]
        if len({one["reading_time"] for one in readings}) > 48:
            return {"code": "10400", "message": "one message maxes out at 48"}
        for one in readings:
            self.far.take(monitor, parse_iso(one["reading_time"]), _by_channel(one), self.now_ms())
        return {"code": "10200"}


class ResetConnection:
    """One Socket.IO connection, as far as `reset.session.Session` knows it."""

    def __init__(
        self, platform: ResetPlatform, on_event: Callable[[str, object], None], on_lost: Callable[[str], None]
    ) -> None:
        self._platform = platform
        self._on_event = on_event
        self._on_lost = on_lost
        self.alive = False

    async def open(self, limit_s: float) -> None:
        platform = self._platform
        if platform.is_down():
            await asyncio.sleep(limit_s if platform.hangs() else platform.latency_s())
            raise NotDeliveredError("reset cannot be reached", hint="It is tried again.")
        await asyncio.sleep(platform.latency_s())
        self.alive = True

    async def send(self, event: str, message: str) -> None:
        if not self.alive:
            raise NotDeliveredError("the connection to reset is lost", hint="It is made again.")
        loop = asyncio.get_running_loop()
        loop.call_later(
            self._platform.latency_s(), self._arrives, event, json.loads(message, parse_float=str)
        )

    def _arrives(self, event: str, message: dict[str, Any]) -> None:
        platform, rates = self._platform, self._platform.rates()
        if not self.alive:
            return
        if platform.is_down():
            self._cut()
            return
        if event == "auth":
            platform.heard()
            self._says("auth", {"code": "10200"})
            return
        if platform.chance(rates.lost_message):
            platform.far.answered("lost message")
            self._cut_or_nothing()
            return
        answer = {**platform.processed(event, message), "message_id": message["message_id"]}
        if platform.chance(rates.lost_answer):
            platform.far.answered("lost answer")
            self._cut_or_nothing()
            return
        self._says("ack" if answer["code"] == "10200" else "errors", answer)

    def _says(self, event: str, answer: dict[str, str]) -> None:
        self._platform.far.answered(answer["code"])
        loop = asyncio.get_running_loop()
        loop.call_later(self._platform.latency_s(), self._heard, event, {**answer, "api_version": "v2"})

    def _heard(self, event: str, answer: dict[str, str]) -> None:
        if self.alive:
            self._on_event(event, answer)

    def _cut_or_nothing(self) -> None:
        if self._platform.chance(50):
            self._cut()

    def _cut(self) -> None:
        self.alive = False
        self._on_lost("transport closed")

    async def close(self) -> None:
        self.alive = False


class WatticsPlatform(Platform):
    """Wattics' REST API: one packet a transaction; what is not newer than the last is discarded with 200."""

    def __init__(self, *given: Any) -> None:
        super().__init__("wattics", *given)
        self._last: dict[str, dict[str, Any]] = {}

    def session(self, url: str, **settings: Any) -> WatticsSession:
        """What stands for `uplinks.http.session`."""
        return WatticsSession(self, settings["timeout_s"])

    def answer(self, method: str, params: Mapping[str, str] | None, data: bytes | None) -> Response:
        """What becomes of a request that arrived."""
        self.heard()
        rates = self.rates()
        if self.chance(rates.portal):
            return Response(200, _PORTAL, {"Content-Type": "text/html"})
        if method == "GET":
            assert params is not None
            last = self._last.get(params["stream"], {})
            return Response(200, json.dumps(last))
        fails = self.chance(rates.error)
        if fails and self.chance(50):
            return Response(503, "Service Unavailable", {"Retry-After": "20"})
        assert data is not None
        try:
            self._store(data)
        except RefusedError as refused:
            self.far.wrong.append(f"wattics refuses {data!r}: {refused}")
            return Response(refused.status, str(refused))
        return Response(500, "Internal Server Error") if fails else Response(200, "")

    def _store(self, data: bytes) -> None:
        check_packet(data)
        body: dict[str, Any] = json.loads(data, parse_float=str)
        meter, end_ms = body["id"], parse_iso(body["tsISO8601"])
        values = {key: str(value) for key, value in body.items() if key not in ("id", "tsISO8601")}
        self.far.take(meter, end_ms, values, self.now_ms())
        if end_ms == self.far.newest.get(meter):
            self._last[meter] = body


@dataclass(slots=True)
class Response:
    """As much of an aiohttp response as `wattics.client` reads."""

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)

    @property
    def content(self) -> Response:
        return self

    async def iter_any(self) -> AsyncIterator[bytes]:
        yield self.text.encode()


class WatticsSession:
    """As much of an aiohttp session as `wattics.client` uses."""

    def __init__(self, platform: WatticsPlatform, timeout_s: float) -> None:
        self._platform = platform
        self._timeout_s = timeout_s

    @asynccontextmanager
    async def request(
        self,
        method: str,
        url: str,
        *,
        params: Mapping[str, str] | None = None,
        data: bytes | None = None,
        **more: object,
    ) -> AsyncIterator[Response]:
        platform = self._platform
        if platform.is_down():
            if platform.hangs():
                await asyncio.sleep(self._timeout_s)
                raise TimeoutError
            await asyncio.sleep(platform.latency_s())
            raise ConnectionRefusedError(111, "Connection refused")
        await asyncio.sleep(platform.latency_s())
        rates = platform.rates()
        if platform.chance(rates.lost_message):
            platform.far.answered("lost message")
            raise ConnectionResetError(104, "Connection reset by peer")
        response = platform.answer(method, params, data)
        if platform.chance(rates.lost_answer):
            platform.far.answered("lost answer")
            await asyncio.sleep(self._timeout_s)
            raise TimeoutError
        await asyncio.sleep(platform.latency_s())
        platform.far.answered(f"{method} {response.status}")
        yield response

    async def close(self) -> None:
        """There is nothing to close."""


def _by_channel(reading: dict[str, Any]) -> dict[str, str]:
    values: dict[str, str] = {}
    for parameter, given in reading.items():
        if parameter in ("connection_id", "reading_time"):
            continue
        if isinstance(given, list):
            values.update({f"{parameter}/{one['channel_id']}": str(one["reading"]) for one in given})
        else:
            values[parameter] = str(given)
    return values
