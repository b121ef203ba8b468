"""What a driver offers whose devices can be added, removed and controlled: one interface for all who ask.

The command line reaches it over the gateway's control socket, the page from inside. A driver that has such a
network carries it as its attribute `network`. Everything that is shown is plain data that goes into JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, Protocol

import msgspec

from meterkast.model.time import UtcMs


class Frozen(msgspec.Struct, frozen=True, kw_only=True):
    """Base of what is shown and asked."""


class NodeView(Frozen, frozen=True):
    """One device of the network as it is now.

    Attributes:
        node: Its number in the network.
        product_id, name: The product behind it; None and "" while it has none.
        maker, model, type: From the device database and the device class; empty where unknown.
        status: 0 available, 1 unstable, 2 no connection (BeNext 5.3).
        availability: "available", "retrying" or "unreachable" (BeNext 4.1).
        state: "alive", "asleep", "awake", "dead" or "unknown", as the server says.
        ready: Whether it was interviewed to the end, so that its values are known.
        detail: One plain sentence where something is to be said: why it is not available, what to do.
        security: "S2_AccessControl", …, "S0_Legacy", "none".
        firmware: As the device tells it.
        battery_percent: None where it has none, or did not tell.
        last_seen_ms: When it was heard last.
        wake_up_s: How often it wakes up; None where it listens all the time.
        report_s: How often its values are expected.
        route, rssi_dbm, round_trip_ms: Of the newest transmission; None where the server gives none.
        commands_dropped, timeouts: Transmissions that failed since the server began.
        values: How many of its values are properties.
    """

    node: int
    product_id: int | None = None
    name: str = ""
    maker: str = ""
    model: str = ""
    type: str = ""
    status: int = 0
    availability: str = "available"
    state: str = "unknown"
    ready: bool = False
    detail: str = ""
    security: str = ""
    firmware: str = ""
    battery_percent: int | None = None
    last_seen_ms: UtcMs | None = None
    wake_up_s: int | None = None
    report_s: int | None = None
    route: tuple[int, ...] | None = None
    rssi_dbm: int | None = None
    round_trip_ms: int | None = None
    commands_dropped: int = 0
    timeouts: int = 0
    values: int = 0


class ValueView(Frozen, frozen=True):
    """One value of a device: where it goes and why.

    Attributes:
        value: Its id in the network: "50-0-value-65537".
        label: What the network calls it.
        command_class: Its number.
        channel: Endpoint.
        parameter: Scale or type, in digits; "" where there is none.
        property_id, key: The property it is kept as; None and "" where it is not kept.
        datatype: BeNext's name of the datatype; "" where it is not kept.
        unit: The canonical unit it is kept in.
        sending, receiving: Whether the device reports it, and takes it.
        generic: Whether it has no datatype of its own (54 Meter, 56 Sensor).
        why: One plain sentence.
        newest: The newest value as text in `unit`; None before the first.
        at_ms: When that was reported.
        names: What its numbers are called, by their text: {"255": "On"}; empty where they have no names.
    """

    value: str
    label: str
    command_class: int
    channel: int = 0
    parameter: str = ""
    property_id: int | None = None
    key: str = ""
    datatype: str = ""
    unit: str = ""
    sending: bool = False
    receiving: bool = False
    generic: bool = False
    why: str = ""
    newest: str | None = None
    at_ms: UtcMs | None = None
    names: dict[str, str] = {}


JobKind = Literal["include", "exclude", "remove", "replace", "interview", "heal", "backup"]

Security = Literal["auto", "s2", "s0", "none"]


class JobRequest(Frozen, frozen=True):
    """What is to be done.

    Attributes:
        kind: include: add a device. exclude: take out any device whose button is pressed. remove: take out a
            failed node that no longer answers. replace: put a new device in a failed node's place. interview:
            ask a device everything again. heal: let the node, or all, find routes again. backup: read the
            stick's memory.
        node: Which, for remove, replace, interview and heal (None heals all).
        product: include: the product the device is for, by id or name; it is made where there is none of that
            name. None: a product is made for the device. exclude: the product that is meant to go; where
            another device went, that is told.
        security: include: what to ask for. "auto" takes S2 where the device has it, S0 where it needs that
            (locks), else none.
        code: include: the QR code's text, or the DSK (8 × 5 digits): with Smart Start the device joins by
            itself when it is switched on, also after the job.
        pin: include: the five digits, where they are known before the device asks for them.
        asleep: remove, replace: also a device that only sleeps, so that nobody can tell whether it is gone.
        timeout_s: How long to wait for the device's button.
    """

    kind: JobKind
    node: int | None = None
    product: str | None = None
    security: Security = "auto"
    code: str = ""
    pin: str = ""
    asleep: bool = False
    timeout_s: float = 120.0


class JobStep(Frozen, frozen=True):
    """One message of a job: BeNext's status word, when, and one plain sentence."""

    status: str
    at_ms: UtcMs
    detail: str = ""


class JobView(Frozen, frozen=True):
    """A job as it is now; kept until the next gateway start, so that a page may be loaded again.

    Attributes:
        state: "running", "asking" (a person has to answer), "done" or "failed".
        steps: All messages so far, oldest first; the last one says where it is.
        asks: "pin" where the five digits of the device are wanted: answer with them.
        dsk: The device's DSK while `asks` is "pin", with its first five digits missing.
        node: The node it made or works on.
        product_id: The product it is for.
        left_s: How many seconds are left for the person; None where nobody is waited for.
    """

    id: int
    request: JobRequest
    state: Literal["running", "asking", "done", "failed"]
    steps: tuple[JobStep, ...] = ()
    asks: str = ""
    dsk: str = ""
    node: int | None = None
    product_id: int | None = None
    left_s: float | None = None


class WriteRequest(Frozen, frozen=True):
    """A value to be written to a device.

    Attributes:
        property_id: A property with `receiving`.
        value: As text: a number in the property's canonical unit, or on, off, lock, unlock, or a mode's name.
        reset_meter: Has to be set for a property that sets a meter back to zero.
    """

    property_id: int
    value: str
    reset_meter: bool = False


class PendingView(Frozen, frozen=True):
    """A value on its way to a device (BeNext 5.8); see `model.product.PendingDescription`."""

    id: int
    node: int
    property_id: int
    channel: int
    command_class: int
    parameter: str
    value: str
    status: str
    at_ms: UtcMs
    eta_ms: UtcMs | None = None
    detail: str = ""


class Network(Protocol):
    """The devices of one driver. Every method raises RefusedError with a sentence for who asked."""

    def nodes(self) -> Sequence[NodeView]:
        """All devices, by node; from memory."""

    def values(self, node: int) -> Sequence[ValueView]:
        """Each value of a device, where it goes and why."""

    async def rename(self, node: int, name: str) -> NodeView:
        """Give a device's product a person's name."""

    def jobs(self) -> Sequence[JobView]:
        """The jobs since the start, newest last; at most one is running or asking."""

    async def start(self, request: JobRequest) -> JobView:
        """Begin a job; returns at once."""

    async def answer(self, job: int, text: str) -> JobView:
        """What the job asked for: the PIN."""

    async def cancel(self, job: int) -> JobView:
        """Stop a job; returns when it has stopped."""

    async def changed(self, job: int, seen: int) -> JobView:
        """The job as soon as it has more than `seen` steps or has ended; to ask is a step too."""

    async def write(self, request: WriteRequest) -> PendingView:
        """Write a value. Returns when it is confirmed, has failed, or waits for the device to wake up."""

    async def pending(self) -> Sequence[PendingView]:
        """Values on their way and the newest that were, oldest first."""

    async def forget(self, pending: int) -> PendingView:
        """Do not write a value that still waits."""
