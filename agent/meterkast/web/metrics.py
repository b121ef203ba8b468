"""`/metrics` for Prometheus, read from one snapshot at each scrape. The library is imported at the first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from aiohttp import web

from meterkast.pipeline.health import Snapshot, UplinkHealth
from meterkast.web.gateway import Gateway

if TYPE_CHECKING:
    from prometheus_client.core import Metric


class Metrics:
    """The handler. Labels hold ids and keys, never a meter's number."""

    def __init__(self, gateway: Gateway) -> None:
        self._gateway = gateway
        self._scrape: Callable[[], tuple[bytes, str]] | None = None

    async def serve(self, request: web.Request) -> web.Response:
        """`GET /metrics`."""
        if self._scrape is None:
            # A fifth of a second on a small Pi: not on the loop that reads the meters.
            self._scrape = await asyncio.to_thread(_scraper, self._gateway.seen)
        body, kind = self._scrape()
        return web.Response(body=body, headers={"Content-Type": kind})


def _scraper(snapshot: Callable[[], Snapshot]) -> Callable[[], tuple[bytes, str]]:
    from prometheus_client import CollectorRegistry, generate_latest
    from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4
    from prometheus_client.registry import Collector

    class Whole(Collector):
        def collect(self) -> Iterator[Metric]:
            now = snapshot()
            yield from _gateway(now)
            yield from _readings(now)
            yield from _uplinks(now)

    # Without this, registering would collect once just to learn the names.
    registry = CollectorRegistry(auto_describe=False)
    registry.register(Whole())
    return lambda: (generate_latest(registry), CONTENT_TYPE_PLAIN_0_0_4)


def _gateway(now: Snapshot) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, InfoMetricFamily

    def gauge(name: str, text: str, value: float) -> Metric:
        return GaugeMetricFamily(f"meterkast_{name}", text, value=value)

    def counter(name: str, text: str, value: float) -> Metric:
        return CounterMetricFamily(f"meterkast_{name}", text, value=value)

    yield InfoMetricFamily(
        "meterkast_build", "This gateway", {"version": now.version, "device_id": now.device_id}
    )
    yield gauge("start_timestamp_seconds", "When it started", now.started_ms / 1000)
    yield gauge("clock_timestamp_seconds", "Its UTC", now.clock.now_ms / 1000)
    yield gauge("clock_trusted", "1 where its time may be relied on", now.clock.trust != "unknown")
    yield gauge("clock_disputed", "1 while sources of the time disagree", bool(now.clock.dispute))
    off = GaugeMetricFamily(
        "meterkast_clock_source_offset_seconds", "How far a source is ahead", labels=["source", "verdict"]
    )
    for source in now.clock.sources:
        off.add_metric([source.name, source.verdict], source.off_s)
    yield off
    yield gauge("clock_speed", "1, or how many times as fast a rehearsal runs", now.clock.speed)
    problems = GaugeMetricFamily("meterkast_problems", "Problems now, by severity", labels=["severity"])
    for severity in ("attention", "problem"):
        problems.add_metric([severity], sum(each.severity == severity for each in now.problems))
    yield problems
    yield gauge("storage_file_bytes", "Size of the database with its log", now.storage.file_bytes)
    yield gauge("storage_free_bytes", "Free on its file system", now.storage.free_bytes)
    yield counter("storage_writes", "Transactions made durable since start", now.storage.writes)
    yield counter("storage_failures", "Transactions refused since start", now.storage.failures)
    yield gauge("books_rows", "Half-hours checked against the samples last night", now.books.rows)
    yield gauge("books_wrong", "Half-hours that do not agree with the samples", now.books.wrong)
    yield gauge("held_batches", "Batches in memory that may not be kept yet", now.held)
    refused = CounterMetricFamily(
        "meterkast_readings_refused", "Readings refused since start", labels=["reason"]
    )
    for reason, count in now.refused.items():
        refused.add_metric([reason], count)
    yield refused


def _readings(now: Snapshot) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    telegrams = CounterMetricFamily(
        "meterkast_driver_telegrams", "Telegrams or reports since start", labels=["driver", "verdict"]
    )
    restarts = CounterMetricFamily("meterkast_driver_restarts", "Restarts since start", labels=["driver"])
    reading = GaugeMetricFamily("meterkast_driver_reading", "1 while it hears its device", labels=["driver"])
    for driver in now.drivers:
        for verdict, count in driver.counters.items():
            telegrams.add_metric([driver.name, verdict], count)
        restarts.add_metric([driver.name], driver.restarts)
        reading.add_metric([driver.name], driver.state == "reading")
    yield from (telegrams, restarts, reading)

    available = GaugeMetricFamily(
        "meterkast_node_available", "1 while a device of a network can be reached", labels=["product"]
    )
    for product in now.products:
        if product.availability:
            available.add_metric([str(product.id)], product.availability == "available")
    yield available

    labels = ["product", "property", "key"]
    age = GaugeMetricFamily(
        "meterkast_reading_age_seconds", "Since the newest reading was measured", labels=labels
    )
    fresh = GaugeMetricFamily("meterkast_reading_fresh", "1 while the newest reading stands", labels=labels)
    closed = GaugeMetricFamily(
        "meterkast_half_hour_closed_timestamp_seconds", "End of the newest closed half-hour", labels=labels
    )
    missing = GaugeMetricFamily(
        "meterkast_half_hour_missing", "1 where the newest closed half-hour is missing", labels=labels
    )
    for product in now.products:
        for entry in product.properties:
            who = [str(product.id), str(entry.id), entry.key]
            if entry.age_s is not None:
                age.add_metric(who, entry.age_s)
            fresh.add_metric(who, entry.fresh)
            if entry.last_half_hour is not None:
                closed.add_metric(who, entry.last_half_hour.end_ms / 1000)
                missing.add_metric(who, entry.last_half_hour.value is None)
    yield from (age, fresh, closed, missing)


def _uplinks(now: Snapshot) -> Iterator[Metric]:
    from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

    def family(
        kind: type[GaugeMetricFamily] | type[CounterMetricFamily],
        name: str,
        text: str,
        value: Callable[[UplinkHealth], float | None],
    ) -> Metric:
        metric = kind(f"meterkast_uplink_{name}", text, labels=["uplink"])
        for uplink in now.uplinks:
            if (found := value(uplink)) is not None:
                metric.add_metric([uplink.name], found)
        return metric

    def seconds(at_ms: int | None) -> float | None:
        return None if at_ms is None else at_ms / 1000

    gauge, counter = GaugeMetricFamily, CounterMetricFamily
    yield family(gauge, "backlog_items", "Items not acknowledged yet", lambda each: each.backlog)
    yield family(
        gauge,
        "backlog_half_hours",
        "Half-hours not acknowledged yet, of the stream that has most",
        lambda each: each.half_hours,
    )
    yield family(
        gauge,
        "backlog_left_seconds",
        "How long the backlog will take at the pace of late; absent while nothing is delivered",
        lambda each: each.left_s,
    )
    if now.left_s is not None:
        yield gauge(
            "meterkast_backlog_left_seconds", "The same, until all uplinks are done", value=now.left_s
        )
    yield family(
        gauge,
        "oldest_pending_timestamp_seconds",
        "Interval end of the oldest item not acknowledged",
        lambda each: seconds(each.oldest_pending_ms),
    )
    yield family(
        gauge,
        "last_acknowledged_timestamp_seconds",
        "When the platform last acknowledged",
        lambda each: seconds(each.last_acknowledged_ms),
    )
    yield family(
        gauge,
        "quarantined_items",
        "Items set aside",
        lambda each: max(len(each.quarantined), sum(stream.quarantined for stream in each.streams)),
    )
    yield family(gauge, "paused", "1 while its settings are wrong", lambda each: each.state == "paused")
    yield family(counter, "delivered_items", "Items acknowledged since start", lambda each: each.delivered)
    yield family(counter, "failures", "Failed deliveries since start", lambda each: each.failures)
