"""The device's own key: Ed25519, made on the device at first use, and never leaving it but in a backup.

Imports `cryptography`; only commands use this file, never the gateway while it runs.
"""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from meterkast.model.errors import StorageError
from meterkast.ownership import own_like

FILE = "device.key"


def key_path(database: str | Path) -> Path:
    """Where the key of a database's gateway is: beside it."""
    return Path(database).with_name(FILE)


def device_key(path: Path) -> Ed25519PrivateKey:
    """The device's key; made where there is none yet.

    Raises:
        StorageError: It cannot be read or made, or is no Ed25519 key. It is never replaced: what was signed
            with it could not be told from what was not.
    """
    try:
        if not path.exists():
            _make(path)
        found = load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise StorageError(
            f"{path}: {error.strerror}", hint="Run the command as the gateway's user, or as root."
        ) from error
    except (ValueError, TypeError) as error:
        raise StorageError(
            f"{path} is no key", hint="Put it back from a backup; without it a new identity begins."
        ) from error
    if not isinstance(found, Ed25519PrivateKey):
        raise StorageError(f"{path} is another kind of key", hint="Put it back from a backup.")
    return found


def _make(path: Path) -> None:
    """Write a new key whole or not at all; where another was faster, its key stands."""
    pem = Ed25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    new = path.with_name(f"{path.name}.{os.getpid()}")
    file = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        os.write(file, pem)
        os.fsync(file)
        own_like(file, path.parent)
    finally:
        os.close(file)
    try:
        with suppress(FileExistsError):
            os.link(new, path)
    finally:
        new.unlink()
    folder = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


def public_hex(key: Ed25519PrivateKey) -> str:
    """Its public half, 64 hexadecimal digits."""
    return key.public_key().public_bytes_raw().hex()


def fingerprint(public: str) -> str:
    """What a person compares: the first 16 bytes of the SHA-256 of a public key, in groups of four digits."""
    digest = hashlib.sha256(bytes.fromhex(public)).hexdigest()[:32]
    return " ".join(digest[place : place + 4] for place in range(0, 32, 4))


def good(public: str, signature: str, message: bytes) -> bool:
    """Whether the signature is that key's over the message; all hexadecimal."""
    try:
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(public)).verify(bytes.fromhex(signature), message)
    except (InvalidSignature, ValueError):
        return False
    return True
