"""Sections of a TOML file into frozen, checked values.

`msgspec` does the typing. This file adds what a person in a cupboard needs: which key, which value, and
what to write instead.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from meterkast.model.errors import ConfigError

S = TypeVar("S", bound=msgspec.Struct)


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Base of every section: frozen, by keyword, unknown keys refused."""


def decode(kind: type[S], tree: Mapping[str, Any], path: str = "") -> S:
    """A section as its settings.

    Args:
        kind: The settings' class.
        tree: What the file says.
        path: Where in the file, such as `uplinks.reset`; for the message.

    Raises:
        ConfigError: A key is unknown, missing, or its value wrong. The message names it.
    """
    _refuse_unknown(kind, tree, path)
    try:
        return msgspec.convert(tree, kind)
    except msgspec.ValidationError as error:
        raise _explained(tree, path, str(error)) from error


def nearest(word: str, known: Iterable[str]) -> str | None:
    """The known word that was most probably meant."""
    import difflib  # 0.2 MiB, for a file that is wrong

    found = difflib.get_close_matches(word, list(known), n=1, cutoff=0.55)
    return found[0] if found else None


def _refuse_unknown(kind: type[msgspec.Struct], tree: Mapping[str, Any], path: str) -> None:
    fields = {field.encode_name: field.type for field in msgspec.structs.fields(kind)}
    for key, value in tree.items():
        where = f"{path}.{key}" if path else key
        if key not in fields:
            meant = nearest(key, fields)
            hint = f"Did you mean `{meant}`?" if meant else f"Known keys here: {', '.join(sorted(fields))}."
            raise ConfigError(f"`{where}` is not a setting", hint=hint)
        inner = _struct_in(fields[key])
        if inner is not None:
            for place, section in _sections(fields[key], value, where):
                _refuse_unknown(inner, section, place)


def _struct_in(annotation: Any) -> type[msgspec.Struct] | None:
    """The settings class that an annotation such as `tuple[Monitor, ...]` speaks of."""
    if isinstance(annotation, type) and issubclass(annotation, msgspec.Struct):
        return annotation
    for argument in getattr(annotation, "__args__", ()):
        if (found := _struct_in(argument)) is not None:
            return found
    return None


def _sections(annotation: Any, value: Any, where: str) -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Where in a value the tables are that its annotation has a settings class for."""
    if isinstance(value, list):
        found = [(f"{where}[{number}]", element) for number, element in enumerate(value)]
    elif isinstance(value, Mapping) and getattr(annotation, "__origin__", None) is dict:
        found = [(f"{where}.{name}", element) for name, element in value.items()]
    else:
        found = [(where, value)]
    for place, element in found:
        if isinstance(element, Mapping):
            yield place, element


_FORMS = {
    "int": "a whole number in that range, without quotes",
    "float": "a number in that range, without quotes",
    "str": 'a text in quotes, such as "text"',
    "bool": "the word true or false, without quotes",
    "array": 'a list in brackets, such as ["one", "two"]',
    "object": "a section of its own, in [brackets] above its keys",
}
"""What to write where `msgspec` expected that type."""

_AT = re.compile(r"^(?P<what>.*?)(?: - at `\$(?P<at>[^`]*)`)?$", re.DOTALL)


def _explained(tree: Mapping[str, Any], path: str, text: str) -> ConfigError:
    match = _AT.match(text)
    assert match is not None
    what, inside = match["what"], match["at"] or ""
    value: Any = tree
    for name, number in re.findall(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]", inside):
        if number == "...":  # any name: the first that holds no table is the wrong one
            name = next((key for key, held in value.items() if not isinstance(held, Mapping)), "")
            if not name:
                break
            inside = inside.replace("[...]", f".{name}", 1)
        try:
            value = value[name] if name else value[int(number)]
        except (KeyError, IndexError, TypeError):
            break
    where = (path + inside).lstrip(".") or "the file"
    if missing := re.match(r"Object missing required field `(\w+)`", what):
        return ConfigError(
            f"`{(where + '.') if where != 'the file' else ''}{missing[1]}` is missing", hint="Add it."
        )
    secret_key = any(word in where for word in ("secret", "password", "key", "token"))
    shown = "" if secret_key or isinstance(value, (Mapping, list)) else f" = {value!r}"
    expected = re.match(r"Expected `(\w+)`", what)
    form = _FORMS.get(expected[1], "another value") if expected else "another value"
    return ConfigError(
        f"`{where}`{shown}: {what[0].lower()}{what[1:]}", hint=f"Correct `{where}`: give {form}."
    )
