"""The RESET stand-in: a real Socket.IO 4.1.2 server that checks, records and misbehaves on request.

The server itself is `server.js` beside this file; this starts it as a child process, for the command
`meterkast rig reset` (`configure`, `run`) and for tests (`serving`). What it checks is "RESET API V2.1 for
Data Providers", rule by rule in `rules.js`; its fault switches are in `switches.json`.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from meterkast.model.errors import ConfigError
from meterkast_rig.faults import FaultValue, Kind, parse_faults, probability, seconds
from meterkast_rig.node_child import NodeChild, listening
from meterkast_rig.stopping import stop_event

FOLDER = Path(__file__).parent
FAULTS_VARIABLE = "METERKAST_RIG_RESET_FAULTS"
_KINDS: Mapping[str, Kind] = {"probability": probability, "seconds": seconds, "bool": bool, "text": str}


def switches() -> dict[str, Kind]:
    """The fault switches of the stand-in, for `parse_faults`."""
    table = json.loads((FOLDER / "switches.json").read_text(encoding="utf-8"))
    return {name: _KINDS[switch["kind"]] for name, switch in table.items()}


class ResetStandIn(NodeChild):
    """A running stand-in, seen from a test.

    Attributes:
        origin: `http://host:port`; Socket.IO connects here, with namespace `/v2`.
        url: `origin` + `/v2`, as the document writes it and a user pastes it.
    """

    def __init__(self, process: asyncio.subprocess.Process, url: str, session: aiohttp.ClientSession) -> None:
        super().__init__(process)
        self.url = url
        self.origin = self.url.removesuffix("/v2")
        self._session = session

    async def received(self) -> dict[str, Any]:  # Any: JSON; its shape is Received.asJson() in received.js
        """Everything it received, as `GET /received.json` gives it."""
        received: dict[str, Any] = await self._call("GET", "/received.json")
        return received

    async def faults(self) -> dict[str, FaultValue]:
        """Every fault switch and its value."""
        faults: dict[str, FaultValue] = await self._call("GET", "/faults")
        return faults

    async def set_faults(self, **changes: FaultValue | None) -> None:
        """Set the switches named; None turns one off.

        Raises:
            ConfigError: No such switch, or a value of another kind.
        """
        await self._call("POST", "/faults", changes)

    async def reset_state(self) -> None:
        """Forget everything received, and begin the chances again from the seed."""
        await self._call("POST", "/reset-state")

    async def _call(self, method: str, path: str, data: object = None) -> Any:
        async with self._session.request(method, self.origin + path, json=data) as response:
            answer = await response.json()
        if response.status != 200:
            raise ConfigError(answer["error"], hint=f"Switches: {', '.join(switches())}.")
        return answer


@contextlib.asynccontextmanager
async def serving(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    client_id: str = "demo",
    client_secret: str = "demo",
    faults: str = "",
    seed: int = 0,
    auth_timeout_s: float = 30.0,
    ping_interval_s: float = 25.0,
    ping_timeout_s: float = 20.0,
) -> AsyncIterator[ResetStandIn]:
    """Run a stand-in while the block lasts; `port` 0 takes a free one.

    An unauthenticated connection is closed after `auth_timeout_s`; a client that misses pings notices a dead
    link after `ping_interval_s` + `ping_timeout_s` (the defaults are those of Socket.IO 4.1.2).

    Raises:
        ConfigError: No Node.js, `npm ci` failed, or a wrong fault switch.
        LinkLostError: The server ended instead of listening.
    """
    parse_faults(faults, switches())
    options: dict[str, str | float] = {
        "host": host,
        "port": port,
        "client_id": client_id,
        "client_secret": client_secret,
        "faults": faults,
        "seed": seed,
        "auth_timeout": auth_timeout_s,
        "ping_interval": ping_interval_s,
        "ping_timeout": ping_timeout_s,
    }
    child = listening(FOLDER / "server.js", "RESET stand-in", options)
    async with child as (process, (url,)), aiohttp.ClientSession() as session:
        yield ResetStandIn(process, url, session)


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `meterkast rig reset`."""
    parser.description = "A stand-in for the RESET Cloud. Its page and received.json are at the same port."
    parser.add_argument("--port", type=int, default=8069, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--client-id", default="demo", help="(default: %(default)s)")
    parser.add_argument("--client-secret", default="demo", help="(default: %(default)s)")
    parser.add_argument(
        "--faults",
        default=os.environ.get(FAULTS_VARIABLE, ""),
        help=f"switches as name=value,name=value (or ${FAULTS_VARIABLE}): {', '.join(switches())}",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the chances (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the stand-in until SIGINT or SIGTERM; exit status 0 after a clean stop, else the server's.

    Raises:
        ConfigError: No Node.js, `npm ci` failed, or a wrong fault switch.
        LinkLostError: The server ended instead of listening (the port is taken).
    """
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    stop = stop_event()
    async with serving(
        host=args.host,
        port=args.port,
        client_id=args.client_id,
        client_secret=args.client_secret,
        faults=args.faults,
        seed=args.seed,
    ) as stand_in:
        print(f"listening on {stand_in.url}", flush=True)
        return await stand_in.status(stop)
