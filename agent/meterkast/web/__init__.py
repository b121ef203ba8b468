"""The local page: status, chart, `/api/status`, `/api/half-hours`, `/healthz`, `/metrics`."""
