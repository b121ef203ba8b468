"""A stream of bytes under a passphrase: written and read in frames, in bounded memory. docs/backup.md has the
format.

The key is made of the passphrase by scrypt with a salt of its own for each file, so the frames' numbers can
be their nonces. A frame's size and whether it is the last one are authenticated with it: a file that was
cut, or whose frames were moved, does not open.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import struct
from typing import IO, Any

from meterkast.model.errors import RefusedError

MAGIC = b"MKBACKUP1\n"

FRAME_BYTES = 64 * 1024
_TAG_BYTES = 16  # of AES-GCM
_LAST = 1 << 31

# OWASP's figures for scrypt with 32 MiB, which a Pi Zero 2 W has: about 3 s there.
SCRYPT_N, SCRYPT_R, SCRYPT_P = 1 << 15, 8, 3
_SCRYPT_MOST_BYTES = 256 * 1024 * 1024
_SCRYPT_MOST_P = 16
_HEADER_MOST_BYTES = 4096

SHORTEST = 8
"""Characters of a passphrase."""


class SealedWriter:
    """Writes what it is given into a file, encrypted.

    Args:
        file: Where to; stays open.
        passphrase: Of at least 8 characters.
        created_ms: When; readable by anybody.

    Raises:
        RefusedError: The passphrase is too short.
    """

    def __init__(self, file: IO[bytes], passphrase: str, created_ms: int) -> None:
        if len(passphrase) < SHORTEST:
            raise RefusedError(
                f"the passphrase is shorter than {SHORTEST} characters",
                hint="Use several words: who has the file and the passphrase has the gateway's keys.",
            )
        salt = os.urandom(16)
        header = {
            "created_ms": created_ms,
            "kdf": "scrypt",
            "n": SCRYPT_N,
            "r": SCRYPT_R,
            "p": SCRYPT_P,
            "salt": salt.hex(),
            "cipher": "AES-256-GCM",
        }
        text = json.dumps(header, separators=(",", ":")).encode()
        start = MAGIC + struct.pack(">I", len(text)) + text
        key, proof = _keys(passphrase, header)
        file.write(start + hmac.digest(proof, start, hashlib.sha256))
        self._cipher = _cipher(key)
        self._file = file
        self._number = 0
        self._buffer = bytearray()

    def write(self, data: bytes) -> int:
        """Add bytes."""
        self._buffer += data
        while len(self._buffer) > FRAME_BYTES:  # the last frame is never empty but in an empty stream
            self._frame(bytes(self._buffer[:FRAME_BYTES]), last=False)
            del self._buffer[:FRAME_BYTES]
        return len(data)

    def close(self) -> None:
        """Write the last frame; without it the file does not open."""
        self._frame(bytes(self._buffer), last=True)
        self._buffer.clear()

    def _frame(self, data: bytes, *, last: bool) -> None:
        size = struct.pack(">I", len(data) | (_LAST if last else 0))
        self._file.write(size + self._cipher.encrypt(_nonce(self._number), data, size))
        self._number += 1


class SealedReader:
    """Reads such a file from its start.

    Raises:
        RefusedError: It is no backup, was changed or cut, or the passphrase is another.

    Attributes:
        created_ms: When it was made.
    """

    def __init__(self, file: IO[bytes], passphrase: str, name: str) -> None:
        self._name = name
        self._file = file
        start = self._exactly(len(MAGIC) + 4)
        if not start.startswith(MAGIC):
            raise RefusedError(
                f"{name} is no backup of this gateway", hint="Give the file that `backup` made."
            )
        length = struct.unpack(">I", start[len(MAGIC) :])[0]
        if length > _HEADER_MOST_BYTES:
            raise self._damaged("its header is too long")
        text = self._exactly(length)
        header = self._header(text)
        key, proof = _keys(passphrase, header)
        given = self._exactly(hashlib.sha256().digest_size)
        if not hmac.compare_digest(hmac.digest(proof, start + text, hashlib.sha256), given):
            raise RefusedError(
                f"the passphrase does not open {name}, or the file's first lines were changed",
                hint="Nothing was written. Type the passphrase that the backup was made with.",
            )
        self.created_ms = int(header["created_ms"])
        self._cipher = _cipher(key)
        self._number = 0
        self._buffer = b""
        self._ended = False

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; fewer only at the end.

        Raises:
            RefusedError: The file was changed or cut.
        """
        parts, wanted = [], size
        while wanted:
            if not self._buffer and not self._next():
                break
            part, self._buffer = self._buffer[:wanted], self._buffer[wanted:]
            parts.append(part)
            wanted -= len(part)
        return b"".join(parts)

    def finish(self) -> None:
        """Read to the end: only now is it sure that the file is whole.

        Raises:
            RefusedError: The file was changed or cut.
        """
        while self._next():
            pass
        if self._file.read(1):
            raise self._damaged("something stands behind its end")

    def _next(self) -> bool:
        if self._ended:
            return False
        size = self._exactly(4)
        word = struct.unpack(">I", size)[0]
        last, length = bool(word & _LAST), word & ~_LAST
        if length > FRAME_BYTES:
            raise self._damaged("a frame is too long")
        sealed = self._exactly(length + _TAG_BYTES)
        from cryptography.exceptions import InvalidTag

        try:
            self._buffer = self._cipher.decrypt(_nonce(self._number), sealed, size)
        except InvalidTag:
            raise self._damaged(f"frame {self._number} is not as it was written") from None
        self._number += 1
        self._ended = last
        return True

    def _exactly(self, size: int) -> bytes:
        data = self._file.read(size)
        if len(data) < size:
            raise self._damaged("its end is missing")
        return data

    def _header(self, text: bytes) -> dict[str, Any]:
        try:
            header = json.loads(text)
            n, r, p, salt = header["n"], header["r"], header["p"], bytes.fromhex(header["salt"])
            int(header["created_ms"])
            known = (header["kdf"], header["cipher"]) == ("scrypt", "AES-256-GCM")
            # It is not proven yet: what it asks for must not fill the memory.
            bounded = 0 < n * r * 128 <= _SCRYPT_MOST_BYTES and n & (n - 1) == 0 and 0 < p <= _SCRYPT_MOST_P
        except (ValueError, KeyError, TypeError) as error:
            raise self._damaged(f"its header is not as it was written ({error!r})") from error
        if not known or not bounded or not salt or n < 2:
            raise self._damaged("its header asks for what no backup of this release does")
        found: dict[str, Any] = header
        return found

    def _damaged(self, why: str) -> RefusedError:
        return RefusedError(
            f"{self._name} is damaged: {why}",
            hint="Nothing was written. Copy it again from where it came, or take another backup.",
        )


def _keys(passphrase: str, header: dict[str, Any]) -> tuple[bytes, bytes]:
    """The cipher's key, and the one that proves header and passphrase."""
    made = hashlib.scrypt(
        passphrase.encode(),
        salt=bytes.fromhex(header["salt"]),
        n=header["n"],
        r=header["r"],
        p=header["p"],
        maxmem=2 * _SCRYPT_MOST_BYTES,
        dklen=64,
    )
    return made[:32], made[32:]


def _cipher(key: bytes) -> Any:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # only these two commands need it

    return AESGCM(key)


def _nonce(number: int) -> bytes:
    return struct.pack(">4xQ", number)
