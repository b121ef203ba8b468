"""`[drivers.zwave]`: the section of the configuration, checked."""

from __future__ import annotations

from typing import Annotated

import msgspec

from meterkast.config.decoding import Settings as Base
from meterkast.model.errors import ConfigError
from meterkast_drivers.zwave.scales import Pulse

HIGHEST_NODE = 4000
"""Z-Wave Long Range numbers its nodes 256 to 4000; the others are 1 to 232."""

SERVER_FOLDER = "/var/lib/meterkast-zwave"
"""Where the server that deploy/zwave installs keeps the network keys and its memory."""

_KEYS = "keys.json"

ReportS = Annotated[int, msgspec.Meta(ge=10, le=86_400)]


class NodeSettings(Base, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[drivers.zwave.nodes.12]`: one device, by its node number.

    Attributes:
        name: What it is called; left out, the device database's name, or the one a person gave it.
        report_s: How often its values are expected, in seconds; a value that is older is asked for.
        poll: Whether values that are older may be asked for; left out, as for all devices.
        pulse: What one pulse of its counter is worth, such as "10 L", "0.01 m3" or "1 Wh".
        parameters: Configuration parameters that are set in the device: number, and with a bit mask
            `number-mask`, to whole number.
    """

    name: str = ""
    report_s: ReportS | None = None
    poll: bool | None = None
    pulse: str = ""
    parameters: dict[str, int] = msgspec.field(default_factory=dict)


class Settings(Base, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """`[drivers.zwave]`: the Z-Wave network; either `stick` or `server`.

    Attributes:
        stick: The stick's port, best its /dev/serial/by-id path; the gateway runs the Z-Wave server itself.
        server: A Z-Wave server that runs already: the path of its Unix socket, or ws://127.0.0.1:3000.
        folder: Where backups of the stick are kept; with `stick` also network keys and the server's memory.
        report_s: How often values are expected of devices that do not say how often they report, in seconds;
            of a device that always listens an older value is asked for.
        poll: Whether values that are older may be asked for.
        nodes: Settings of single devices, by node number.
    """

    stick: str = ""
    server: str = ""
    folder: str = "/var/lib/meterkast/zwave"
    report_s: ReportS = 900
    poll: bool = True
    nodes: dict[str, NodeSettings] = msgspec.field(default_factory=dict)

    def to_save(self) -> dict[str, dict[str, str]]:
        """Folders for a backup, and of each the files that it must hold: what a person loses without them."""
        keys = {_KEYS: "without it every encrypted Z-Wave device has to be added anew"}
        return {self.folder: {}, SERVER_FOLDER: keys} if self.server else {self.folder: keys}

    def of(self, node: int) -> NodeSettings:
        """The settings of a device; those that hold for all where it has none."""
        return self.nodes.get(str(node), _NONE)

    def report_ms(self, node: int) -> int:
        """How often the device's values are expected, where it does not say so itself."""
        return (self.of(node).report_s or self.report_s) * 1000

    def polls(self, node: int) -> bool:
        """Whether the device may be asked for old values."""
        own = self.of(node).poll
        return self.poll if own is None else own

    def pulse(self, node: int) -> Pulse | None:
        """What a pulse of the device's counter is worth; None where that is not known."""
        text = self.of(node).pulse
        return Pulse.parse(text) if text else None


_NONE = NodeSettings()


def check(name: str, settings: Settings) -> None:
    """Whether the section can work.

    Raises:
        ConfigError: It names no server, or two; a node number, pulse or parameter cannot be one.
    """
    where = f"drivers.{name}"
    if bool(settings.stick) == bool(settings.server):
        raise ConfigError(
            f"{where} has both `stick` and `server`" if settings.stick else f"{where} has no `stick`",
            hint="Set `stick` to the stick's port and the gateway runs the Z-Wave server itself, or set "
            "`server` to the socket of a server that runs already; one of the two.",
        )
    for node, own in settings.nodes.items():
        place = f"{where}.nodes.{node}"
        if not (node.isascii() and node.isdecimal() and str(int(node)) == node and int(node) <= HIGHEST_NODE):
            raise ConfigError(
                f"{place}: not a node number", hint=f"Use the device's number, 1 to {HIGHEST_NODE}."
            )
        if node == "0":
            raise ConfigError(f"{place}: nodes begin at 1", hint="`meterkast zwave nodes` lists them.")
        if own.pulse:
            try:
                Pulse.parse(own.pulse)
            except ConfigError as error:
                raise ConfigError(f'{place}.pulse = "{own.pulse}": {error}', hint=error.hint) from error
        for parameter in own.parameters:
            try:
                parameter_key(parameter)
            except ValueError as error:
                raise ConfigError(
                    f"{place}.parameters.{parameter}: not a parameter's number",
                    hint="Use the number of the device's manual, such as 111 = 300.",
                ) from error


def parameter_key(text: str) -> tuple[int, int | None]:
    """Number and bit mask of a configuration parameter: "111" or "40-255".

    Raises:
        ValueError: It is neither.
    """
    number, _, mask = text.partition("-")
    return int(number), int(mask) if mask else None
