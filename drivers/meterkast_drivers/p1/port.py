"""Opens a serial port or a socket and reads its bytes; parses nothing.

pyserial opens and configures the port, the event loop reads it: the first byte wakes, and one read 110 ms
later takes the whole telegram (78 ms at 115,200 baud). That costs 0.7 ms of processor time a second; a thread
with `readline` costs 5.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import glob
import os
import socket
from abc import ABC, abstractmethod
from urllib.parse import urlsplit

from meterkast.model.errors import ConfigError, LinkLostError
from meterkast_drivers.sticks import zwave_sticks

GATHER_S = 0.11
"""From the first byte to the read."""

IDLE_S = 0.5
"""No byte for so long ends a telegram: at 9,600 baud bytes come every millisecond."""

_READ_BYTES = 65_536
_CONNECT_S = 10.0
_BY_ID = "/dev/serial/by-id/*"
_DEVICES = ("/dev/ttyUSB*", "/dev/ttyACM*", "/dev/ttyAMA*", "/dev/serial[0-9]*")


class Source(ABC):
    """Bytes from somewhere."""

    def __init__(self, name: str) -> None:
        self.name = name

    @abstractmethod
    async def read(self, wait_s: float) -> bytes:
        """What came in; empty after so long without a byte, in real time.

        Raises:
            LinkLostError: The port or the connection is gone.
        """

    @abstractmethod
    def close(self) -> None:
        """Let go of it, at once and more than once."""


async def open_port(name: str, speed: int) -> Source:
    """Open a device, or `socket://host:port`.

    Raises:
        LinkLostError: It is not there, is in use, or does not answer.
        ConfigError: The name is none of both.
    """
    check_name(name)
    if name.startswith("socket://"):
        return await _open_socket(name)
    return _open_serial(name, speed)


def check_name(name: str) -> None:
    """Whether it can be a port's name at all.

    Raises:
        ConfigError: It is another kind of address.
    """
    if "://" in name and not name.startswith("socket://"):
        raise ConfigError(
            f'port = "{name}": not a port', hint="Use a device's path, socket://host:port, or auto."
        )


def present() -> list[str]:
    """The serial ports there are, under the names that stay the same after replugging where they have one."""
    lasting = sorted(glob.glob(_BY_ID))
    known = {os.path.realpath(path) for path in lasting}
    others = sorted(path for pattern in _DEVICES for path in glob.glob(pattern))
    for path in others:
        if os.path.realpath(path) not in known:
            known.add(os.path.realpath(path))
            lasting.append(path)
    return lasting


def candidates() -> list[str]:
    """Those that may be a meter's: a Z-Wave stick is left to the Z-Wave server."""
    ports = present()
    sticks = zwave_sticks(ports)
    return [name for name in ports if name not in sticks]


def _open_serial(name: str, speed: int) -> Source:
    import serial

    try:
        # Always 8N1: a 7E1 line differs by bit 7 only, which the framer sees. pyserial switches RTS and DTR
        # on, to one of which some cables wire the meter's request pin.
        device = serial.Serial(name, speed, timeout=0, exclusive=True)
    except (serial.SerialException, OSError, ValueError) as error:
        raise _not_opened(name, error) from error
    return SerialSource(name, device)


def _not_opened(name: str, error: Exception) -> LinkLostError:
    code = getattr(error, "errno", None)
    if code == errno.ENOENT or not os.path.exists(name):
        there = ", ".join(present())
        return LinkLostError(
            f'port = "{name}": no such port',
            hint=f"Ports present: {there}. Set `port` to one of these."
            if there
            else "No serial port is present. Plug in the P1 cable.",
        )
    if code == errno.EACCES:
        return LinkLostError(
            f'port = "{name}": no permission', hint="Add the gateway's user to the group dialout and restart."
        )
    if code in (errno.EBUSY, errno.EAGAIN) or "exclusively lock" in str(error):
        return LinkLostError(
            f'port = "{name}": in use by another program', hint="Stop the other program that reads the meter."
        )
    return LinkLostError(f'port = "{name}": {error}', hint="Unplug the cable and plug it in again.")


class SerialSource(Source):
    """A serial port; the file descriptor is read by the event loop."""

    def __init__(self, name: str, device: object) -> None:
        super().__init__(name)
        self._device = device
        self._fd: int = device.fileno()  # type: ignore[attr-defined]  # pyserial has no types
        self._closed = False

    async def read(self, wait_s: float) -> bytes:
        if not await self._readable(wait_s):
            return b""
        await asyncio.sleep(GATHER_S)
        return self._take()

    async def _readable(self, wait_s: float) -> bool:
        # By hand instead of asyncio.timeout: this is all that an idle second costs.
        loop = asyncio.get_running_loop()
        ready: asyncio.Future[bool] = loop.create_future()
        loop.add_reader(self._fd, _settle, ready, True)
        timer = loop.call_later(wait_s, _settle, ready, False)
        try:
            return await ready
        finally:
            timer.cancel()
            loop.remove_reader(self._fd)

    def _take(self) -> bytes:
        try:
            data = os.read(self._fd, _READ_BYTES)
        except BlockingIOError:
            return b""
        except OSError as error:
            raise self._gone(error) from error
        if not data:
            raise self._gone(None)
        return data

    def _gone(self, error: OSError | None) -> LinkLostError:
        self.close()
        return LinkLostError(
            f"{self.name}: the port went away" + (f" ({error.strerror})" if error and error.strerror else ""),
            hint="Plug the cable in again; reading goes on by itself.",
        )

    def close(self) -> None:
        if not self._closed:
            self._closed = True
            with contextlib.suppress(OSError):
                self._device.close()  # type: ignore[attr-defined]  # pyserial has no types


def _settle(ready: asyncio.Future[bool], result: bool) -> None:
    if not ready.done():
        ready.set_result(result)


async def _open_socket(name: str) -> Source:
    address = urlsplit(name)
    try:
        host, number = address.hostname, address.port
    except ValueError:
        host, number = None, None
    if not host or not number:
        raise ConfigError(f'port = "{name}": not an address', hint="Write socket://host:port.")
    try:
        async with asyncio.timeout(_CONNECT_S):
            reader, writer = await asyncio.open_connection(host, number)
    except (OSError, TimeoutError) as error:
        why = "no answer" if isinstance(error, TimeoutError) else (error.strerror or str(error))
        raise LinkLostError(
            f"{name}: {why}",
            hint="Check that the reader has power and network, and that nothing else is connected to it: "
            "many serve one client only.",
        ) from error
    _keep_alive(writer.get_extra_info("socket"))
    return SocketSource(name, reader, writer)


def _keep_alive(connection: socket.socket) -> None:
    """A peer that lost power says nothing for ever; the kernel asks it after 30 s of silence, six times."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for option, seconds in (("TCP_KEEPIDLE", 30), ("TCP_KEEPINTVL", 10), ("TCP_KEEPCNT", 6)):
        if hasattr(socket, option):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, option), seconds)


class SocketSource(Source):
    """A reader in the network that passes the meter's bytes on unchanged (ser2net in mode `raw`)."""

    def __init__(self, name: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        super().__init__(name)
        self._reader = reader
        self._writer = writer

    async def read(self, wait_s: float) -> bytes:
        try:
            async with asyncio.timeout(wait_s):
                data = await self._reader.read(_READ_BYTES)
        except TimeoutError:
            return b""
        except OSError as error:
            raise self._gone(error.strerror or str(error)) from error
        if not data:
            raise self._gone("closed by the other side")
        return data

    def _gone(self, why: str) -> LinkLostError:
        self.close()
        return LinkLostError(
            f"{self.name}: {why}", hint="Check the reader's power and network; reading goes on by itself."
        )

    def close(self) -> None:
        self._writer.close()
