"""`meterkast verify`: whether a signed report is as its gateway made it. Needs the file and nothing else."""

from __future__ import annotations

import argparse
import asyncio
from pathlib import Path

from meterkast.model.errors import ConfigError


def configure(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("file", type=Path, metavar="FILE", help="a report made with --format json")
    parser.add_argument("--key", default="", help="the fingerprint that the gateway's key must have")


def run(args: argparse.Namespace) -> int:
    """Print what was found; exit status 0 where nothing is wrong, 1 where anything is.

    Raises:
        ConfigError: The file cannot be read.
    """
    from meterkast.proof.key import fingerprint
    from meterkast.proof.verify import verify

    try:
        text = args.file.read_text(encoding="utf-8-sig")  # some editors put a mark before it
    except OSError as error:
        raise ConfigError(f"{args.file}: {error.strerror}", hint="Give the file of a report.") from error
    except UnicodeDecodeError:
        print("WRONG: the file is no UTF-8 text: it was changed.")
        return 1
    found = asyncio.run(verify(text))
    own = fingerprint(found.public) if found.public else ""
    wrong = list(found.wrong)
    if args.key and own and args.key.replace(" ", "").lower() != own.replace(" ", ""):
        wrong.append(f"It is signed with another key: {own}.")
    for sentence in wrong:
        print(f"WRONG: {sentence}")
    for note in found.notes:
        print(f"note: {note}")
    if wrong:
        return 1
    assert found.body is not None
    body = found.body
    rows = sum(len(seal.rows) + len(seal.amendments) for seal in body.seals) + len(body.rows)
    print(f"Unchanged: {body.month} of {body.site}, gateway {body.device}, made {body.made}.")
    print(f"{rows} rows, {len(body.seals)} seals and all counts agree; status: {body.status}.")
    print(
        f"Signed with the key {own}" + (", as asked." if args.key else "; compare it with the gateway's own.")
    )
    return 0
