"""The Wattics stand-in: one HTTP endpoint that checks, records and misbehaves on request.

What it checks is "REST API – Smart Meter Energy Data API": one packet a transaction, on one line, exactly the
documented keys, local time with its offset, strictly chronological per meter. A packet that is not newer than
the last of its meter is answered 200 and discarded, as "the system will discard all packets not sent
chronologically" says. The address and the read-back come from developers.wattics.com.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import contextlib
import json
import math
import os
from collections.abc import AsyncIterator, Collection, Mapping
from typing import Any

from aiohttp import web

from meterkast.model.errors import ConfigError
from meterkast_rig.faults import Faults, FaultValue, Kind, parse_faults, probability, seconds
from meterkast_rig.stopping import stop_event
from meterkast_rig.wattics_packet import RefusedError, check_packet, stamp_ms
from meterkast_rig.wattics_received import Received, page

PATH = "/measurements/v2/unifiedjson/"
FAULTS_VARIABLE = "METERKAST_RIG_WATTICS_FAULTS"


def stamp(text: str) -> str:
    """A tsISO8601, or nothing.

    Raises:
        ValueError: Another format.
    """
    try:
        if text:
            stamp_ms(text)
    except RefusedError as error:
        raise ValueError(str(error)) from error
    return text


SWITCHES: Mapping[str, Kind] = {
    "lost_answers": probability,  # stored, then the connection is cut
    "cut": probability,  # the connection is cut before anything is stored
    "error_400": probability,  # not stored
    "error_500": probability,  # half of them stored all the same
    "error_503": probability,  # not stored, with Retry-After
    "retry_after": seconds,  # of error_503, in the header; 1 when 0
    "portal": probability,  # a captive portal's page with status 200; nothing stored
    "redirect": probability,  # 302 to the same address; nothing stored
    "poison": stamp,  # a tsISO8601: a packet of this instant is answered 400
    "forbid": str,  # a meter id: answered 403
    "refuse_auth": bool,  # 401 whatever the credentials
    "freeze": bool,  # requests wait until it is off, then go on
    "slow": seconds,  # waits before the packet is looked at
    "delay": seconds,  # waits after it is stored: a constant round trip, for a benchmark
    "wall_clock": bool,  # order and equality by local time, offset ignored; set it before the first packet
    "forget": int,  # each meter loses its newest n packets, once, when it is set: a platform put back in time
    "null_when_empty": bool,  # read-back of a meter without packets is `null` instead of `{}`
}

_MAX_BODY_BYTES = 64 * 1024
_TEXT_401 = "HTTP Status 401 - Full authentication is required to access this resource"
_PORTAL = "<!doctype html><title>Guest network</title><form><button>I accept the terms</button></form>"


class WatticsStandIn:
    """A stand-in: its answers, and its controls for a test.

    Attributes:
        origin: `http://host:port`, once it listens.
        url: `origin` + `/measurements/v2/unifiedjson/`.
    """

    def __init__(
        self,
        *,
        username: str = "demo",
        password: str = "demo",
        meters: Collection[str] | None = None,
        faults: str = "",
        seed: int = 0,
    ) -> None:
        """`meters` are the registered meter ids, None for any.

        Raises:
            ConfigError: A wrong fault switch.
        """
        self.origin = ""
        self._credentials = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self._meters = None if meters is None else frozenset(meters)
        self._faults = Faults(SWITCHES, faults, seed=seed)
        self._received = Received()
        self._thawed = asyncio.Event()
        self._let_go()

    @property
    def url(self) -> str:
        return self.origin + PATH

    async def received(self) -> dict[str, Any]:
        """Everything it received, as `GET /received.json` gives it."""
        return self._received.as_json()

    async def faults(self) -> dict[str, FaultValue]:
        """Every fault switch and its value."""
        return self._faults.as_json()

    async def set_faults(self, **changes: FaultValue | None) -> None:
        """Set the switches named; None turns one off.

        Raises:
            ConfigError: No such switch, or a value of another kind.
        """
        self._faults.set(changes)
        if self._faults.on("forget"):
            self._received.forget(int(self._faults.number("forget")))
            self._faults.set({"forget": None})
        self._let_go()

    async def reset_state(self) -> None:
        """Forget everything received, and begin the chances again from the seed."""
        self._received = Received()
        self._faults.restart()

    def application(self) -> web.Application:
        """The routes: the platform's, and the stand-in's own beside them."""
        app = web.Application(client_max_size=_MAX_BODY_BYTES)
        app.router.add_route("*", PATH.rstrip("/"), self._without_slash)
        app.router.add_post(PATH, self._post)
        app.router.add_get(PATH, self._read_back, allow_head=False)
        app.router.add_get("/", self._page)
        app.router.add_get("/received.json", self._get_received)
        app.router.add_get("/faults", self._get_faults)
        app.router.add_post("/faults", self._post_faults)
        app.router.add_post("/reset-state", self._post_reset)
        return app

    def stop(self) -> None:
        """Let go of the requests a freeze holds."""
        self._thawed.set()

    async def _post(self, request: web.Request) -> web.StreamResponse:
        self._received.posts += 1
        raw = await request.read()
        try:
            answer = await self._before(request)
            if answer is None:
                answer = self._take(request, raw)
        except RefusedError as refused:
            answer = self._refuse(refused, raw)
        return await self._after(answer)

    def _take(self, request: web.Request, raw: bytes) -> web.Response:
        faults = self._faults
        self._authenticate(request)
        fails = faults.chance("error_500")
        if fails and faults.coin():
            return web.Response(status=500, text="Internal Server Error")
        body = check_packet(raw)
        if self._meters is not None and body["id"] not in self._meters:
            raise RefusedError(404, f"Not Found: no meter {body['id']!r}")
        if body["id"] == faults.text("forbid"):
            raise RefusedError(403, f"Forbidden: meter {body['id']!r}")
        instant_ms = stamp_ms(body["tsISO8601"])
        if faults.on("poison") and instant_ms == stamp_ms(faults.text("poison")):
            raise RefusedError(400, f"Bad Request: {body['tsISO8601']} is refused")
        if faults.chance("error_400"):
            raise RefusedError(400, "Bad Request")
        wall = faults.on("wall_clock")
        self._received.store(body, stamp_ms(body["tsISO8601"][:-6] + "+00:00") if wall else instant_ms)
        if fails:
            return web.Response(status=500, text="Internal Server Error")
        if faults.chance("lost_answers"):
            _cut(request)
        return web.Response()

    async def _read_back(self, request: web.Request) -> web.StreamResponse:
        self._received.gets += 1
        try:
            answer = await self._before(request)
            if answer is None:
                self._authenticate(request)
                answer = self._last_packet(request.query.get("stream"))
        except RefusedError as refused:
            answer = self._refuse(refused, request.query_string.encode())
        return await self._after(answer)

    def _last_packet(self, meter: str | None) -> web.Response:
        if meter is None:
            # What a client gets that followed a redirect of its POST as GET: 200, and nothing delivered.
            return web.json_response({})
        if self._meters is not None and meter not in self._meters:
            raise RefusedError(404, f"Not Found: no meter {meter!r}")
        last = self._received.last(meter)
        if last is not None:
            return web.json_response(last.body)
        return web.json_response(None if self._faults.on("null_when_empty") else {})

    async def _without_slash(self, request: web.Request) -> web.Response:
        query = f"?{request.query_string}" if request.query_string else ""
        return web.Response(status=301, headers={"Location": PATH + query})

    async def _before(self, request: web.Request) -> web.Response | None:
        """The faults of the way there; None when the request has arrived."""
        faults = self._faults
        await self._thawed.wait()
        if faults.on("slow"):
            await asyncio.sleep(faults.number("slow"))
        if faults.chance("cut"):
            _cut(request)
            return web.Response()
        if faults.chance("portal"):
            return web.Response(text=_PORTAL, content_type="text/html")
        if faults.chance("redirect"):
            return web.Response(status=302, headers={"Location": PATH})
        if faults.chance("error_503"):
            wait = str(math.ceil(faults.number("retry_after")) or 1)
            return web.Response(status=503, headers={"Retry-After": wait}, text="Service Unavailable")
        return None

    async def _after(self, answer: web.Response) -> web.Response:
        if self._faults.on("delay"):
            await asyncio.sleep(self._faults.number("delay"))
        return answer

    def _authenticate(self, request: web.Request) -> None:
        if self._faults.on("refuse_auth") or request.headers.get("Authorization") != self._credentials:
            raise RefusedError(401, _TEXT_401)

    def _refuse(self, refused: RefusedError, raw: bytes) -> web.Response:
        self._received.refuse(refused.status, str(refused), raw)
        headers = {"WWW-Authenticate": 'Basic realm="Wattics"'} if refused.status == 401 else {}
        return web.Response(status=refused.status, text=str(refused), headers=headers)

    async def _page(self, request: web.Request) -> web.Response:
        return web.Response(text=page(self._received, self._faults), content_type="text/html")

    async def _get_received(self, request: web.Request) -> web.Response:
        return web.json_response({**self._received.as_json(), "faults": self._faults.as_json()})

    async def _get_faults(self, request: web.Request) -> web.Response:
        return web.json_response(self._faults.as_json())

    async def _post_faults(self, request: web.Request) -> web.Response:
        try:
            changes = json.loads(await request.read())
            if not isinstance(changes, dict):
                return web.json_response({"error": "faults are a JSON object of switches"}, status=400)
            await self.set_faults(**changes)
        except ConfigError as error:
            return web.json_response({"error": str(error), "hint": error.hint}, status=400)
        except ValueError as error:
            return web.json_response({"error": f"not JSON: {error}"}, status=400)
        return await self._get_faults(request)

    async def _post_reset(self, request: web.Request) -> web.Response:
        await self.reset_state()
        return web.json_response({})

    def _let_go(self) -> None:
        if self._faults.on("freeze"):
            self._thawed.clear()
        else:
            self._thawed.set()


@contextlib.asynccontextmanager
async def serving(
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    username: str = "demo",
    password: str = "demo",
    meters: Collection[str] | None = None,
    faults: str = "",
    seed: int = 0,
) -> AsyncIterator[WatticsStandIn]:
    """Run a stand-in in this event loop while the block lasts; `port` 0 takes a free one.

    Raises:
        ConfigError: A wrong fault switch.
        OSError: The port is taken.
    """
    stand_in = WatticsStandIn(username=username, password=password, meters=meters, faults=faults, seed=seed)
    runner = web.AppRunner(stand_in.application(), access_log=None, shutdown_timeout=1)
    await runner.setup()
    try:
        site = web.TCPSite(runner, host, port)
        await site.start()
        stand_in.origin = f"http://{host}:{runner.addresses[0][1]}"
        yield stand_in
    finally:
        stand_in.stop()
        await runner.cleanup()


def configure(parser: argparse.ArgumentParser) -> None:
    """The arguments of `meterkast rig wattics`."""
    parser.description = "A stand-in for Wattics. Its page and received.json are at the same port."
    parser.add_argument("--port", type=int, default=8070, help="0 takes a free one (default: %(default)s)")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--username", default="demo", help="(default: %(default)s)")
    parser.add_argument("--password", default="demo", help="(default: %(default)s)")
    parser.add_argument("--meters", help="registered meter ids, joined by commas (default: any id will do)")
    parser.add_argument(
        "--faults",
        default=os.environ.get(FAULTS_VARIABLE, ""),
        help=f"switches as name=value,name=value (or ${FAULTS_VARIABLE}): {', '.join(SWITCHES)}",
    )
    parser.add_argument("--seed", type=int, default=0, help="of the chances (default: %(default)s)")


def run(args: argparse.Namespace) -> int:
    """Run the stand-in until SIGINT or SIGTERM; exit status 0.

    Raises:
        ConfigError: A wrong fault switch, or the port is taken.
    """
    parse_faults(args.faults, SWITCHES)
    try:
        asyncio.run(_run(args))
    except OSError as error:
        raise ConfigError(
            f"cannot listen on {args.host}:{args.port}: {error.strerror or error}",
            hint="Give a free port with --port, or --port 0.",
        ) from error
    return 0


async def _run(args: argparse.Namespace) -> None:
    stopped = stop_event()
    meters = None if args.meters is None else [meter.strip() for meter in args.meters.split(",")]
    async with serving(
        host=args.host,
        port=args.port,
        username=args.username,
        password=args.password,
        meters=meters,
        faults=args.faults,
        seed=args.seed,
    ) as stand_in:
        print(f"listening on {stand_in.url}", flush=True)
        await stopped.wait()


def _cut(request: web.Request) -> None:
    # The answer that follows finds no connection, which aiohttp takes as a client that left.
    if request.transport is not None:
        request.transport.abort()
