"""Devices, values, jobs and pending values in lines that fit a phone's terminal."""

from __future__ import annotations

import shutil
import textwrap
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import tzinfo

from meterkast.model.time import UtcMs, to_datetime
from meterkast.network import JobView, NodeView, PendingView, ValueView
from meterkast.words import SiteTime, ago, amount, span

_NARROWEST, _USUAL, _WIDEST = 40, 60, 100

ENDS = {"running": "runs", "asking": "waits for you", "done": "done", "failed": "failed"}

PENDING = {
    "wakeup": "waits for the device to wake up",
    "sending": "sent, not yet confirmed",
    "done": "confirmed by the device",
    "failed": "failed",
    "replaced": "replaced by a newer value",
    "cancelled": "cancelled",
}
"""`model.product.PendingStatus` in words."""


def width() -> int:
    """How long a line may be."""
    return max(_NARROWEST, min(shutil.get_terminal_size((_USUAL, 24)).columns, _WIDEST))


def wrapped(text: str, indent: str = "", hanging: str | None = None) -> str:
    """The text in lines of the terminal's width."""
    return textwrap.fill(
        text,
        width(),
        initial_indent=indent,
        subsequent_indent=indent if hanging is None else hanging,
        break_on_hyphens=False,
        break_long_words=False,  # a path is copied whole
    )


def clock_time(at_ms: UtcMs, where: tzinfo) -> str:
    """14:30:05 by the site's wall clock."""
    return to_datetime(at_ms, where).strftime("%H:%M:%S")


def nodes_text(nodes: Sequence[NodeView], now_ms: UtcMs) -> str:
    """A few lines for each device."""
    if not nodes:
        return wrapped("There are no devices yet. Add one: meterkast zwave include")
    return "\n\n".join(_node(node, now_ms) for node in nodes)


def _node(node: NodeView, now_ms: UtcMs) -> str:
    kind = ", ".join(part for part in (" ".join((node.maker, node.model)).strip(), node.type) if part)
    facts = [
        "" if node.ready else "not yet interviewed",
        node.security and f"security {node.security}",
        "" if node.battery_percent is None else f"battery {node.battery_percent} %",
        "" if node.wake_up_s is None else f"wakes up every {span(node.wake_up_s)}",
        f"firmware {node.firmware}" if node.firmware else "",
        f"{amount(node.values, 'value')}",
    ]
    seen = "never heard" if node.last_seen_ms is None else f"heard {ago((now_ms - node.last_seen_ms) / 1000)}"
    radio = [
        "" if node.rssi_dbm is None else f"{node.rssi_dbm} dBm",
        "" if node.round_trip_ms is None else f"{node.round_trip_ms} ms",
        "by " + ", ".join(map(str, node.route)) if node.route else "",
        f"{node.timeouts} time-outs" if node.timeouts else "",
        f"{node.commands_dropped} dropped" if node.commands_dropped else "",
    ]
    lines = [
        wrapped(
            f"{node.node:>3}  {node.name or 'no product'}: {node.availability}, {node.state}", "", "     "
        ),
        wrapped(", ".join(filter(None, [seen, *radio])), "     "),
    ]
    if kind:
        lines.append(wrapped(kind, "     "))
    lines.append(wrapped(", ".join(filter(None, facts)), "     "))
    if node.detail:
        lines.append(wrapped(f"! {node.detail}", "     ", "       "))
    return "\n".join(lines)


def mapping_text(node: NodeView | None, values: Sequence[ValueView], now_ms: UtcMs) -> str:
    """Each value, where it went and why."""
    kept = [value for value in values if value.property_id is not None]
    generic = [value for value in kept if value.generic]
    title = f"Node {node.node}, {node.name or 'no product'}: " if node else ""
    head = f"{title}{amount(len(values), 'value')}, {len(kept)} kept" + (
        f", {len(generic)} of them generic." if generic else "."
    )
    return "\n\n".join([wrapped(head), *(_value(value, now_ms) for value in values)])


def _value(value: ValueView, now_ms: UtcMs) -> str:
    lines = [wrapped(f"{value.value}  {value.label}", "", "  ")]
    if value.property_id is None:
        lines.append(wrapped("not kept", "  "))
    else:
        unit = f", {value.unit}" if value.unit else ""
        generic = "GENERIC, " if value.generic else ""
        lines.append(
            wrapped(
                f"-> {value.key} (property {value.property_id}): {generic}{value.datatype}{unit}",
                "  ",
                "     ",
            )
        )
        ways = " and ".join(
            word for word, does in (("reported", value.sending), ("can be set", value.receiving)) if does
        )
        if value.newest is None or value.at_ms is None:
            lines.append(wrapped(f"{ways or 'neither reported nor set'}; no value yet", "     "))
        else:
            now = f"{worded(value.newest, value.names)} {value.unit}".strip()
            lines.append(wrapped(f"{ways}; {now}, {ago((now_ms - value.at_ms) / 1000)}", "     "))
    if value.why:
        lines.append(wrapped(value.why, "     "))
    return "\n".join(lines)


def worded(value: str, names: Mapping[str, str]) -> str:
    """A number with what it is called, where it has a name: On (255)."""
    return f"{names[value]} ({value})" if names.get(value) else value


@dataclass(frozen=True, slots=True)
class Known:
    """What a property is called, and its numbers."""

    path: str
    names: Mapping[str, str]


def pending_text(
    pendings: Iterable[PendingView], known: Mapping[int, Known], where: tzinfo, now_ms: UtcMs
) -> str:
    """A few lines for each value on its way."""
    parts = [one_pending_text(pending, known, where, now_ms) for pending in pendings]
    return "\n\n".join(parts) or "Nothing is on its way to a device."


def one_pending_text(pending: PendingView, known: Mapping[int, Known], where: tzinfo, now_ms: UtcMs) -> str:
    """Where one value is.

    Args:
        known: By the property's id; of a device that is gone nothing is known.
    """
    found = known.get(pending.property_id, Known(f"node {pending.node}, property {pending.property_id}", {}))
    site = SiteTime(where, now_ms)
    eta = f", expected {site.at(pending.eta_ms)}" if pending.eta_ms is not None else ""
    lines = [
        wrapped(
            f"{pending.id:>3}  {found.path} = {worded(pending.value, found.names)}",
            "",
            "     ",
        ),
        wrapped(
            f"{PENDING.get(pending.status, pending.status)}{eta}; asked {site.at(pending.at_ms)}", "     "
        ),
    ]
    if pending.detail:
        lines.append(wrapped(pending.detail, "     "))
    return "\n".join(lines)


def jobs_text(jobs: Sequence[JobView], where: tzinfo) -> str:
    """A few lines for each job."""
    return "\n\n".join(_job(job, where) for job in jobs) or "There was no job since the gateway started."


def _job(job: JobView, where: tzinfo) -> str:
    about = f" node {job.node}" if job.node is not None else ""
    left = f", {span(job.left_s)} left" if job.left_s is not None else ""
    lines = [wrapped(f"{job.id:>3}  {job.request.kind}{about}: {ENDS[job.state]}{left}", "", "     ")]
    if job.steps:
        last = job.steps[-1]
        lines.append(wrapped(f"{clock_time(last.at_ms, where)} {last.status} {last.detail}".strip(), "     "))
    return "\n".join(lines)
