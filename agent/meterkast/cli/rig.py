"""`meterkast rig`: everything outside the gateway, simulated; each part also starts alone."""

from __future__ import annotations

import argparse
import importlib

PARTS = {
    "p1": ("meterkast_rig.p1", "a P1 meter on a pty"),
    "reset": ("meterkast_rig.reset", "a stand-in for RESET on a real Socket.IO server"),
    "wattics": ("meterkast_rig.wattics", "a stand-in for Wattics"),
    "zwave": ("meterkast_rig.zwave", "a Z-Wave stick with its network, for the real zwave-js"),
    "demo": ("meterkast_rig.demo", "all of it, with a gateway, on a fast clock"),
}


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parts = parser.add_subparsers(dest="part", required=True, metavar="PART")
    for name, (module, text) in PARTS.items():
        importlib.import_module(module).configure(parts.add_parser(name, help=text, description=text))


def run(args: argparse.Namespace) -> int:
    """Run a part until it is told to stop."""
    return int(importlib.import_module(PARTS[args.part][0]).run(args))
