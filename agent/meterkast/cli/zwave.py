"""`meterkast zwave`: see, add, remove and switch the Z-Wave devices of a running gateway."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import tzinfo
from pathlib import Path

import msgspec

from meterkast.cli.control import Control
from meterkast.cli.run import DEFAULT
from meterkast.cli.zwave_job import can_answer, follow
from meterkast.cli.zwave_text import (
    Known,
    jobs_text,
    mapping_text,
    nodes_text,
    one_pending_text,
    pending_text,
    wrapped,
)
from meterkast.config.file import load
from meterkast.model.errors import ConfigError, LinkLostError, RefusedError
from meterkast.model.time import zone
from meterkast.network import JobRequest, PendingView, WriteRequest

DONE, FAILED, UNREACHABLE, WAITS = 0, 1, 2, 3
"""Exit statuses; WAITS: a value was taken, and the device has not confirmed it yet."""

OPEN_TO_ALL = (
    "Without security anybody nearby can read this device and switch it. "
    "Use it only where the device knows nothing better."
)


@dataclass(frozen=True, slots=True)
class Asked:
    """A command on its way: what was written, whom to ask, and the site's wall clock."""

    args: argparse.Namespace
    control: Control
    zone: tzinfo


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the subcommands and their arguments."""
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument(
        "--config", type=Path, default=DEFAULT, help=f"configuration file (default {DEFAULT})"
    )
    common.add_argument("--driver", default="", metavar="NAME", help="which, where there are several")
    commands = parser.add_subparsers(dest="zwave_command", required=True, metavar="COMMAND")

    def command(name: str, text: str) -> argparse.ArgumentParser:
        return commands.add_parser(name, help=text, description=text, parents=[common])

    nodes = command("nodes", "the devices, and how they can be reached")
    nodes.add_argument("--json", action="store_true", help="as JSON")
    mapping = command("mapping", "each value of a device, where it went and why")
    mapping.add_argument("node", type=int, metavar="NODE")
    mapping.add_argument("--json", action="store_true", help="as JSON")
    name = command("name", "give a device a name")
    name.add_argument("node", type=int, metavar="NODE")
    name.add_argument("name", metavar="NAME")
    include = command("include", "add a device")
    include.add_argument("--product", metavar="NAME|ID", help="what it is for; made where there is none")
    include.add_argument("--code", default="", metavar="QR|DSK", help="its Smart Start text, or its key")
    _newcomer(include)
    exclude = command("exclude", "take out the device whose button is pressed")
    exclude.add_argument("--product", metavar="NAME|ID", help="the one that is meant to go")
    exclude.add_argument("--timeout", type=float, default=120.0, metavar="S", help="for its button")
    remove = command("remove", "take out a device that no longer answers")
    _gone(remove)
    replace = command("replace", "put a new device in the place of one that no longer answers")
    _gone(replace)
    _newcomer(replace)
    command("interview", "ask a device everything again").add_argument("node", type=int, metavar="NODE")
    command("heal", "let a device, or all, find routes again").add_argument(
        "node", type=int, nargs="?", metavar="NODE"
    )
    command("backup", "save the stick's memory")
    write = command("set", "switch or set a device")
    write.add_argument("property", metavar="PROPERTY", help="its id, or <product>/<key>")
    write.add_argument("value", metavar="VALUE", help="a number in its unit, on, off, lock, unlock, a mode")
    write.add_argument("--reset-meter", action="store_true", help="allow setting a meter back to zero")
    pending = command("pending", "values on their way to devices")
    pending.add_argument("--cancel", type=int, metavar="ID", help="do not send this one")
    jobs = command("jobs", "what is being installed, and what was")
    jobs.add_argument("job", type=int, nargs="?", metavar="JOB", help="follow this one")
    jobs.add_argument("--cancel", type=int, metavar="JOB", help="stop this one")


def _gone(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("node", type=int, metavar="NODE")
    parser.add_argument(
        "--asleep", action="store_true", help="also one that sleeps and was heard not long ago"
    )


def _newcomer(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--security", choices=("auto", "s2", "s0", "none"), default="auto", help="auto: the best it offers"
    )
    parser.add_argument("--pin", default="", metavar="12345", help="the first five digits of its key")
    parser.add_argument("--timeout", type=float, default=120.0, metavar="S", help="for its button")


def run(args: argparse.Namespace) -> int:
    """Do what was asked: 0 done, 1 failed, 2 not possible here, 3 the device has yet to confirm it."""
    try:
        config = load(args.config)
        asked = Asked(args, Control(config, args.driver), zone(config.site.time_zone))
        return _COMMANDS.get(args.zwave_command, _job)(asked)
    except RefusedError as error:
        return _sorry(error, FAILED)
    except (ConfigError, LinkLostError) as error:
        return _sorry(error, UNREACHABLE)


def _sorry(error: ConfigError | LinkLostError | RefusedError, status: int) -> int:
    print(f"meterkast: {error}\n  {error.hint}", file=sys.stderr)
    return status


def _nodes(asked: Asked) -> int:
    found = asked.control.nodes()
    _print_json(found) if asked.args.json else print(nodes_text(found, asked.control.now_ms))
    return DONE


def _mapping(asked: Asked) -> int:
    values = asked.control.values(asked.args.node)
    if asked.args.json:
        _print_json(values)
        return DONE
    node = next((one for one in asked.control.nodes() if one.node == asked.args.node), None)
    print(mapping_text(node, values, asked.control.now_ms))
    return DONE


def _name(asked: Asked) -> int:
    node = asked.control.rename(asked.args.node, asked.args.name)
    print(wrapped(f'Device {node.node} is "{node.name}" now.'))
    print(wrapped("Where the configuration sends its values under the old name, write the new one."))
    return DONE


def _job(asked: Asked) -> int:
    """Begin the job that the subcommand is named after, and follow it."""
    args = asked.args
    request = JobRequest(
        kind=args.zwave_command,
        node=getattr(args, "node", None),
        product=getattr(args, "product", None),
        security=getattr(args, "security", "auto"),
        code=getattr(args, "code", ""),
        pin=getattr(args, "pin", ""),
        asleep=getattr(args, "asleep", False),
        timeout_s=getattr(args, "timeout", 120.0),
    )
    if request.security == "none":
        print(wrapped(OPEN_TO_ALL), flush=True)
    if request.kind in ("include", "replace") and _wants_pin(request) and not can_answer():
        raise ConfigError(
            "there is no terminal to ask for the device's PIN, so nothing was begun",
            hint="Give it with --pin 12345, or the label's code with --code; --security none or s0 where the "
            "device has no S2.",
        )
    return follow(asked.control, asked.control.start(request), asked.zone)


def _wants_pin(request: JobRequest) -> bool:
    """Whether the device may ask for its PIN; a code from the label has it in it."""
    return request.security in ("auto", "s2") and not request.pin and not request.code


def _set(asked: Asked) -> int:
    args, control = asked.args, asked.control
    request = WriteRequest(
        property_id=_property(control, args.property), value=args.value, reset_meter=args.reset_meter
    )
    made = control.write(request)
    print(one_pending_text(made, _known(control, [made]), asked.zone, control.now_ms))
    if made.status == "done":
        return DONE
    return WAITS if made.status in ("wakeup", "sending") else FAILED


def _property(control: Control, text: str) -> int:
    """The id of a property written as its id, or as `<product>/<key>`.

    Raises:
        ConfigError: There is none, or there are several of that name.
    """
    if text.isascii() and text.isdigit():
        return int(text)
    product, _, key = text.rpartition("/")
    nodes = [
        node for node in control.nodes() if product.casefold() in (node.name.casefold(), str(node.product_id))
    ]
    if len(nodes) > 1:
        raise ConfigError(
            f'"{product}" is the name of {len(nodes)} devices',
            hint="Take the product's id instead: "
            + ", ".join(f"{node.product_id} (node {node.node})" for node in nodes),
        )
    values = [value for node in nodes for value in control.values(node.node)]
    for value in values:
        if value.key == key and value.property_id is not None:
            return value.property_id
    hint = "Write <product>/<key>; `meterkast zwave nodes` lists the products."
    if nodes:
        settable = ", ".join(value.key for value in values if value.receiving)
        hint = f"It has: {settable}." if settable else "It has nothing that can be set."
    raise ConfigError(f'there is no "{text}"', hint=hint)


def _known(control: Control, pendings: Sequence[PendingView]) -> dict[int, Known]:
    """What their properties are called, by id; without those of devices that are gone meanwhile."""
    numbers = {one.node for one in pendings}
    return {
        value.property_id: Known(f"{node.name or f'node {node.node}'}/{value.key}", value.names)
        for node in (control.nodes() if numbers else ())
        if node.node in numbers
        for value in control.values(node.node)
        if value.property_id is not None
    }


def _pending(asked: Asked) -> int:
    control = asked.control
    if asked.args.cancel is not None:
        gone = control.forget(asked.args.cancel)
        print(one_pending_text(gone, _known(control, [gone]), asked.zone, control.now_ms))
    else:
        found = control.pending()
        print(pending_text(found, _known(control, found), asked.zone, control.now_ms))
    return DONE


def _jobs(asked: Asked) -> int:
    control, args = asked.control, asked.args
    if args.cancel is not None:
        print(jobs_text([control.cancel(args.cancel)], asked.zone))
    elif args.job is not None:
        return follow(control, control.job(args.job), asked.zone)
    else:
        print(jobs_text(control.jobs(), asked.zone))
    return DONE


def _print_json(content: object) -> None:
    print(msgspec.json.format(msgspec.json.encode(content)).decode())


_COMMANDS: dict[str, Callable[[Asked], int]] = {
    "nodes": _nodes,
    "mapping": _mapping,
    "name": _name,
    "set": _set,
    "pending": _pending,
    "jobs": _jobs,
}
