"""What the Wattics stand-in received, and its page."""

from __future__ import annotations

import html
import json
from dataclasses import dataclass, field
from typing import Any

from meterkast_rig.faults import Faults

_MAX_LISTED = 1000  # refusals and the like: enough to read, and a client gone wild does not fill memory


@dataclass(slots=True)
class Packet:
    """One stored packet.

    Attributes:
        tsISO8601: The stamp as it came.
        body: The whole packet, parsed.
        seq: Its place in the order of arrival over all meters, from 1.
        count: How many times it came, with equal content.
        order_ms: What its meter is ordered by: UTC, or the wall clock read as if it were UTC.
    """

    tsISO8601: str
    body: dict[str, Any]  # Any: a JSON object
    seq: int
    count: int
    order_ms: int

    def as_json(self) -> dict[str, Any]:
        return {"tsISO8601": self.tsISO8601, "body": self.body, "seq": self.seq, "count": self.count}


@dataclass(slots=True)
class Received:
    """Everything that came, in order of arrival."""

    meters: dict[str, dict[int, Packet]] = field(default_factory=dict)
    seq: int = 0
    posts: int = 0
    gets: int = 0
    repeated: int = 0
    discarded: list[dict[str, Any]] = field(default_factory=list)
    conflicts: list[dict[str, Any]] = field(default_factory=list)
    refused: list[dict[str, Any]] = field(default_factory=list)

    def store(self, body: dict[str, Any], order_ms: int) -> None:
        """Take a packet that has passed `check_packet`; discard it unless it is its meter's newest."""
        packets = self.meters.setdefault(body["id"], {})
        stamp = body["tsISO8601"]
        last = next(reversed(packets.values()), None)  # stored in rising order, so the last is the newest
        if last is None or order_ms > last.order_ms:
            self.seq += 1
            packets[order_ms] = Packet(stamp, body, self.seq, 1, order_ms)
            return
        known = packets.get(order_ms)
        if known is None:
            entry = {"id": body["id"], "tsISO8601": stamp, "last": last.tsISO8601, "body": body}
            _list(self.discarded, entry)
        elif known.body == body:
            known.count += 1
            self.repeated += 1
        else:
            _list(self.conflicts, {"id": body["id"], "tsISO8601": stamp, "was": known.body, "body": body})

    def forget(self, count: int) -> None:
        """Lose the newest packets of every meter, as a platform that was put back in time."""
        for packets in self.meters.values():
            for _ in range(min(count, len(packets))):
                packets.popitem()

    def refuse(self, status: int, why: str, raw: bytes) -> None:
        """Note a refused request; of the body, the first 2000 bytes."""
        _list(self.refused, {"status": status, "why": why, "body": raw[:2000].decode("utf-8", "replace")})

    def last(self, meter: str) -> Packet | None:
        """The newest stored packet of a meter."""
        return next(reversed(self.meters.get(meter, {}).values()), None)

    def as_json(self) -> dict[str, Any]:
        """As `GET /received.json` gives it."""
        return {
            "platform": "Wattics",
            "posts": self.posts,
            "gets": self.gets,
            "meters": {
                meter: [packet.as_json() for packet in packets.values()]
                for meter, packets in self.meters.items()
            },
            "repeated": self.repeated,
            "discarded": list(self.discarded),
            "conflicts": list(self.conflicts),
            "refused": list(self.refused),
        }


def page(received: Received, faults: Faults) -> str:
    """What it received, for a person: HTML that reloads itself."""
    on = ", ".join(f"{name}={value}" for name, value in faults.as_json().items() if value) or "none"
    meters = [
        [meter, len(packets), last.tsISO8601, json.dumps(_values(last.body))]
        for meter, packets in received.meters.items()
        if (last := received.last(meter)) is not None
    ]
    refused = [[one["status"], one["why"], one["body"]] for one in received.refused[-10:]][::-1]
    counts = [
        [
            received.posts,
            received.gets,
            received.seq,
            received.repeated,
            len(received.discarded),
            len(received.conflicts),
            len(received.refused),
        ]
    ]
    heads = ["POST", "GET", "packets", "repeated", "discarded", "conflicts", "refused"]
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta http-equiv="refresh" content="3">
<meta name="viewport" content="width=device-width, initial-scale=1"><title>Wattics stand-in</title>
<style>
body {{ font: 15px/1.5 system-ui, sans-serif; color: #1b2430 }}
body {{ margin: 2rem auto; max-width: 62rem; padding: 0 1rem }}
table {{ border-collapse: collapse; width: 100% }}
th, td {{ text-align: left; padding: .25rem .6rem; border-bottom: 1px solid #d5dbe3 }}
td {{ overflow-wrap: anywhere }}
</style></head><body>
<h1>Wattics stand-in</h1>
<p>Not the Wattics platform: a simulation on this computer. What it received:
<a href="/received.json">received.json</a>.
Faults: {html.escape(on)} (<a href="/faults">all switches</a>).</p>
{_table(heads, counts)}
<h2>Meters</h2>
{_table(["meter", "packets", "newest tsISO8601", "newest values"], meters)}
<h2>Refused, newest first</h2>
{_table(["status", "why", "packet"], refused)}
</body></html>
"""


def _values(body: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in body.items() if key not in ("id", "tsISO8601")}


def _list(items: list[dict[str, Any]], item: dict[str, Any]) -> None:
    items.append(item)
    if len(items) > _MAX_LISTED:
        del items[0]


def _table(heads: list[str], rows: list[list[Any]]) -> str:
    top = "".join(f"<th>{html.escape(head)}</th>" for head in heads)
    body = "".join(
        "<tr>" + "".join(f"<td>{html.escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{top}</tr>{body}</table>"
