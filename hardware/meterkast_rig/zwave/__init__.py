"""A simulated Z-Wave stick with its network, for the real zwave-js driver and server.

zwave-js opens the stick as `tcp://127.0.0.1:PORT`, like a serial port. Behind it are the mock controller and
mock nodes of zwave-js' own tests, with what they lack added here, in JavaScript beside this file. For the
command `meterkast rig zwave` (`configure`, `run`) and for tests (`serving`).

- `stick.js` starts it; `network.js` puts stick and devices together.
- `kinds.js` and `devices/` say what each kind of device is; a kind is one function. Values are pure functions
  of (seed, node, simulated time) from `world.js`.
- `behaviors.js`, `obeying.js`, `joining.js`, `key_exchange.js`, `failed_nodes.js`, `functions.js`, `nvm.js`:
  what the stock mock does not do, or does wrongly.
- `verbs.js`: what can be done to it by hand, over the control port; every fault is a verb.
- `shown.js`, `recording.js`: each value that really went to the host, with its time: what a gateway must have
  received.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

from meterkast.lean import aiohttp
from meterkast.model.errors import ConfigError
from meterkast.model.time import UtcMs, parse_iso
from meterkast_rig.node_child import NodeChild, listening
from meterkast_rig.stopping import stop_event

FOLDER = Path(__file__).parent
MEMORY = ("--max-semi-space-size=1", "--max-old-space-size=256")
"""MiB, for Node.js, which else clears up late where there is much memory: 110 MB in use instead of 240."""

NETWORK = "meter:2,strip:3,gas:4,water:5,air:6,scale:7,plug:8,thermostat:9,contact:10,lock:11"
"""The default network: with the P1 meter a believable cupboard, and what the demo's monitors need."""

TEST_KEYS: Mapping[str, str] = {
    "S0_Legacy": "000102030405060708090a0b0c0d0e0f",
    "S2_Unauthenticated": "101112131415161718191a1b1c1d1e1f",
    "S2_Authenticated": "202122232425262728292a2b2c2d2e2f",
    "S2_AccessControl": "303132333435363738393a3b3c3d3e3f",
}
"""Network keys for tests only: stick and server must hold the same, or no device joins with S0 or S2."""


def write_keys(path: Path) -> Path:
    """Write the network keys of the tests where a server looks for them, `<folder>/keys.json`; mode 0600."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w", encoding="utf-8") as file:
        json.dump(dict(TEST_KEYS), file, indent=2)
    return path


class Stick(NodeChild):
    """A running stick, seen from a test.

    Attributes:
        url: `tcp://127.0.0.1:port`; the stick for zwave-js.
        origin: `http://127.0.0.1:port` of the control port.
    """

    def __init__(
        self, process: asyncio.subprocess.Process, url: str, origin: str, session: aiohttp.ClientSession
    ) -> None:
        super().__init__(process)
        self.url = url
        self.origin = origin
        self._session = session

    async def verb(self, name: str, /, **arguments: object) -> Any:  # Any: JSON, by verb
        """Do something to the network, and return the verb's answer; `GET /` of `origin` lists the verbs.

        Raises:
            ConfigError: No such verb, no such node, or an argument that will not do.
        """
        async with self._session.post(f"{self.origin}/{name}", json=arguments) as response:
            answer = await response.json()
        if response.status != 200:
            raise ConfigError(
                answer["error"], hint=f"GET {self.origin}/ lists the verbs and their arguments."
            )
        return answer

    async def shown(self, after: int = 0) -> list[dict[str, Any]]:
        """What the devices showed after record number `after`, oldest first (the newest 200,000 are kept).

        Each record: n, node, endpoint, commandClass, key (meter: type<<16 | scale<<8 | rate; else the type),
        value, decimals, scale (of measured values), real_ms, sim_s, asked (answered a poll; else unasked).
        """
        records: list[dict[str, Any]] = await self.verb("shown", after=after)
        return records


@contextlib.asynccontextmanager
async def serving(
    *,
    port: int = 0,
    control: int = 0,
    devices: str = NETWORK,
    seed: int = 1,
    speed: float = 1.0,
    start: UtcMs | None = None,
    period_s: float = 300.0,
    tx_delay_ms: int = 0,
    home_id: int = 0x7E570001,
    keys: Path | None = None,
) -> AsyncIterator[Stick]:
    """Run a stick on loopback while the block lasts; port 0 takes a free one.

    Args:
        devices: The network at the start, `kind:node,kind:node`.
        seed: Which world the devices measure.
        speed: Simulated time runs so many times as fast, from `start` (default: now).
        period_s: Simulated seconds between two reports of a device.
        tx_delay_ms: What a frame takes on the air; a real one takes some 10 ms.
        keys: The server's `keys.json`; without it the keys of the tests.

    Raises:
        ConfigError: No Node.js, `npm ci` failed.
        LinkLostError: The stick ended instead of listening (a wrong device, a port in use).
    """
    with contextlib.ExitStack() as stack:
        if keys is None:
            folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="mk-"))
            keys = write_keys(Path(folder) / "keys.json")
        options: dict[str, str | float] = {
            "port": port,
            "control": control,
            "devices": devices,
            "seed": seed,
            "speed": speed,
            "start": "" if start is None else int(start),
            "period_s": period_s,
            "tx_delay_ms": tx_delay_ms,
            "home_id": f"{home_id:08x}",
            "keys": str(keys),
        }
        child = listening(FOLDER / "stick.js", "simulated stick", options, interpreter=MEMORY)
        async with child as (process, (url, origin)), aiohttp.ClientSession() as session:
            yield Stick(process, url, origin, session)


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `meterkast rig zwave`."""
    parser.description = "A simulated Z-Wave stick with its network, for the real zwave-js."
    parser.add_argument("--port", type=int, default=5555, help="of the stick (default: %(default)s)")
    parser.add_argument("--control", type=int, default=5556, help="of the verbs (default: %(default)s)")
    parser.add_argument("--devices", default=NETWORK, help="kind:node,kind:node (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=1, help="which world (default: %(default)s)")
    parser.add_argument("--speed", type=float, default=1.0, metavar="N", help="time runs N times as fast")
    parser.add_argument("--start", metavar="ISO-UTC", help="when simulated time begins (default: now)")
    parser.add_argument(
        "--period-s",
        type=float,
        default=300.0,
        help="simulated seconds between reports (default: %(default)s)",
    )
    parser.add_argument(
        "--tx-delay-ms", type=int, default=10, help="what a frame takes on the air (default: %(default)s)"
    )
    parser.add_argument(
        "--keys", type=Path, metavar="FILE", help="the server's keys.json (default: the keys of the tests)"
    )


def run(args: argparse.Namespace) -> int:
    """Run the stick until SIGINT or SIGTERM; exit status 0 after a clean stop, else the stick's.

    Raises:
        ConfigError: No Node.js, `npm ci` failed, or a time that is none.
        LinkLostError: The stick ended instead of listening.
    """
    return asyncio.run(_run(args))


async def _run(args: argparse.Namespace) -> int:
    stop = stop_event()
    async with serving(
        port=args.port,
        control=args.control,
        devices=args.devices,
        seed=args.seed,
        speed=args.speed,
        start=_start(args.start),
        period_s=args.period_s,
        tx_delay_ms=args.tx_delay_ms,
        keys=args.keys,
    ) as stick:
        print(_announcement(stick), flush=True)
        return await stick.status(stop)


def _start(text: str | None) -> UtcMs | None:
    if text is None:
        return None
    try:
        return parse_iso(text if text.endswith("Z") or "+" in text else f"{text}Z")
    except ValueError as error:
        raise ConfigError(
            f"--start {text}: {error}", hint="Give a time such as 2026-03-29T00:00:00Z."
        ) from error


def _announcement(stick: Stick) -> str:
    return f"""Z-Wave stick on {stick.url}, verbs on {stick.origin}
  curl {stick.origin}/                                   all verbs
  curl -d '{{}}' {stick.origin}/list                       all devices
  curl -d '{{"id": 8, "value": true}}' {stick.origin}/button
  curl -d '{{"id": 5}}' {stick.origin}/dead                and /alive
  curl -d '{{"kind": "s2meter", "id": 20}}' {stick.origin}/join"""
