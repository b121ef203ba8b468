"""The example configuration shows every setting, and the documents name only what there is."""

from __future__ import annotations

import argparse
import importlib
import re
import shlex
import tomllib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import msgspec
import pytest

from meterkast import __version__
from meterkast.app import driver_sections, uplink_settings
from meterkast.cli import COMMANDS, main
from meterkast.config.file import load
from meterkast.config.sections import Config
from meterkast.uplinks import KINDS as UPLINKS
from meterkast.uplinks.reset.plan import plans as reset_plans
from meterkast.uplinks.wattics.settings import plans as wattics_plans
from meterkast_drivers import KINDS as DRIVERS

ROOT = Path(__file__).resolve().parents[2]
EXAMPLE = ROOT / "deploy" / "meterkast.example.toml"

# Sections whose keys are decoded by the drivers and uplinks themselves.
OPEN = {"drivers": DRIVERS, "uplinks": UPLINKS}


class Written(NamedTuple):
    """One `key = value` of the example, and what the comment above it says."""

    section: str
    key: str
    value: Any
    comment: str
    line: int
    active: bool


class Known(NamedTuple):
    """One field of a settings class."""

    section: str
    key: str
    default: Any  # None where there is none, or None is it


def written(text: str) -> list[Written]:
    """Every setting of the example, also those that are switched off by a # right before the key."""
    found, section, comment = [], "", ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := re.fullmatch(r"#?\[+([a-z0-9_.]+)\]+", line):
            section, comment = re.sub(r"\.\d+", "", match[1]), ""  # nodes.12 is one of nodes
        elif match := re.fullmatch(r"(#?)([a-z0-9_]+) = (.+)", line):
            value = tomllib.loads(f"it = {match[3]}")["it"]
            found.append(Written(section, match[2], value, comment, number, not match[1]))
            comment = ""
        elif line.startswith("# "):
            comment = line[2:]
    return found


def known() -> list[Known]:
    """Every setting there is, by walking the settings classes."""
    found = list(_fields(Config, ""))
    for section, kinds in OPEN.items():
        for name, module in kinds.items():
            found += _fields(importlib.import_module(module).Settings, f"{section}.{name}")
    return found


def _fields(kind: type[msgspec.Struct], section: str) -> Iterator[Known]:
    for field in msgspec.structs.fields(kind):
        path = f"{section}.{field.name}".lstrip(".")
        inner = _inner(field.type)
        if inner is not None:
            yield from _fields(inner, path)
        elif path not in OPEN:
            yield Known(section, field.name, _default(field))


def _inner(annotation: Any) -> type[msgspec.Struct] | None:
    """The settings class in an annotation such as `tuple[Monitor, ...]`."""
    for one in (annotation, *getattr(annotation, "__args__", ())):
        if isinstance(one, type) and issubclass(one, msgspec.Struct):
            return one
    return None


def _default(field: msgspec.structs.FieldInfo) -> Any:
    default = None
    if field.default is not msgspec.NODEFAULT:
        default = field.default
    elif field.default_factory is not msgspec.NODEFAULT:
        default = field.default_factory()
    return msgspec.json.decode(msgspec.json.encode(default))  # a tuple is a list in TOML, an enum its text


def told(one: Written) -> Any:
    """What the example says the default is: its comment's last words, else the value itself."""
    if (match := re.search(r"Default: (.+)\.$", one.comment)) is None:
        return one.value
    return None if match[1] == "none" else tomllib.loads(f"it = {match[1]}")["it"]


def uncommented(text: str) -> str:
    """The example with everything that is switched off switched on."""
    return re.sub(r"^#(?=\[|[a-z0-9_]+ = )", "", text, flags=re.MULTILINE)


TEXT = EXAMPLE.read_text(encoding="utf-8")
WRITTEN, KNOWN = written(TEXT), known()


def test_example_shows_every_setting() -> None:
    shown = {(one.section, one.key) for one in WRITTEN}
    assert [f"{one.section}.{one.key}" for one in KNOWN if (one.section, one.key) not in shown] == []


def test_example_has_no_unknown_setting() -> None:
    there = {(one.section, one.key) for one in KNOWN}
    assert [f"line {one.line}: {one.key}" for one in WRITTEN if (one.section, one.key) not in there] == []


def test_example_says_the_defaults_as_they_are() -> None:
    first = {(one.section, one.key): one for one in reversed(WRITTEN)}
    wrong = [
        f"line {shown.line}: {one.key} is {one.default!r} by default, the example says {told(shown)!r}"
        for one in KNOWN
        if (shown := first.get((one.section, one.key))) and told(shown) != one.default
    ]
    assert wrong == []


def test_example_explains_every_setting_where_it_is_first_shown() -> None:
    first = {(one.section, one.key): one for one in reversed(WRITTEN)}
    assert [f"line {one.line}: {one.key}" for one in first.values() if not one.comment] == []


def test_settings_that_are_shown_can_all_be_switched_on(tmp_path: Path) -> None:
    file = tmp_path / "all.toml"
    file.write_text(uncommented(TEXT), encoding="utf-8")
    config = load(file)
    assert [title for title, _, _ in driver_sections(config)] == ["p1", "zwave"]
    settings = uplink_settings(config)
    assert [plan.module for plan in reset_plans(settings["reset"])] == [
        "energy",
        "water",
        "air",
        "circularity",
    ]
    assert len(wattics_plans(settings["wattics"])) == 3


def test_example_passes_check(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("reset.secret", "wattics.password"):
        (tmp_path / name).write_text("not a real one\n", encoding="utf-8")
    text = TEXT.replace('"/etc/meterkast/', f'"{tmp_path}/').replace('"/var/lib/meterkast/', f'"{tmp_path}/')
    file = tmp_path / "meterkast.toml"
    file.write_text(text, encoding="utf-8")
    status = main(["check", "--config", str(file)])
    assert (status, capsys.readouterr().out.splitlines()[-1]) == (0, "Nothing is wrong.")


# ----------------------------------------------------------------------------------------------- documents

DOCUMENTS = sorted(
    path
    for path in [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "hardware").glob("*.md")]
    if "node_modules" not in path.parts
)
_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Said(NamedTuple):
    """A command line that a document names."""

    document: str
    words: tuple[str, ...]


def commands() -> list[Said]:
    """Every `meterkast …` of the documents: in code spans, and in blocks of shell commands."""
    found: list[Said] = []
    for path in DOCUMENTS:
        text = path.read_text(encoding="utf-8")
        lines = [line for kind, block in _FENCE.findall(text) if kind == "sh" for line in block.splitlines()]
        lines += re.findall(r"`([^`\n]+)`", _FENCE.sub("", text))
        calls = [words for line in lines if (words := _called(line)) is not None]
        found += [Said(path.name, words) for words in calls]
    return found


def _called(line: str) -> tuple[str, ...] | None:
    """What `meterkast` is called with in a shell line; None where the line does not call it."""
    try:
        words = shlex.split(line, comments=True)
    except ValueError:
        return None
    while words and (words[0] == "sudo" or "=" in words[0]):
        words = words[1:]
    for place, word in enumerate(words):
        if word.endswith("bin/meterkast") or (place == 0 and word == "meterkast"):
            rest = words[place + 1 :]
            # A line goes on after a pipe or an ampersand with another program.
            end = next((at for at, one in enumerate(rest) if one in ("|", "&", ">", "&&", ";")), len(rest))
            return tuple(rest[:end])
    return None


def _parsers(parser: argparse.ArgumentParser) -> Mapping[str, argparse.ArgumentParser]:
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            return action.choices
    return {}


@pytest.mark.parametrize("said", commands(), ids=lambda said: f"{said.document}: {' '.join(said.words)}")
def test_commands_in_the_documents_exist(said: Said) -> None:
    words = list(said.words)
    if not words or words[0] == "…" or words[0].startswith("--") or words == [__version__]:
        return
    assert words[0] in COMMANDS
    parser = argparse.ArgumentParser()
    importlib.import_module(f"meterkast.cli.{words[0]}").configure(parser)
    rest = words[1:]
    while rest and (inner := _parsers(parser)):
        if rest[0].startswith("-"):
            break
        assert rest[0] in inner
        parser, rest = inner[rest[0]], rest[1:]
    options = {option for action in parser._actions for option in action.option_strings}
    assert [word for word in rest if word.startswith("--") and word.partition("=")[0] not in options] == []


def test_documents_are_there() -> None:
    names = {str(path.relative_to(ROOT)) for path in DOCUMENTS}
    assert {"README.md", "docs/installing.md", "docs/operating.md", "docs/developing.md"} <= names
    assert commands(), "no command was found: the search itself is broken"


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_of_a_document_lead_somewhere(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)\s]+)\)", _FENCE.sub("", text))
    broken = []
    for link in links:
        if re.match(r"[a-z]+:", link):
            continue
        name, _, anchor = link.partition("#")
        target = (path.parent / name).resolve() if name else path
        if not target.exists() or (anchor and anchor not in _anchors(target)):
            broken.append(link)
    assert broken == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_files_that_a_document_names_exist(path: Path) -> None:
    tops = "agent|buffer|deploy|docs|drivers|hardware|tests"
    named = re.findall(rf"`((?:{tops})/[\w./{{}},-]*)`", path.read_text(encoding="utf-8"))
    # "yours" stands for what a reader is going to write.
    real = [name for name in named if "yours" not in name]
    absent = [name for name in real for one in _braces(name) if not (ROOT / one).exists()]
    assert absent == []


@pytest.mark.parametrize("path", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_make_targets_that_a_document_names_exist(path: Path) -> None:
    rules = re.findall(r"^([\w.-]+):", (ROOT / "Makefile").read_text(encoding="utf-8"), re.MULTILINE)
    text = path.read_text(encoding="utf-8")
    named = re.findall(r"(?:`|^)make ([a-z]+(?:-[a-z]+)*)\b", text, re.MULTILINE)
    assert [name for name in named if name not in rules] == []


def _anchors(path: Path) -> set[str]:
    """GitHub's names of a document's headings."""
    text = _FENCE.sub("", path.read_text(encoding="utf-8"))
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def _braces(name: str) -> list[str]:
    """`a/{b,c}.py` as a/b.py and a/c.py."""
    match = re.search(r"\{([^}]*)\}", name)
    if match is None:
        return [name]
    return [
        one
        for choice in match[1].split(",")
        for one in _braces(name[: match.start()] + choice + name[match.end() :])
    ]
