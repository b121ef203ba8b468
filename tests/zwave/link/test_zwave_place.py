"""The setting `server`: this machine only."""

from __future__ import annotations

from pathlib import Path

import pytest

from meterkast.model.errors import ConfigError
from meterkast_drivers.zwave.place import Place


@pytest.mark.parametrize(
    ("text", "url", "shown"),
    [
        ("ws://127.0.0.1:3000", "ws://127.0.0.1:3000/", "ws://127.0.0.1:3000"),
        ("ws://127.0.0.1:3000/", "ws://127.0.0.1:3000/", "ws://127.0.0.1:3000"),
        (" ws://localhost:41400 ", "ws://localhost:41400/", "ws://localhost:41400"),
        ("ws://127.0.0.1", "ws://127.0.0.1:3000/", "ws://127.0.0.1:3000"),
        ("ws://[::1]:3000", "ws://[::1]:3000/", "ws://[::1]:3000"),
        ("ws://127.8.9.1:3000", "ws://127.8.9.1:3000/", "ws://127.8.9.1:3000"),
    ],
)
def test_a_port_of_this_machine(text: str, url: str, shown: str) -> None:
    place = Place.parse(text)
    assert (place.url, place.socket, str(place)) == (url, None, shown)


@pytest.mark.parametrize(
    "text", ["/run/meterkast-zwave/zwave.sock", "unix:///run/meterkast-zwave/zwave.sock"]
)
def test_a_unix_socket(text: str) -> None:
    place = Place.parse(text)
    assert place.socket == Path("/run/meterkast-zwave/zwave.sock")
    assert str(place) == "/run/meterkast-zwave/zwave.sock"


@pytest.mark.parametrize(
    "text",
    ["ws://192.168.1.5:3000", "ws://gateway.local:3000", "ws://0.0.0.0:3000", "ws://localhost.evil:3000"],
)
def test_another_machine_is_refused(text: str) -> None:
    with pytest.raises(ConfigError, match="is on another machine") as caught:
        Place.parse(text)
    assert "asks nobody who they are" in caught.value.hint
    assert "ws://127.0.0.1:3000" in caught.value.hint


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "it is empty"),
        ("  ", "it is empty"),
        ("zwave.sock", "starts with /"),
        ("127.0.0.1:3000", "starts with /"),
        ("unix://zwave.sock", "starts with /"),
        ("/" + "x" * 107, "107 bytes at most"),
        ("/run/\x00", "zero"),
        ("wss://127.0.0.1:3000", "wss:// is not spoken"),
        ("http://127.0.0.1:3000", "http:// is not spoken"),
        ("tcp://127.0.0.1:5555", "tcp:// is not spoken"),
        ("ws://127.0.0.1:99999", "(?i)port"),
        ("ws://127.0.0.1:0", "0 is not a port"),
        ("ws://127.0.0.1:x", "(?i)port"),
        ("ws://[::1:3000", "(?i)invalid"),
        ("ws://me@127.0.0.1:3000", "more than a host and a port"),
        ("ws://127.0.0.1:3000/path", "more than a host and a port"),
        ("ws://127.0.0.1:3000?a=1", "more than a host and a port"),
    ],
)
def test_everything_else_is_refused(text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        Place.parse(text)
    assert "ws://127.0.0.1:3000" in caught.value.hint


def test_the_longest_path_of_a_socket() -> None:
    assert Place.parse("/" + "x" * 106).socket is not None
