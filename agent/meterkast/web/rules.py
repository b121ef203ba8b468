"""What holds for every request: who may ask, by which method, and what a browser may do with the answer."""

from __future__ import annotations

import ipaddress

from aiohttp import web
from aiohttp.typedefs import Middleware

from meterkast.config.sections import Page
from meterkast.web.answers import Handler, as_json

HEADERS = {
    # Nothing inline and nothing from elsewhere. Forms only ask this server (the choice of a property).
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
        "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Server": "meterkast",
}


def hosts(page: Page) -> frozenset[str]:
    """The names by which a browser may ask for the page."""
    names = {"localhost", "127.0.0.1", "::1", page.host, *page.allowed_hosts}
    return frozenset(_name(name) for name in names)


def admission(page: Page) -> Middleware:
    """A middleware that refuses foreign hosts, writing methods and bodies before any handler runs."""
    names = hosts(page)

    # A page from elsewhere can make its own name resolve to this address (DNS rebinding); its requests
    # then come with that name as Host.
    @web.middleware
    async def admit(request: web.Request, handler: Handler) -> web.StreamResponse:
        host = _name(request.headers.get("Host", ""))
        if host not in names and host != _own_address(request):
            return refusal(
                request,
                421,
                f'This gateway does not answer to the name "{host[:80]}".',
                "Use its address, or add the name to page.allowed_hosts.",
            )
        if request.method not in ("GET", "HEAD"):
            answer = refusal(
                request, 405, "Only GET and HEAD are answered here.", "Nothing can be changed here."
            )
            answer.headers["Allow"] = "GET, HEAD"
            return answer
        if request.body_exists:
            answer = refusal(request, 413, "A request's body is not read here.", "Ask without one.")
            answer.force_close()
            return answer
        return await handler(request)

    return admit


def refusal(request: web.Request, status: int, what: str, do: str) -> web.Response:
    """A refusal as JSON for programs, in words for people."""
    if request.path.startswith("/api/"):
        return as_json({"error": what, "do": do}, status)
    return web.Response(status=status, text=f"{what} {do}".strip() + "\n")


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """Headers for every answer; a signal, so that streams and files have them too."""
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")


def _name(host: str) -> str:
    """A Host header's name, without port, brackets and case."""
    text = host.strip().lower()
    if text.startswith("["):
        return text[1:].partition("]")[0]
    if text.count(":") == 1:
        text = text.partition(":")[0]
    return text.rstrip(".")


def _own_address(request: web.Request) -> str | None:
    # Bound to all addresses, the one that this connection came in on is ours; a name never is.
    transport = request.transport
    local = transport.get_extra_info("sockname") if transport is not None else None
    if not isinstance(local, tuple):
        return None
    address = ipaddress.ip_address(str(local[0]).partition("%")[0])
    mapped = getattr(address, "ipv4_mapped", None)
    return str(mapped or address)
