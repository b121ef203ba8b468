"""The report as a signed file: JSON, whose every character counts but white space between its parts."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any

from meterkast.model.errors import RefusedError
from meterkast.proof.body import FORMAT, Body, plain

ALGORITHM = "Ed25519"
_OUTSIDE = re.compile(r'("(?:[^"\\]|\\.)*")|\s+')
_HEX = {"key": re.compile(r"[0-9a-f]{64}"), "signature": re.compile(r"[0-9a-f]{128}")}


def dumps(value: Any) -> str:
    """The one way in which a value is written: no white space, no escapes but those JSON needs."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def message(body: Any, public: str) -> bytes:
    """What is signed: the whole body, and how and by whom it is signed."""
    return dumps([FORMAT, ALGORITHM, public, body]).encode()


def signed(body: Body, public: str, sign: Callable[[bytes], bytes]) -> str:
    """The file: one member a line, so that a person finds the way in it."""
    tree = plain(body)
    signature = sign(message(tree, public)).hex()
    members = ",\n".join(f"{dumps(name)}:{_lines(value)}" for name, value in tree.items())
    return (
        f'{{"format":{dumps(FORMAT)},\n"body":{{\n{members}\n}},\n"algorithm":{dumps(ALGORITHM)},\n'
        f'"key":{dumps(public)},\n"signature":{dumps(signature)}}}\n'
    )


def _lines(value: Any) -> str:
    if isinstance(value, list) and value:
        return "[\n" + ",\n".join(map(dumps, value)) + "\n]"
    return dumps(value)


def parse(text: str) -> dict[str, Any]:
    """The file's members, if it is written as `signed` writes it; white space between parts does not count.

    Raises:
        RefusedError: It is no such file: cut off, another format, or not written that way.
    """
    try:
        tree = json.loads(text)
    except (ValueError, RecursionError) as error:
        at = f" at line {error.lineno}" if isinstance(error, json.JSONDecodeError) else ""
        raise RefusedError(
            f"the file is not whole: its JSON breaks off or is changed{at}", hint="Get the file once more."
        ) from error
    members = ["format", "body", "algorithm", "key", "signature"]
    if not isinstance(tree, dict) or tree.get("format") != FORMAT or list(tree) != members:
        raise RefusedError(
            "the file is no signed report, or its first members are changed",
            hint="Give a report that was made with --format json.",
        )
    # A duplicate name, a number or an escape written in another way: read the same, but not what was signed.
    if _OUTSIDE.sub(lambda found: found[1] or "", text) != dumps(tree):
        raise RefusedError("the file is written as no gateway writes it", hint="It was changed.")
    for name, form in _HEX.items():
        if not isinstance(tree[name], str) or not form.fullmatch(tree[name]):
            raise RefusedError(f"the file's {name} is changed: it is no {name}", hint="It was changed.")
    if tree["algorithm"] != ALGORITHM:
        raise RefusedError("the file's algorithm is changed", hint="It was changed.")
    return tree
