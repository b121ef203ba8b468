"""The `monitors` messages: what RESET is told of a monitor, and what it is known to have acknowledged.

Source: RESET API V2.1, "Monitors - Create" and "Monitors - Modify".
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from meterkast.uplinks.reset.parameters import AIR
from meterkast.uplinks.reset.plan import Plan
from meterkast.uplinks.reset.settings import Settings

CREATE, MODIFY = "create", "modify"

Definition = Mapping[str, Any]
"""`data` of a create message; `Any` because it is JSON."""


def definition(plan: Plan, acknowledged: Definition | None = None) -> Definition:
    """What RESET is told of a monitor, keys in the order of the document's samples.

    Args:
        plan: The monitor.
        acknowledged: What RESET has. Its channels stay in the definition when they are gone from the
            configuration: "the channel_id needs to be unique and immutable for this monitor".
    """
    told: dict[str, Any] = {"label": plan.label} if plan.label else {}
    detail = {
        "monitor_brand": plan.brand,
        "monitor_sku": plan.sku,
        "monitor_serial_id": plan.serial,
    }
    if plan.calibrated:
        detail["last_monitor_calibration_date"] = plan.calibrated
    told |= {
        "connection_id": plan.connection_id,
        "module": plan.module,
        "meta": {
            "monitor_detail": detail,
            "included_parameters": {name: {"unit": unit} for name, unit in plan.units.items()},
        },
    }
    if plan.module != AIR:
        told["channels"] = [_channel(channel.id, channel.label) for channel in plan.channels]
        present = {channel.id for channel in plan.channels}
        told["channels"] += [
            channel
            for channel in (acknowledged or {}).get("channels", [])
            if channel["channel_id"] not in present
        ]
    return told


def monitor_message(kind: str, told: Definition, message_id: str) -> str:
    """A `monitors` message as compact JSON.

    Args:
        kind: CREATE or MODIFY. "Note that modify does not have 'module'"; whether it has channels is not
            said, and to leave them out could be taken as dropping them.
        told: As `definition` gives it.
        message_id: New for every attempt.
    """
    data = told if kind == CREATE else {key: value for key, value in told.items() if key != "module"}
    return compact({"message_type": kind, "message_id": message_id, "data": data})


def auth_message(client_id: str, client_secret: str) -> str:
    """The `auth` message as compact JSON. Source: RESET API V2.1, "Authentication"."""
    return compact({"client_id": client_id, "client_secret": client_secret})


def compact(value: object) -> str:
    """JSON without blanks; NaN is refused, for the platform closes the connection over it."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))


def account(settings: Settings) -> str:
    """A mark of the account that monitors live in; another account knows none of them."""
    return hashlib.sha256(f"{settings.url}\n{settings.client_id}".encode()).hexdigest()[:16]


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """What RESET acknowledged of a monitor, as it is kept in the gateway's state.

    Attributes:
        account: As `account` gives it.
        definition: As acknowledged. Kept whole and not as a digest: retired channels must be told again.
    """

    account: str
    definition: Definition

    def text(self) -> str:
        """As it is kept."""
        return compact({"account": self.account, "definition": self.definition})

    @classmethod
    def of(cls, text: str | None, account: str) -> Acknowledged | None:
        """What is kept; None where nothing is, or for another account."""
        if text is None:
            return None
        found = json.loads(text)
        return cls(account, found["definition"]) if found.get("account") == account else None


def unknown_monitor(words: str) -> bool:
    """Whether a refusal says that the monitor does not exist. The document gives no text for it."""
    said = " ".join(words.lower().split())
    return any(
        noun in said[max(0, at - 40) : at + len(denial) + 20]
        for denial in _DENIALS
        if (at := said.find(denial)) >= 0
        for noun in _NOUNS
    )


_NOUNS: Sequence[str] = ("monitor", "station", "connection_id", "connection id")
_DENIALS: Sequence[str] = (
    "no monitor",
    "no such",
    "unknown",
    "not found",
    "not exist",
    "n't exist",
    "not known",
    "not registered",
    "not been created",
    "be created first",
    "create it first",
)


def _channel(channel_id: str, label: str) -> dict[str, str]:
    return {"channel_id": channel_id} | ({"channel_label": label} if label else {})
