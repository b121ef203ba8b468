"""One monitor of one channel, and a message of its readings."""

from __future__ import annotations

from typing import Any

MONITOR: dict[str, Any] = {
    "connection_id": "M1",
    "module": "energy",
    "brand": "b",
    "sku": "s",
    "serial": "1",
    "channels": [{"id": "c01", "readings": {"power_consumption": "e/i"}}],
}
PAYLOAD = (
    b'{"connection_id":"M1","reading_time":"2026-01-15T12:00:00.000+01:00",'
    b'"power_consumption":[{"channel_id":"c01","reading":84.270}]}'
)
