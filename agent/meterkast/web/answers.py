"""Answers and refusals: the same for the page and for the control socket."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web
from aiohttp.typedefs import Middleware

from meterkast.model.errors import MeterkastError, RefusedError

log = logging.getLogger(__name__)

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
Refuse = Callable[[web.Request, int, str, str], web.Response]
"""Makes the answer of a refusal from its status, what is wrong and what to do."""

# Of a number in an address.
_DIGITS = 9


class BadRequestError(MeterkastError):
    """The client asked for something that cannot be: 400."""


class UnknownError(MeterkastError):
    """The client asked for something that is not there: 404."""


def as_json(content: object, status: int = 200) -> web.Response:
    return web.Response(status=status, body=msgspec.json.encode(content), content_type="application/json")


def number(text: str, name: str, hint: str) -> int:
    """A number of an address.

    Raises:
        BadRequestError: It is none.
    """
    if not (text.isascii() and text.isdigit()) or len(text) > _DIGITS:
        raise BadRequestError(f"`{name}` is not a number.", hint=hint)
    return int(text)


def plain_errors(who: str, refuse: Refuse, *, elsewhere: str) -> Middleware:
    """A middleware that turns every error into an answer with a cure and without a trace.

    400 not understood, 404 not there, 409 refused, 503 not now, 500 a fault in the gateway.

    Args:
        who: In the log: whose request it was.
        refuse: Makes the answer.
        elsewhere: What to do where an address is not there, or not for this method.
    """

    @web.middleware
    async def answer(request: web.Request, handler: Handler) -> web.StreamResponse:
        try:
            return await handler(request)
        except web.HTTPException as error:
            what = f"{request.method} {request.path[:80]}: {error.reason}."
            refusal = refuse(request, error.status, what, elsewhere if error.status in (404, 405) else "")
            if "Retry-After" in error.headers:
                refusal.headers["Retry-After"] = error.headers["Retry-After"]
            return refusal
        except BadRequestError as error:
            return refuse(request, 400, str(error), error.hint)
        except UnknownError as error:
            return refuse(request, 404, str(error), error.hint)
        except RefusedError as error:
            return refuse(request, 409, str(error), error.hint)
        except MeterkastError as error:
            log.warning(f"{who} cannot answer", extra={"path": request.path, "reason": str(error)})
            return refuse(request, 503, str(error), error.hint)
        except ConnectionError:
            raise  # who asked went away; there is nobody to tell
        except Exception:  # a fault in one answer is told in words, and must not show its trace to who asked
            log.exception(f"{who} failed", extra={"path": request.path})
            return refuse(
                request, 500, "This failed inside the gateway.", "Try again; the log says what went wrong."
            )

    return answer
