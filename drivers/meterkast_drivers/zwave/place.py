"""Where the Z-Wave server is: a Unix socket or a port of this machine, and nothing else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from meterkast.address import loopback
from meterkast.model.errors import ConfigError

_LONGEST_PATH = 107
"""Bytes in the name of a Unix socket on Linux (`sun_path`, without its closing zero)."""

_DEFAULT_PORT = 3000
"""Where zwave-js-server listens unless told otherwise."""

_EXAMPLES = "Use the path of its Unix socket (/run/meterkast-zwave/zwave.sock), or ws://127.0.0.1:3000."


@dataclass(frozen=True, slots=True, kw_only=True)
class Place:
    """One server's place.

    Attributes:
        url: For the WebSocket. With a Unix socket its host means nothing.
        socket: The Unix socket; None where the server listens on a port.
    """

    url: str
    socket: Path | None = None

    @classmethod
    def unix(cls, socket: Path) -> Place:
        """A Unix socket.

        Raises:
            ConfigError: The path is relative, or longer than Linux allows.
        """
        if not socket.is_absolute():
            raise _wrong(str(socket), "the path of a Unix socket starts with /")
        if "\0" in str(socket):
            raise _wrong(repr(str(socket)), "a path has no zero byte")
        if len(bytes(socket)) > _LONGEST_PATH:
            raise _wrong(str(socket), f"a Unix socket's path has {_LONGEST_PATH} bytes at most")
        return cls(url="ws://localhost/", socket=socket)

    @classmethod
    def parse(cls, text: str) -> Place:
        """The setting `server`.

        Raises:
            ConfigError: It is neither a Unix socket's path nor a loopback address.
        """
        text = text.strip()
        if not text:
            raise _wrong(text, "it is empty")
        if "://" not in text:
            return cls.unix(Path(text))
        if text.startswith("unix://"):
            return cls.unix(Path(text.removeprefix("unix://")))
        return cls._loopback(text)

    @classmethod
    def _loopback(cls, text: str) -> Place:
        try:
            parts = urlsplit(text)
            port = parts.port
        except ValueError as error:
            raise _wrong(text, str(error)) from None
        if parts.scheme != "ws":
            raise _wrong(text, f"{parts.scheme}:// is not spoken by the Z-Wave server")
        if parts.username is not None or parts.path not in ("", "/") or parts.query or parts.fragment:
            raise _wrong(text, "it has more than a host and a port")
        host = parts.hostname or ""
        if not loopback(host):
            raise ConfigError(
                f'server = "{text}": is on another machine',
                hint="The Z-Wave server asks nobody who they are: whoever reaches it can open locks and "
                "remove devices. Run the gateway on the machine that has the stick and use "
                f"ws://127.0.0.1:{port or _DEFAULT_PORT}.",
            )
        if port == 0:
            raise _wrong(text, "0 is not a port")
        shown = f"[{host}]" if ":" in host else host
        return cls(url=f"ws://{shown}:{port or _DEFAULT_PORT}/")

    def __str__(self) -> str:
        """What is shown to people: the path, or the address without the ending slash."""
        return self.url.removesuffix("/") if self.socket is None else str(self.socket)


def _wrong(text: str, why: str) -> ConfigError:
    return ConfigError(f'server = "{text}": {why}', hint=_EXAMPLES)
