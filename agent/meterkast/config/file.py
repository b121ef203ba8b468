"""The configuration's file."""

from __future__ import annotations

import tomllib
from pathlib import Path

from meterkast.config.decoding import decode
from meterkast.config.sections import Config
from meterkast.model.errors import ConfigError


def load(path: Path) -> Config:
    """The configuration in a file.

    Raises:
        ConfigError: The file cannot be read, is no TOML, or a key or value is wrong.
    """
    try:
        # Editors on Windows put a mark of three bytes before the text; -sig passes over it.
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(
            f"{path}: {error.strerror}", hint="Give another file with --config, or make one: meterkast init."
        ) from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path} is not UTF-8 text", hint="Save it as UTF-8.") from error
    try:
        tree = tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        # No TOML; a number of thousands of digits; brackets a thousand deep.
        raise ConfigError(
            f"{path}: {error}", hint="Correct that line; strings need quotes in TOML."
        ) from error
    return decode(Config, tree)
