"""What we keep: one SQLite database with samples, half-hours and an outbox per uplink."""

from __future__ import annotations

from meterkast_buffer.store import SqliteStore, open_store

__all__ = ["SqliteStore", "open_store"]
