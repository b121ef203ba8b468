"""What holds for all tests."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest

OURS = ("meterkast", "meterkast_drivers", "meterkast_buffer", "meterkast_rig")


@pytest.fixture(autouse=True)
def _log_levels() -> Iterator[None]:
    """A command that was run in this process set the levels for all that follow."""
    before = {name: logging.getLogger(name).level for name in OURS}
    yield
    for name, level in before.items():
        logging.getLogger(name).setLevel(level)
