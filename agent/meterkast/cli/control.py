"""Asks a running gateway over its control socket."""

from __future__ import annotations

import http.client
import os
import socket
from typing import TypeVar
from urllib.parse import quote

import msgspec

from meterkast.config.sections import Config, control_socket
from meterkast.model.errors import ConfigError, LinkLostError, RefusedError
from meterkast.model.time import UtcMs
from meterkast.network import (
    JobRequest,
    JobView,
    NodeView,
    PendingView,
    ValueView,
    WriteRequest,
)
from meterkast.pipeline.meter_desk import MeterView, RetireOrder, SwapOrder, Told

T = TypeVar("T")

# Longer than a job's next step is waited for; a write to a device that answers late takes no longer either.
_TIMEOUT_S = 90.0


class Drivers(msgspec.Struct, frozen=True):
    """Which drivers have a network, and the gateway's time."""

    now_ms: UtcMs
    drivers: tuple[str, ...]


class _Refusal(msgspec.Struct, frozen=True):
    error: str
    hint: str


class _UnixConnection(http.client.HTTPConnection):
    """HTTP to a Unix socket."""

    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=_TIMEOUT_S)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Asker:
    """Asks over the control socket.

    Args:
        config: Where the socket is.
    """

    def __init__(self, config: Config) -> None:
        self._path = control_socket(config)

    def _ask(self, method: str, path: str, kind: type[T], body: bytes | None = None) -> T:
        connection = _UnixConnection(self._path)
        try:
            connection.request(method, path, body)
            answer = connection.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise self._unreachable(error) from error
        finally:
            connection.close()
        try:
            if answer.status != http.client.OK:
                refusal = msgspec.json.decode(content, type=_Refusal)
                raise RefusedError(refusal.error, hint=refusal.hint)
            return msgspec.json.decode(content, type=kind)
        except msgspec.DecodeError as error:
            raise LinkLostError(
                f"{self._path} answers {answer.status} in words that are not understood: {error}",
                hint="Gateway and command are of different releases: restart the gateway.",
            ) from error

    def _unreachable(self, error: Exception) -> LinkLostError:
        if isinstance(error, PermissionError):
            return LinkLostError(
                f"{self._path} may not be opened by this user",
                hint="Only the gateway's user and root may change devices: put sudo before the command.",
            )
        if isinstance(error, TimeoutError):
            return LinkLostError(
                f"the gateway did not answer within {_TIMEOUT_S:.0f} s",
                hint="Read its log: journalctl -u meterkast.",
            )
        what = "is not there" if not os.path.exists(self._path) else "is not answered"
        return LinkLostError(
            f"no gateway runs here: {self._path} {what}",
            hint="Start it (systemctl start meterkast), or name its configuration with --config.",
        )


class MeterControl(_Asker):
    """The meters, as a running gateway has them.

    Every method raises LinkLostError where no gateway answers, and RefusedError with the gateway's words.
    """

    def meters(self) -> list[MeterView]:
        return self._ask("GET", "/meters", list[MeterView])

    def swap(self, order: SwapOrder) -> Told:
        return self._ask("POST", "/meters/swap", Told, msgspec.json.encode(order))

    def retire(self, order: RetireOrder) -> Told:
        return self._ask("POST", "/meters/retire", Told, msgspec.json.encode(order))


class Control(_Asker):
    """The network of one driver, as a running gateway shows it.

    Every method raises LinkLostError where no gateway answers, and RefusedError with the gateway's words.

    Args:
        config: Where the socket is.
        driver: Which driver; "" where there is one.
    """

    def __init__(self, config: Config, driver: str) -> None:
        super().__init__(config)
        known = self._ask("GET", "/drivers", Drivers)
        self.now_ms = known.now_ms
        if driver and driver not in known.drivers:
            raise ConfigError(
                f'no driver "{driver}" has a network', hint=f"There are: {', '.join(known.drivers)}."
            )
        if not known.drivers:
            raise LinkLostError(
                "the gateway that runs here has no network of devices",
                hint="See that its configuration has [drivers.zwave].",
            )
        if not driver and len(known.drivers) != 1:
            raise ConfigError(
                f"there are several networks: {', '.join(known.drivers)}", hint="Say which with --driver."
            )
        self._base = "/" + quote(driver or known.drivers[0], safe="")

    def nodes(self) -> list[NodeView]:
        return self._ask("GET", f"{self._base}/nodes", list[NodeView])

    def values(self, node: int) -> list[ValueView]:
        return self._ask("GET", f"{self._base}/nodes/{node}/values", list[ValueView])

    def rename(self, node: int, name: str) -> NodeView:
        body = msgspec.json.encode({"text": name})
        return self._ask("PUT", f"{self._base}/nodes/{node}/name", NodeView, body)

    def jobs(self) -> list[JobView]:
        return self._ask("GET", f"{self._base}/jobs", list[JobView])

    def start(self, request: JobRequest) -> JobView:
        return self._ask("POST", f"{self._base}/jobs", JobView, msgspec.json.encode(request))

    def changed(self, job: int, seen: int) -> JobView:
        """The job when it has more than `seen` steps, asks or has ended; as it is after half a minute."""
        return self._ask("GET", f"{self._base}/jobs/{job}?seen={seen}", JobView)

    def job(self, job: int) -> JobView:
        return self._ask("GET", f"{self._base}/jobs/{job}", JobView)

    def answer(self, job: int, text: str) -> JobView:
        return self._ask(
            "POST", f"{self._base}/jobs/{job}/answer", JobView, msgspec.json.encode({"text": text})
        )

    def cancel(self, job: int) -> JobView:
        """Stop a job; returns when it has stopped."""
        return self._ask("DELETE", f"{self._base}/jobs/{job}", JobView)

    def write(self, request: WriteRequest) -> PendingView:
        return self._ask("POST", f"{self._base}/write", PendingView, msgspec.json.encode(request))

    def pending(self) -> list[PendingView]:
        return self._ask("GET", f"{self._base}/pending", list[PendingView])

    def forget(self, pending: int) -> PendingView:
        return self._ask("DELETE", f"{self._base}/pending/{pending}", PendingView)
