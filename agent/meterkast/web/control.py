"""The control socket: the networks of the drivers as JSON over HTTP, on a Unix socket. `meters` adds meters.

Whoever may open the socket may add, remove and switch devices; so only the gateway's own user, and root, may.
The command line uses it. What is asked and answered is in `meterkast.network`; lists are plain lists.
"""

from __future__ import annotations

import asyncio
import errno
import logging
import os
import socket
import stat
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import TypeVar

import msgspec
from aiohttp import web

from meterkast.model.errors import ConfigError, RefusedError
from meterkast.network import Frozen, JobRequest, JobView, Network, WriteRequest
from meterkast.ports.clock import Clock
from meterkast.web.answers import BadRequestError, UnknownError, as_json, number, plain_errors

log = logging.getLogger(__name__)

S = TypeVar("S", bound=msgspec.Struct)

POLL_S = 25.0
"""How long a question after a job's next step is held; then the job is told as it is."""

# How long a clean stop waits for answers under way.
_STOP_S = 1.0

# A question is a few words; the longest is a Smart Start code of some 140 digits.
_LARGEST_BYTES = 16 * 1024


class Text(Frozen, frozen=True):
    """What a job asked for, or a name."""

    text: str


def application(networks: Mapping[str, Network], clock: Clock) -> web.Application:
    """The routes, listening nowhere yet.

    Args:
        networks: By the driver's name.
        clock: So that who asks can tell ages in gateway time.
    """
    control = _Control(networks, clock)
    errors = plain_errors(
        "control", _refusal, elsewhere="Gateway and command are of different releases: restart the gateway."
    )
    app = web.Application(middlewares=[errors], client_max_size=_LARGEST_BYTES)
    add = app.router.add_route
    add("GET", "/drivers", control.drivers)
    add("GET", "/{driver}/nodes", control.nodes)
    add("GET", "/{driver}/nodes/{node}/values", control.values)
    add("PUT", "/{driver}/nodes/{node}/name", control.rename)
    add("GET", "/{driver}/jobs", control.jobs)
    add("POST", "/{driver}/jobs", control.start)
    add("GET", "/{driver}/jobs/{job}", control.job)
    add("POST", "/{driver}/jobs/{job}/answer", control.answer)
    add("DELETE", "/{driver}/jobs/{job}", control.cancel)
    add("POST", "/{driver}/write", control.write)
    add("GET", "/{driver}/pending", control.pending)
    add("DELETE", "/{driver}/pending/{pending}", control.forget)
    return app


class _Control:
    """The handlers."""

    def __init__(self, networks: Mapping[str, Network], clock: Clock) -> None:
        self._networks = networks
        self._clock = clock

    async def drivers(self, request: web.Request) -> web.Response:
        return as_json({"now_ms": self._clock.now_ms(), "drivers": list(self._networks)})

    async def nodes(self, request: web.Request) -> web.Response:
        return as_json(self._network(request).nodes())

    async def values(self, request: web.Request) -> web.Response:
        return as_json(self._network(request).values(_number(request, "node")))

    async def rename(self, request: web.Request) -> web.Response:
        network, node = self._network(request), _number(request, "node")
        return as_json(await network.rename(node, (await _asked(request, Text)).text))

    async def jobs(self, request: web.Request) -> web.Response:
        return as_json(self._network(request).jobs())

    async def start(self, request: web.Request) -> web.Response:
        network = self._network(request)
        return as_json(await network.start(await _asked(request, JobRequest)))

    async def job(self, request: web.Request) -> web.Response:
        """With `?seen=N` held until the job has more than N steps, asks, or has ended."""
        network, job = self._network(request), _number(request, "job")
        if "seen" not in request.query:
            return as_json(_job(network, job))
        seen = number(request.query["seen"], "seen", "Give how many steps are known.")
        try:
            async with asyncio.timeout(POLL_S):
                return as_json(await network.changed(job, seen))
        except TimeoutError:
            return as_json(_job(network, job))

    async def answer(self, request: web.Request) -> web.Response:
        network, job = self._network(request), _number(request, "job")
        return as_json(await network.answer(job, (await _asked(request, Text)).text))

    async def cancel(self, request: web.Request) -> web.Response:
        return as_json(await self._network(request).cancel(_number(request, "job")))

    async def write(self, request: web.Request) -> web.Response:
        network = self._network(request)
        return as_json(await network.write(await _asked(request, WriteRequest)))

    async def pending(self, request: web.Request) -> web.Response:
        return as_json(await self._network(request).pending())

    async def forget(self, request: web.Request) -> web.Response:
        return as_json(await self._network(request).forget(_number(request, "pending")))

    def _network(self, request: web.Request) -> Network:
        name = request.match_info["driver"]
        if (network := self._networks.get(name)) is None:
            raise UnknownError(
                f'No driver "{name[:40]}" has a network.', hint=f"There are: {', '.join(self._networks)}."
            )
        return network


def _number(request: web.Request, name: str) -> int:
    return number(request.match_info[name], name, "Give its number.")


def _job(network: Network, job: int) -> JobView:
    for view in network.jobs():
        if view.id == job:
            return view
    raise RefusedError(
        f"there is no job {job}",
        hint="Jobs are kept until the gateway starts anew; `meterkast zwave jobs` lists them.",
    )


async def _asked(request: web.Request, kind: type[S]) -> S:
    try:
        return msgspec.json.decode(await request.read(), type=kind)
    except msgspec.DecodeError as error:
        raise BadRequestError(f"The question is not understood: {error}.", hint="Correct it.") from error


def _refusal(request: web.Request, status: int, what: str, hint: str) -> web.Response:
    return as_json({"error": what, "hint": hint}, status)


@dataclass(frozen=True, slots=True, kw_only=True)
class Running:
    """A control socket that is being served.

    Attributes:
        path: Where.
        inode: Its file's, so that nobody else's is removed.
    """

    path: str
    inode: int
    runner: web.AppRunner

    async def close(self) -> None:
        """Stop listening, end what is under way, remove the socket's file."""
        await self.runner.cleanup()
        with suppress(OSError):
            if os.stat(self.path).st_ino == self.inode:
                os.unlink(self.path)


async def serve(app: web.Application, path: str) -> Running:
    """Serve the application on a Unix socket that only this user may open.

    Args:
        path: At most 107 bytes; `config.sections.control_socket` sees to that. A file that a gateway left
            behind is replaced.

    Raises:
        ConfigError: Another program listens there, something else is there, or it cannot be made.
    """
    listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        _clear(path)
        # Set before it has a name: at no moment may others open it.
        os.fchmod(listener.fileno(), 0o600)
        listener.bind(path)
        inode = os.stat(path).st_ino
    except OSError as error:
        listener.close()
        raise ConfigError(
            f'the control socket "{path}" cannot be made: {error.strerror}',
            hint="Its folder must exist and be writable for the gateway; see control.socket.",
        ) from error
    except ConfigError:
        listener.close()
        raise
    # Work that was begun for somebody who went away is finished: a value half sent helps nobody.
    runner = web.AppRunner(app, access_log=None, handler_cancellation=False, shutdown_timeout=_STOP_S)
    await runner.setup()
    await web.SockSite(runner, listener).start()
    log.info("control socket served", extra={"path": path})
    return Running(path=path, inode=inode, runner=runner)


def _clear(path: str) -> None:
    """Remove a socket's file that nobody listens at any more.

    Raises:
        ConfigError: Somebody listens there, or it is no socket.
    """
    try:
        mode = os.lstat(path).st_mode
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(mode):
        raise ConfigError(
            f'control.socket = "{path}" is there and is no socket',
            hint="It is left as it is. Give a path of the gateway's own.",
        )
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        if probe.connect_ex(path) != errno.ECONNREFUSED:
            raise ConfigError(
                f'control.socket = "{path}" is in use by another program',
                hint="Stop the other gateway, or give this one a path of its own.",
            )
    os.unlink(path)
