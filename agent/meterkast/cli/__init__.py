"""The command line: one file per command, imported when it is used.

Each file has `configure(parser)` and `run(args) -> int`, the exit status.
"""

from __future__ import annotations

import argparse
import importlib
import sys

from meterkast import __version__
from meterkast.model.errors import MeterkastError

COMMANDS = {
    "run": "run the gateway",
    "status": "show how a running gateway is",
    "check": "check a configuration without sending anything",
    "init": "write a configuration from what is found on the ports",
    "outbox": "what waits for the platforms, what they refused, and sending that again",
    "evidence": "show the telegram or report behind a half-hour, and check it",
    "export": "half-hours, samples or energy entries as CSV",
    "backup": "everything the gateway is and knows, into one encrypted file",
    "restore": "a backup onto a new card",
    "report": "what was owed in a month, measured and delivered, and the proof of it",
    "verify": "whether a signed report is as its gateway made it",
    "key": "the key with which this gateway signs",
    "reconcile": "ask the platforms what they have, and send again what they lack",
    "meter": "list meters, sign a meter swap off, retire a meter",
    "salvage": "check a database, and rebuild it where it is damaged; stop the gateway first",
    "p1": "decode captures and look at serial ports",
    "zwave": "see, add, remove and switch Z-Wave devices",
    "reset": "test the RESET uplink and show what it sends",
    "wattics": "test the Wattics uplink and show what it sends",
    "rig": "simulate a meter cupboard and the platforms",
}


def main(arguments: list[str] | None = None) -> int:
    """Run a command; errors raised on purpose become one message and one hint, exit status 1."""
    given = sys.argv[1:] if arguments is None else arguments
    parser = argparse.ArgumentParser(prog="meterkast", description=__doc__.split("\n")[0])
    parser.add_argument("--version", action="version", version=f"meterkast {__version__}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    # Only the module of the command that is asked for is imported: a gateway starts without the others.
    asked = next((word for word in given if not word.startswith("-")), None)
    for name, text in COMMANDS.items():
        command = commands.add_parser(name, help=text, description=text)
        if name == asked:
            importlib.import_module(f"meterkast.cli.{name}").configure(command)
    args = parser.parse_args(given)
    try:
        return int(importlib.import_module(f"meterkast.cli.{args.command}").run(args))
    except MeterkastError as error:
        print(f"meterkast: {error}\n  {error.hint}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        return 0
