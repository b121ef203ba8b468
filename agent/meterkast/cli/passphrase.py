"""A passphrase from a terminal or a file."""

from __future__ import annotations

import getpass
import sys
from pathlib import Path

from meterkast.model.errors import RefusedError


def passphrase(file: str, *, twice: bool) -> str:
    """The passphrase; asked for where no file is given.

    Args:
        file: Its first line is the passphrase; empty to ask.
        twice: It is a new one: ask again, and compare.

    Raises:
        RefusedError: The file cannot be read, nobody can be asked, or the two differ.
    """
    if file:
        try:
            return Path(file).read_text(encoding="utf-8").partition("\n")[0].rstrip("\r")
        except (OSError, UnicodeDecodeError) as error:
            raise RefusedError(f"--passphrase-file {file}: {error}", hint="Check path and rights.") from None
    if sys.stdin is None or not sys.stdin.isatty():
        raise RefusedError(
            "there is no terminal to ask for the passphrase", hint="Use --passphrase-file with a file's path."
        )
    given = getpass.getpass("Passphrase: ")
    if twice and getpass.getpass("The same again: ") != given:
        raise RefusedError("the two passphrases differ", hint="Nothing was written. Start again.")
    return given
