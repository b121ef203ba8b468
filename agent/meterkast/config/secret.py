"""Secrets: from the configuration, the environment, or a file of their own."""

from __future__ import annotations

import os
from pathlib import Path

from meterkast.model.errors import ConfigError


def secret(value: str, file: str, key: str) -> str:
    """A secret, from the configuration, the environment or a file of its own.

    Args:
        value: As written; `env:NAME` takes it from the environment.
        file: A file that holds it and nothing else; used where `value` is empty.
        key: The key's name, for the message.

    Raises:
        ConfigError: It is given in neither way, or cannot be read. The secret itself is never in a message.
    """
    if value.startswith("env:"):
        name = value[4:]
        if not (found := os.environ.get(name)):
            raise ConfigError(
                f"{key}: the environment has no {name}",
                hint=f"Set {name}, or use {key}_file with a file's path.",
            )
        return found
    if value:
        return value
    if not file:
        raise ConfigError(
            f"{key} is not set", hint=f'Set {key}_file = "/path/to/file", or {key} = "env:NAME".'
        )
    try:
        found = Path(file).read_text(encoding="utf-8").strip()
    except OSError as error:
        raise ConfigError(
            f'{key}_file = "{file}" cannot be read: {error.strerror}', hint="Check path and rights."
        ) from error
    except UnicodeDecodeError:
        # Without its cause, which holds the bytes that were read.
        raise ConfigError(
            f'{key}_file = "{file}" is not UTF-8 text', hint="Save the file as UTF-8."
        ) from None
    if not found:
        raise ConfigError(f'{key}_file = "{file}" is empty', hint="Put the secret into it, and nothing else.")
    return found
