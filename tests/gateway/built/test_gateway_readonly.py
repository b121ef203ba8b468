"""The kernel makes a failing card read-only while the gateway runs: a real ext4, a real error, a new card.

It needs mounts, so it runs in a process of its own with mounts of its own: nothing of it is left behind.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

INSIDE = "METERKAST_OWN_MOUNTS"


def test_a_card_that_becomes_read_only_costs_nothing_once_there_is_a_new_one() -> None:
    if os.geteuid():
        pytest.skip("needs root, to mount a disk of its own")
    needed = ("unshare", "mkfs.ext4", "e2fsck", "mount", "umount", "losetup")
    missing = [name for name in needed if shutil.which(name) is None]
    missing += [name for name in ("/dev/loop-control", "/sys/fs/ext4") if not os.path.exists(name)]
    if missing:
        pytest.skip(f"needs {', '.join(missing)}")
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", "--no-header"]
    done = subprocess.run(
        ["unshare", "-m", *command, f"{__file__}::test_inside"],
        env={**os.environ, INSIDE: "1"}, capture_output=True, text=True, check=False, timeout=120,
    )  # fmt: skip
    if "1 skipped" in done.stdout:
        pytest.skip(done.stdout.partition("SKIPPED")[2].splitlines()[0])
    assert "1 passed" in done.stdout, done.stdout + done.stderr


class Card:
    """An ext4 in a file, mounted."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.image, self.folder = image, folder

    def insert(self) -> None:
        made = subprocess.run(
            ["losetup", "--find", "--show", str(self.image)], capture_output=True, text=True, check=False
        )
        if made.returncode:
            pytest.skip(f"no loop device: {made.stderr.strip()}")
        self.device = made.stdout.strip()
        subprocess.run(
            ["mount", "-t", "ext4", "-o", "errors=remount-ro", self.device, str(self.folder)], check=True
        )

    def fail(self) -> None:
        """The kernel finds an error, and lets nobody write any more."""
        Path(f"/sys/fs/ext4/{Path(self.device).name}/trigger_fs_error").write_text("1")
        with pytest.raises(OSError, match=r"Read-only|error"):
            (self.folder / "anything").write_bytes(b"?" * 4096)

    def copied(self, image: Path) -> Card:
        """A new card with what is on this one."""
        shutil.copyfile(self.image, image)
        assert subprocess.run(["e2fsck", "-fy", str(image)], capture_output=True, check=False).returncode < 4
        return Card(image, self.folder)

    def remove(self) -> None:
        # The device goes with the last file that is open on it.
        subprocess.run(["umount", "-l", str(self.folder)], check=True)
        subprocess.run(["losetup", "--detach", self.device], check=True)


@pytest.fixture
def card(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[[Card | None], Card]]:
    """The folder of the gateway is on a card; called with another one that takes its place."""
    image = tmp_path_factory.mktemp("images") / "card"
    with open(image, "wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", str(image)], check=True)
    subprocess.run(["mount", "--make-rprivate", "/"], check=True)
    inserted = [Card(image, tmp_path)]
    inserted[0].insert()

    def change(new: Card | None = None) -> Card:
        if new is not None:
            inserted.pop().remove()
            new.insert()
            inserted.append(new)
        return inserted[-1]

    yield change
    with contextlib.suppress(subprocess.CalledProcessError):
        inserted[-1].remove()


if INSIDE in os.environ:  # the test above runs it, with mounts of its own

    async def test_inside(
        card: Callable[..., Card], site: Any, tmp_path_factory: pytest.TempPathFactory
    ) -> None:
        async with site() as it:
            await it.minutes(35)
            card().fail()
            await it.minutes(70)
            assert len(it.gateway.keeper.unsaved) == 70
            problems = it.problems()
            assert "read-only" in problems, problems
            card(card().copied(tmp_path_factory.mktemp("images") / "new"))
            await it.minutes(1)
            assert len(it.gateway.keeper.unsaved) == 0
            assert [one.value and one.value.whole for one in await it.half_hours()] == [29, 59, 89]
            assert await it.samples() == 106
            assert len(await it.payloads("half")) == 3
            assert await it.store.doubts() == []
            assert "read-only" not in it.problems()
