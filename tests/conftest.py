"""What holds for all tests."""

from __future__ import annotations

import logging
import os
import shutil
import signal
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

OURS = ("meterkast", "meterkast_drivers", "meterkast_buffer", "meterkast_rig")
CHROMIUM = os.environ.get("METERKAST_CHROMIUM", "/usr/bin/chromium")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell that runs this in the background lets it ignore Ctrl-C, and with it all that it starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """A command that was run in this process set the levels for all that follow."""
    before = {name: logging.getLogger(name).level for name in OURS}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)


@pytest.fixture
async def browser() -> AsyncIterator[Any]:
    """A real one: Debian's Chromium, steered by playwright, which is imported only where it is there."""
    if shutil.which(CHROMIUM) is None:
        # `make test` installs it where it runs as root, and names it else: CI has it.
        pytest.skip(f"{CHROMIUM} is missing: apt-get install chromium, or set METERKAST_CHROMIUM")
    from playwright.async_api import async_playwright

    async with async_playwright() as playwright:
        started = await playwright.chromium.launch(executable_path=CHROMIUM, args=FLAGS)
        yield started
        await started.close()
