"""TCP connections over one serial line: the guest has no network, and its platforms are on the host.

A frame is the connection's number (2 bytes), what it is (1), its length (2) and so many bytes, big-endian.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import struct
from collections.abc import Sequence

_HEAD = struct.Struct(">HBH")
_OPEN, _DATA, _END = 1, 2, 3
_MOST = 4096


class Line:
    """One end of the line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._numbers = itertools.count(1)
        self._ends: dict[int, asyncio.StreamWriter] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    async def listen(self, ports: Sequence[int]) -> None:
        """Take connections to these ports of 127.0.0.1, for the other end to make."""
        for port in ports:

            async def taken(
                reader: asyncio.StreamReader, writer: asyncio.StreamWriter, port: int = port
            ) -> None:
                number = next(self._numbers) % (1 << 16)
                self._ends[number] = writer
                await self._send(number, _OPEN, str(port).encode())
                await self._forward(number, reader)

            await asyncio.start_server(taken, "127.0.0.1", port)

    async def run(self) -> None:
        """Carry until the line ends."""
        try:
            while True:
                number, kind, length = _HEAD.unpack(await self._reader.readexactly(_HEAD.size))
                data = await self._reader.readexactly(length)
                if kind == _OPEN:
                    await self._connect(number, int(data))
                elif (end := self._ends.get(number)) is not None:
                    if kind == _DATA:
                        end.write(data)
                    else:
                        end.close()
                        del self._ends[number]
        except (asyncio.IncompleteReadError, OSError):
            return
        finally:
            for task in self._tasks:
                task.cancel()
            for end in self._ends.values():
                end.close()

    async def _connect(self, number: int, port: int) -> None:
        try:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
        except OSError:
            await self._send(number, _END, b"")
            return
        self._ends[number] = writer
        task = asyncio.create_task(self._forward(number, reader))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _forward(self, number: int, reader: asyncio.StreamReader) -> None:
        with contextlib.suppress(OSError):
            while data := await reader.read(_MOST):
                await self._send(number, _DATA, data)
        if (end := self._ends.pop(number, None)) is not None:
            end.close()
            with contextlib.suppress(OSError):
                await self._send(number, _END, b"")

    async def _send(self, number: int, kind: int, data: bytes) -> None:
        self._writer.write(_HEAD.pack(number, kind, len(data)) + data)
        await self._writer.drain()
