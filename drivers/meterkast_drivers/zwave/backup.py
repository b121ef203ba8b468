"""Backups of the stick's memory: its network, which is lost with the stick otherwise."""

from __future__ import annotations

import asyncio
import os
from pathlib import Path

from meterkast.model.errors import RefusedError
from meterkast.model.time import to_datetime
from meterkast.ports.clock import Clock
from meterkast_drivers.zwave.link import Link

KEPT = 5
"""How many are kept."""

ENOUGH_S = 600.0
"""A backup that is not older stands, unless a device came or went."""

_READ_BUFFER, _OPERATIONS, _EXTENDED = 0x2A, 0x2E, 0x3D
# Serial API functions of the 500 series, the 700 series, and sticks with more memory; one of them is needed.


class NoBackupError(RefusedError):
    """This stick cannot give its memory."""


class Backups:
    """Makes and keeps backups in `<folder>/backups/nvm-<UTC>-<home id>.bin`."""

    def __init__(self, folder: Path, clock: Clock) -> None:
        self._folder = folder / "backups"
        self._clock = clock
        self._made_s: float | None = None
        self._nodes: frozenset[int] = frozenset()
        self._told = False

    async def before_change(self, link: Link, within_s: float) -> str:
        """Make one where it is due; returns what is to be told, empty for nothing."""
        if self._is_fresh(link):
            return ""
        try:
            path = await self.make(link, within_s)
        except NoBackupError as error:
            told, self._told = self._told, True
            return "" if told else f"No backup: {error}. {error.hint}"
        except (RefusedError, OSError) as error:
            hint = error.hint if isinstance(error, RefusedError) else "Look at the disk."
            return f"Warning: the stick's memory could not be saved: {error}. {hint} The job goes on."
        return f"The stick's memory is saved as {path}."

    async def make(self, link: Link, within_s: float) -> Path:
        """Read the stick's memory into a file; the radio is off meanwhile.

        Raises:
            NoBackupError: The stick cannot do it.
            RefusedError: The stick or the server failed.
            OSError: The file cannot be written.
            LinkLostError: The connection was lost meanwhile.
        """
        controller = link.driver.controller
        if not {_READ_BUFFER, _OPERATIONS, _EXTENDED} & set(controller.supported_function_types):
            raise NoBackupError(
                "this stick does not give its memory",
                hint="Keep a list of the devices: with a new stick each has to be added again.",
            )
        data = await link.ask(
            controller.async_backup_nvm_raw(), what="read the stick's memory", within_s=within_s
        )
        if not data:
            raise RefusedError("the stick gave an empty memory", hint="Try again; else try another stick.")
        stamp = to_datetime(self._clock.now_ms()).strftime("%Y%m%dT%H%M%SZ")
        path = self._folder / f"nvm-{stamp}-{controller.home_id or 0:08x}.bin"
        await asyncio.to_thread(_write, path, data)
        self._made_s, self._nodes = asyncio.get_running_loop().time(), frozenset(controller.nodes)
        return path

    def _is_fresh(self, link: Link) -> bool:
        return (
            self._made_s is not None
            and asyncio.get_running_loop().time() - self._made_s < ENOUGH_S
            and frozenset(link.driver.controller.nodes) == self._nodes
        )


def _write(path: Path, data: bytes) -> None:
    """All of it or nothing, on the disk when it returns; then drop the oldest."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    part = path.with_suffix(".part")
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(handle, "wb") as file:
        os.fchmod(file.fileno(), 0o600)  # also where an older file with other rights was in the way
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)
    # The stamp in the name orders them.
    for old in sorted(path.parent.glob("nvm-*.bin"))[:-KEPT]:
        old.unlink(missing_ok=True)
