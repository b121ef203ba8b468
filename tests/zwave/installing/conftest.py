"""The simulated stick under the real server, as an installer with a phone sees it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from meterkast.network import JobRequest, JobView
from meterkast_buffer.store import open_store

from ..following import followed

ENDED = ("done", "failed")


def words(view: JobView) -> list[str]:
    """Its status words, each once where it came several times in a row."""
    found: list[str] = []
    for step in view.steps:
        if not found or found[-1] != step.status:
            found.append(step.status)
    return found


def said(view: JobView) -> str:
    return " ".join(step.detail for step in view.steps)


@dataclass
class Site:
    """A cupboard with a stick, and an installer in front of it."""

    stick: Any
    running: Any
    store: Any
    folder: Path

    words = staticmethod(words)
    said = staticmethod(said)

    @property
    def network(self) -> Any:
        return self.running.driver.network

    async def start(self, **request: Any) -> JobView:
        return await self.network.start(JobRequest(**request))

    async def when(self, job: int, true: Callable[[JobView], bool]) -> JobView:
        """The job as soon as it is so."""
        return await followed(self.network, job, true)

    async def until(self, job: int, word: str) -> JobView:
        """The job once it has said that word."""
        return await self.when(job, lambda view: word in words(view))

    async def ended(self, job: int) -> JobView:
        return await self.when(job, lambda view: view.state in ENDED)

    async def include(self, kind: str, node: int, **request: Any) -> JobView:
        """Add a device from the order to the end; a PIN is typed from its label."""
        job = await self.start(kind="include", **request)
        await self.until(job.id, "install_searching")
        made = await self.stick.verb("join", kind=kind, id=node)
        if made["pin"] and request.get("security", "auto") in ("auto", "s2") and kind.startswith("s2"):
            view = await self.asked(job.id)
            if view.asks:
                await self.network.answer(job.id, made["pin"])
        return await self.ended(job.id)

    async def asked(self, job: int) -> JobView:
        """The job as soon as it asks for the PIN, or has ended."""
        return await self.when(job, lambda view: bool(view.asks) or view.state in ENDED)

    async def exclude(self, node: int, **request: Any) -> JobView:
        job = await self.start(kind="exclude", **request)
        await self.until(job.id, "deinst_searching")
        await self.stick.verb("leave", id=node)
        return await self.ended(job.id)

    def numbers(self) -> set[int]:
        return {one.node for one in self.network.nodes()}

    async def product(self, name: str) -> Any:
        return next((one for one in await self.store.products() if one.name == name), None)

    async def listed(self, dsk: str) -> bool:
        controller = self.running.driver._link.driver.controller
        return any(entry.dsk == dsk for entry in await controller.async_get_provisioning_entries())


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def site(tools: Any, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Site]:
    store = await open_store(tmp_path_factory.mktemp("store") / "meterkast.db")
    with tools.folder() as folder:
        async with (
            tools.serving(devices="meter:2,gas:4,water:5,plug:7,plug:8,dimmer:9") as stick,
            tools.driving(stick.url, folder, store, poll=False) as running,
        ):
            await running.settled(2, 4, 5, 7, 8, 9)
            yield Site(stick, running, store, folder)
    await store.close()


@pytest.fixture
def patience(site: Site) -> Any:
    """How long is waited; as it was afterwards."""
    patience = site.network.patience
    before = {name: getattr(patience, name) for name in type(patience).__slots__}
    yield patience
    for name, value in before.items():
        setattr(patience, name, value)
