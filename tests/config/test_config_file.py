"""A mistake in the configuration is named with its key, its value and the cure; a secret never is."""

from __future__ import annotations

import traceback
from pathlib import Path
from typing import Annotated, Any

import msgspec
import pytest

from meterkast.config.decoding import Settings, decode, nearest
from meterkast.config.file import load
from meterkast.config.secret import secret
from meterkast.config.sections import Config
from meterkast.model.errors import ConfigError

SECRET = "hunter2-5d1f0c"


class Channel(Settings, frozen=True):
    id: str
    scale: Annotated[float, msgspec.Meta(gt=0)] = 1.0


class Far(Settings, frozen=True):
    url: str
    api_secret: str = ""
    size: Annotated[int, msgspec.Meta(ge=1)] = 1
    monitors: tuple[Channel, ...] = ()
    by_name: dict[str, Channel] = msgspec.field(default_factory=dict)
    one: Channel | None = None


def refused(tree: dict[str, Any], kind: Any = Config, path: str = "") -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        decode(kind, tree, path)
    return caught.value


def test_empty_file_is_a_whole_configuration(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text("")
    config = load(tmp_path / "m.toml")
    assert config.site.time_zone == "Europe/Amsterdam"
    assert config.page.host == "127.0.0.1"
    assert config.storage.half_hours_years >= 10
    assert (config.drivers, config.uplinks) == ({}, {})


def test_file_is_read_into_checked_values(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text(
        '[site]\nname = "Zoë"\ntime_zone = "Asia/Kathmandu"\n[page]\nallowed_hosts = ["gw.local"]\n'
        '[drivers.p1]\nport = "/dev/ttyUSB0"\n[uplinks.reset]\nurl = "x"\n',
        encoding="utf-8",
    )
    config = load(path)
    assert (config.site.name, config.site.time_zone) == ("Zoë", "Asia/Kathmandu")
    assert config.page.allowed_hosts == ("gw.local",)
    assert config.drivers == {"p1": {"port": "/dev/ttyUSB0"}}
    assert config.uplinks == {"reset": {"url": "x"}}


def test_mark_that_windows_puts_before_the_text_does_no_harm(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_bytes(b'\xef\xbb\xbf[site]\r\nname = "Home"\r\n')
    assert load(path).site.name == "Home"


def test_missing_file_is_named_with_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"none\.toml: No such file") as caught:
        load(tmp_path / "none.toml")
    assert "--config" in caught.value.hint


def test_folder_is_no_configuration(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="directory"):
        load(tmp_path)


@pytest.mark.parametrize("text", ["a = " + "[" * 5000, "a = " + "9" * 5000], ids=["brackets", "digits"])
def test_text_that_python_cannot_take_is_refused_as_any_other(tmp_path: Path, text: str) -> None:
    (tmp_path / "m.toml").write_text(text)
    with pytest.raises(ConfigError, match=r"m\.toml"):
        load(tmp_path / "m.toml")


def test_file_that_is_not_utf8_is_named(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_bytes(b'[site]\nname = "Zo\xeb"\n')
    with pytest.raises(ConfigError, match=r"m\.toml is not UTF-8") as caught:
        load(path)
    assert "UTF-8" in caught.value.hint


def test_text_that_is_no_toml_is_named_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "m.toml"
    path.write_text("[site]\nname = Home\n")
    with pytest.raises(ConfigError, match=r"m\.toml: .*line 2") as caught:
        load(path)
    assert "quotes" in caught.value.hint


@pytest.mark.parametrize(
    ("tree", "named", "meant"),
    [
        ({"sites": {}}, "`sites`", "`site`"),
        ({"site": {"timezone": "UTC"}}, "`site.timezone`", "`time_zone`"),
        ({"storage": {"sample_days": 3}}, "`storage.sample_days`", "`samples_days`"),
        ({"half_hours": {"grace": 3}}, "`half_hours.grace`", "`grace_s`"),
        ({"page": {"hosts": []}}, "`page.hosts`", "`host`"),
    ],
)
def test_unknown_key_is_answered_with_the_nearest_one(tree: dict[str, Any], named: str, meant: str) -> None:
    error = refused(tree)
    assert f"{named} is not a setting" == str(error)
    assert error.hint == f"Did you mean {meant}?"


def test_unknown_key_that_is_near_to_none_is_answered_with_all() -> None:
    assert refused({"page": {"zzzzzz": 1}}).hint == "Known keys here: allowed_hosts, enabled, host, port."


@pytest.mark.parametrize(
    ("tree", "message", "cure"),
    [
        ({"page": {"port": "80"}}, "`page.port` = '80': expected `int`, got `str`", "whole number"),
        ({"page": {"port": 99999}}, "`page.port` = 99999: expected `int` <= 65535", "range"),
        ({"page": {"enabled": "yes"}}, "`page.enabled` = 'yes': expected `bool`", "true or false"),
        ({"storage": {"flush_s": 1}}, "`storage.flush_s` = 1: expected `int` >= 5", "range"),
        ({"storage": {"half_hours_years": 9}}, "`storage.half_hours_years` = 9: expected `int` >= 10", ""),
        ({"site": {"name": 5}}, "`site.name` = 5: expected `str`, got `int`", "in quotes"),
        ({"page": {"allowed_hosts": "gw"}}, "`page.allowed_hosts` = 'gw': expected `array`", "brackets"),
        ({"page": {"allowed_hosts": ["a", 5]}}, "`page.allowed_hosts[1]` = 5: expected `str`", "quotes"),
        ({"drivers": {"z": {}, "p1": "/dev/x"}}, "`drivers.p1` = '/dev/x': expected `object`", "section"),
        ({"site": 5}, "`site` = 5: expected `object`", "section"),
        ({"site": {"time_zone": "Europe/Amstedam"}}, '`site.time_zone` = "Europe/Amstedam"', "Europe/Amst"),
    ],
)
def test_wrong_value_is_named_with_its_key_and_the_cure(
    tree: dict[str, Any], message: str, cure: str
) -> None:
    error = refused(tree)
    assert message in str(error)
    assert cure in error.hint


def test_wrong_inner_value_of_a_table_of_tables_is_refused() -> None:
    error = refused({"url": "x", "by_name": {"a": {"id": 5}}}, Far, "uplinks.far")
    assert "uplinks.far.by_name" in str(error)
    assert "expected `str`, got `int`" in str(error)


def test_place_that_cannot_be_followed_is_shown_without_a_value() -> None:
    class Odd(Settings, frozen=True):
        pair: tuple[int, int] = (1, 2)

    assert "`odd.pair`" in str(refused({"pair": [1]}, Odd, "odd"))


def test_missing_key_is_named() -> None:
    assert str(refused({}, Far, "uplinks.far")) == "`uplinks.far.url` is missing"
    assert str(refused({}, Far)) == "`url` is missing"
    error = refused({"url": "x", "monitors": [{"id": "a"}, {}]}, Far, "uplinks.far")
    assert str(error) == "`uplinks.far.monitors[1].id` is missing"
    assert error.hint == "Add it."


@pytest.mark.parametrize(
    ("tree", "where"),
    [
        ({"monitors": [{"id": "a"}, {"id": "b", "scal": 2}]}, "uplinks.far.monitors[1].scal"),
        ({"by_name": {"roof": {"id": "a", "scal": 2}}}, "uplinks.far.by_name.roof.scal"),
        ({"one": {"id": "a", "scal": 2}}, "uplinks.far.one.scal"),
    ],
)
def test_unknown_key_deep_inside_is_named_with_its_whole_path(tree: dict[str, Any], where: str) -> None:
    error = refused({"url": "x", **tree}, Far, "uplinks.far")
    assert str(error) == f"`{where}` is not a setting"
    assert error.hint == "Did you mean `scale`?"


def test_valid_tables_of_tables_are_taken() -> None:
    tree = {"url": "x", "by_name": {"roof": {"id": "a"}}, "monitors": [{"id": "b"}], "one": {"id": "c"}}
    far = decode(Far, tree)
    assert far.by_name["roof"].id == "a"
    assert far.monitors[0].scale == 1.0
    assert refused({**tree, "monitors": [5]}, Far)
    assert refused({**tree, "one": 5}, Far)


def test_value_of_a_secret_key_is_never_in_a_message() -> None:
    for tree in (
        {"url": "x", "api_secret": [SECRET]},
        {"url": "x", "api_secret": {"value": SECRET}},
        {"url": "x", "api_secret": 5151},
        {"url": "x", "api_secrets": SECRET},
    ):
        error = refused(tree, Far, "uplinks.far")
        shown = "".join(traceback.format_exception(error)) + error.hint
        assert "uplinks.far.api_secret" in str(error)
        assert SECRET not in shown
        assert "5151" not in str(error) + error.hint


def test_secret_is_taken_as_written_from_the_environment_or_from_a_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert secret(SECRET, "", "far.secret") == SECRET
    monkeypatch.setenv("FAR_SECRET", SECRET)
    assert secret("env:FAR_SECRET", "", "far.secret") == SECRET
    path = tmp_path / "secret"
    path.write_text(SECRET + "\n")
    assert secret("", str(path), "far.secret") == SECRET


def test_secret_that_cannot_be_had_is_named_by_key_and_place_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("FAR_SECRET", raising=False)
    empty, garbled = tmp_path / "empty", tmp_path / "garbled"
    empty.write_text(" \n")
    garbled.write_bytes(SECRET.encode() + b"\xff")
    for value, file, message in (
        ("env:FAR_SECRET", "", "far.secret: the environment has no FAR_SECRET"),
        ("", "", "far.secret is not set"),
        ("", str(tmp_path / "none"), f'far.secret_file = "{tmp_path / "none"}" cannot be read: No such file'),
        ("", str(empty), "is empty"),
        ("", str(garbled), "is not UTF-8 text"),
    ):
        with pytest.raises(ConfigError) as caught:
            secret(value, file, "far.secret")
        assert message in str(caught.value)
        assert caught.value.hint
        shown = "".join(traceback.format_exception(caught.value))
        assert SECRET not in shown
        assert "0xff" not in shown


def test_nearest_word_is_the_one_that_was_meant() -> None:
    assert nearest("reser", ["reset", "wattics"]) == "reset"
    assert nearest("qqq", ["reset", "wattics"]) is None
