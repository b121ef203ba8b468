"""The static files: a fixed list, so that no path from outside ever meets the file system."""

from __future__ import annotations

import asyncio
import zlib
from pathlib import Path

from aiohttp import web

from meterkast.web.answers import UnknownError

FOLDER = Path(__file__).with_name("static")

TYPES = {
    "page.css": "text/css",
    "uPlot.min.css": "text/css",
    "live.js": "text/javascript",
    "chart.js": "text/javascript",
    "uPlot.iife.min.js": "text/javascript",
    "uPlot.LICENSE": "text/plain",
    "icon.svg": "image/svg+xml",
}

# Their addresses carry a stamp of their content, so a phone may keep them and still sees an update at once.
_KEEP = "public, max-age=31536000, immutable"


class Assets:
    """Serves the static files, and knows their addresses."""

    def __init__(self) -> None:
        self.stamp = f"{zlib.crc32(b''.join((FOLDER / name).read_bytes() for name in TYPES)):08x}"

    def address(self, name: str) -> str:
        """Where a page finds the file.

        Raises:
            KeyError: It is not in the list.
        """
        TYPES[name]
        return f"/static/{name}?v={self.stamp}"

    async def serve(self, request: web.Request) -> web.StreamResponse:
        """`GET /static/{name}`."""
        name = request.match_info["name"]
        if name not in TYPES:
            raise UnknownError("There is no such file.", hint="The status page is at /.")
        keep = _KEEP if request.query.get("v") == self.stamp else "no-cache"
        headers = {"Content-Type": f"{TYPES[name]}; charset=utf-8", "Cache-Control": keep}
        # Small, and read whole: a file that is sent piece by piece stays open where the browser goes away.
        return web.Response(body=await asyncio.to_thread((FOLDER / name).read_bytes), headers=headers)
