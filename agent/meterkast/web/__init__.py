"""The local page: status, chart, `/api/status`, `/api/half-hours`, `/healthz`, `/metrics`."""

from meterkast import lean as lean  # before any of this package's files imports aiohttp
