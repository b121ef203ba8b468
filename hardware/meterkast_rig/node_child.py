"""A part of the rig that is written for Node.js, as a child process: started, watched and ended."""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path

from meterkast.model.errors import LinkLostError
from meterkast.nodejs import find_node, install
from meterkast_rig.stopping import ended_first

READY_S = 60.0
"""How long one may take until it listens: zwave-js is 10,000 files, slow to read from a card."""

_END_S = 5.0


class NodeChild:
    """A child that listens, seen from outside; the parts of the rig add what they can do."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self.process = process

    def pause(self) -> None:
        """Stop the whole process: connections stay open, nothing is answered."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after `pause`."""
        self.process.send_signal(signal.SIGCONT)

    async def status(self, stop: asyncio.Event) -> int:
        """Wait until told to stop or until it ends by itself; an exit status, 0 where it was stopped."""
        return (self.process.returncode or 0) if await ended_first(self.process, stop) else 0


@contextlib.asynccontextmanager
async def listening(
    script: Path, what: str, options: Mapping[str, str | float], *, interpreter: Sequence[str] = ()
) -> AsyncIterator[tuple[asyncio.subprocess.Process, Sequence[str]]]:
    """Run a script while the block lasts; it listens when the block begins, at the addresses given.

    The packages it needs are installed beside it first. The script prints `listening on` and its addresses,
    and ends with its standard input, so that it never outlives this process.

    Args:
        what: What it is, for a message.
        options: Of the script; `tx_delay_ms=10` is given as `--tx-delay-ms=10`.
        interpreter: Options of Node.js.

    Raises:
        ConfigError: No Node.js, or `npm ci` failed.
        LinkLostError: It ended instead of listening.
        TimeoutError: It does not listen after a minute.
    """
    await asyncio.to_thread(install, script.parent)
    node = await asyncio.to_thread(find_node)
    given = [f"--{name.replace('_', '-')}={value}" for name, value in options.items()]
    process = await asyncio.create_subprocess_exec(
        *(str(node), *interpreter, str(script), *given, "--end-with-stdin"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        start_new_session=True,  # Ctrl-C reaches this process alone, and it ends the child
    )
    try:
        yield process, await _addresses(process, what)
    finally:
        await _end(process)


async def _addresses(process: asyncio.subprocess.Process, what: str) -> Sequence[str]:
    assert process.stdout is not None
    line = await asyncio.wait_for(process.stdout.readline(), READY_S)
    words = line.decode().split()
    if words[:2] != ["listening", "on"]:
        status = await process.wait()
        raise LinkLostError(
            f"the {what} ended with status {status} before it listened",
            hint="Its reason is on the standard error output, just above.",
        )
    return words[2:]


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGCONT)  # a paused process does not take SIGTERM
            process.terminate()
        try:
            await asyncio.wait_for(process.wait(), _END_S)
        except TimeoutError:
            process.kill()
            await process.wait()
    # Read to the end and let the pipes close before the loop does.
    await process.communicate()
