"""What holds for every request: who may ask, by which method, and what a browser may do with the answer."""

from __future__ import annotations

import ipaddress
import logging
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from meterkast.config import Page
from meterkast.model.errors import MeterkastError, StorageError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]

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


class BadRequestError(MeterkastError):
    """The client asked for something that cannot be: 400."""


class UnknownError(MeterkastError):
    """The client asked for something that is not there: 404."""


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
            return _refusal(
                request,
                421,
                f'This gateway does not answer to the name "{host[:80]}".',
                "Use its address, or add the name to page.allowed_hosts.",
            )
        if request.method not in ("GET", "HEAD"):
            answer = _refusal(
                request, 405, "Only GET and HEAD are answered here.", "Nothing can be changed here."
            )
            answer.headers["Allow"] = "GET, HEAD"
            return answer
        if request.body_exists:
            answer = _refusal(request, 413, "A request's body is not read here.", "Ask without one.")
            answer.force_close()
            return answer
        return await handler(request)

    return admit


@web.middleware
async def plain_errors(request: web.Request, handler: Handler) -> web.StreamResponse:
    """A middleware that turns every error into plain text or JSON, with a cure and without a trace."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if error.status == 404:
            return _refusal(request, 404, "There is no such page.", "The status page is at /.")
        return _refusal(
            request, error.status, error.text or error.reason, "", error.headers.get("Retry-After")
        )
    except BadRequestError as error:
        return _refusal(request, 400, str(error), error.hint)
    except UnknownError as error:
        return _refusal(request, 404, str(error), error.hint)
    except StorageError as error:
        log.warning("page without half-hours", extra={"path": request.path, "reason": str(error)})
        return _refusal(request, 503, str(error), error.hint)
    except ConnectionError:
        raise  # the client went away; there is nobody to tell
    except Exception:
        # A fault in one page is answered in words, without the trace that aiohttp would log and show.
        log.exception("page failed", extra={"path": request.path})
        return _refusal(
            request, 500, "This page failed.", "Try again; the gateway's log says what went wrong."
        )


async def harden(request: web.Request, response: web.StreamResponse) -> None:
    """Headers for every answer; a signal, so that streams and files have them too."""
    for name, value in HEADERS.items():
        response.headers[name] = value
    response.headers.setdefault("Cache-Control", "no-store")


def _refusal(
    request: web.Request, status: int, what: str, do: str, retry_after: str | None = None
) -> web.Response:
    headers = {"Retry-After": retry_after} if retry_after else None
    if request.path.startswith("/api/"):
        body = msgspec.json.encode({"error": what, "do": do})
        return web.Response(status=status, body=body, content_type="application/json", headers=headers)
    return web.Response(status=status, text=f"{what} {do}".strip() + "\n", headers=headers)


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
