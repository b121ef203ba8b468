"""What the P1 tests share: telegrams of our own, a meter's line, and a catalog that gives ids."""

from __future__ import annotations

import os
import tty
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from meterkast_drivers.p1 import crc

from .stub_catalog import StubCatalog

DATA = Path(__file__).parents[1] / "data" / "p1"


@pytest.fixture
def catalog() -> StubCatalog:
    return StubCatalog()


@pytest.fixture
def telegram() -> Callable[[str], bytes]:
    """Reads one of our own telegrams."""
    return lambda name: (DATA / name).read_bytes()


@pytest.fixture
def own_files() -> list[Path]:
    return sorted(path for path in DATA.iterdir() if path.suffix in (".telegram", ".raw"))


@pytest.fixture
def sealed() -> Callable[[bytes], bytes]:
    """Puts the right checksum behind a telegram that ends in "!" and whatever follows it."""

    def seal(text: bytes) -> bytes:
        body = text[: text.rindex(b"!") + 1]
        return body + b"%04X\r\n" % crc.arc(body)

    return seal


@pytest.fixture
def line() -> Iterator[tuple[int, str]]:
    """A serial line: the meter's end to write to, and the port name for the driver."""
    meter_end, driver_end = os.openpty()
    tty.setraw(driver_end)  # else the kernel rewrites \r\n, which a P1 line does not
    open_ends = [meter_end, driver_end]
    yield meter_end, os.ttyname(driver_end)
    for end in open_ends:
        try:
            os.close(end)
        except OSError:
            continue  # the test unplugged it
