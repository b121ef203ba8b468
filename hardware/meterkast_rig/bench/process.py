"""The real gateway as a process of its own, and what the kernel knows of it."""

from __future__ import annotations

import asyncio
import os
import sys
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

READY = "Meterkast runs."
_READY_S = 60.0


class GatewayProcess:
    """A running `meterkast run`.

    Attributes:
        page: Its page's address; empty where it has none.
    """

    def __init__(self, process: asyncio.subprocess.Process, page: str) -> None:
        self.pid = process.pid
        self.page = page
        # clock_getcpuclockid(3): the CPU clock of another process, to the nanosecond, with all its threads.
        self._cpu_clock = (~process.pid << 3) | 2

    def cpu_s(self) -> float:
        """CPU time since exec."""
        return time.clock_gettime(self._cpu_clock)

    def switches(self) -> int:
        """Context switches of all its threads."""
        total = 0
        for status in Path(f"/proc/{self.pid}/task").glob("*/status"):
            total += sum(
                int(line.split()[1])
                for line in status.read_text(encoding="utf-8").splitlines()
                if "ctxt_switches" in line
            )
        return total

    def rss_kib(self) -> int:
        """Memory that is resident."""
        return _status(self.pid, "VmRSS")

    def peak_kib(self) -> int:
        """The most that ever was."""
        return _status(self.pid, "VmHWM")


def _status(pid: int | str, key: str) -> int:
    for line in Path(f"/proc/{pid}/status").read_text(encoding="utf-8").splitlines():
        if line.startswith(key + ":"):
            return int(line.split()[1])
    raise KeyError(key)


def own_rss_kib() -> int:
    """Memory of this process that is resident."""
    return _status("self", "VmRSS")


async def output_of(*command: str, environment: Mapping[str, str] | None = None) -> tuple[str, str]:
    """What a command of ours writes to its standard output and error; it does not outlive the caller.

    Raises:
        RuntimeError: It failed.
    """
    process = await asyncio.create_subprocess_exec(
        *command,
        env=environment,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, told = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.communicate()
    if process.returncode:
        raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}: {told.decode()[-2000:]}")
    return out.decode(), told.decode()


@asynccontextmanager
async def running(
    config: Path, *options: str, interpreter: Sequence[str] = (), log: Path | None = None
) -> AsyncIterator[GatewayProcess]:
    """The gateway with that configuration while the block runs; it is ready when the block begins.

    Args:
        options: More arguments of `meterkast run`.
        interpreter: Options of the interpreter.
        log: Where its standard error goes; None lets it through.
    """
    # As installed: modules are compiled once, and not again at every start.
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONDONTWRITEBYTECODE"}
    with (log or Path("/dev/stderr")).open("ab") as errors:
        process = await asyncio.create_subprocess_exec(
            sys.executable, *interpreter, "-m", "meterkast", "run", "--config", str(config),
            "--log-level", "warning", *options,
            env=environment, stdout=asyncio.subprocess.PIPE, stderr=errors,
        )  # fmt: skip
    try:
        assert process.stdout is not None
        said = (await asyncio.wait_for(process.stdout.readline(), _READY_S)).decode()
        if not said.startswith(READY):
            raise RuntimeError(f"the gateway did not start: {said!r}")
        address = said.rpartition(" ")[2].strip()
        yield GatewayProcess(process, address if address.startswith("http") else "")
    finally:
        if process.returncode is None:
            process.terminate()
        await process.communicate()
