"""Talking to Wattics: post a packet, read the last one back, and what each answer means.

Imports aiohttp; the uplink imports this file when it first sends.

Source: Wattics, "REST API – Smart Meter Energy Data API", sections "Clarifications on API client
implementation" and "Data Acknowledgement"; the read-back's address is developers.wattics.com's.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from meterkast.lean import aiohttp
from meterkast.model.errors import MeterkastError, MisconfiguredError, NotDeliveredError, RejectedError
from meterkast.ports.clock import Clock
from meterkast.uplinks import http
from meterkast.uplinks.wattics.settings import SECTION, Credentials, Settings, urls

_TAGS = re.compile(r"<(script|style)\b.*?</\1\s*>|<[^>]*>", re.DOTALL | re.IGNORECASE)
_WORDS_CHARACTERS = 500
_MOST_BYTES = 64 * 1024
_TRY_AGAIN = (408, 425, 429)
_IS_RETRIED = "It is tried again; nothing is lost."


@dataclass(frozen=True, slots=True)
class Answer:
    """What the platform answered, body and all."""

    status: int
    headers: Mapping[str, str]
    text: str

    @property
    def is_page(self) -> bool:
        """A page for people: a captive portal or a proxy answered, not the platform, which speaks no HTML."""
        kind = self.headers.get("Content-Type", "").partition(";")[0].strip().lower()
        return kind in ("text/html", "application/xhtml+xml") or self.text.lstrip("\ufeff \t\r\n").startswith(
            "<"
        )


class Client:
    """One session with the platform, for all meters."""

    def __init__(
        self, settings: Settings, credentials: Mapping[str, Credentials], clock: Clock | None = None
    ) -> None:
        """Opens no connection yet.

        Raises:
            ConfigError: `ca_file` cannot be used.
        """
        self._post_url, self._read_url = urls(settings)
        self._credentials = credentials
        self._session = http.session(
            self._post_url,
            ca_file=settings.ca_file,
            proxy=settings.proxy,
            timeout_s=settings.timeout_s,
            clock=clock,
        )

    async def close(self) -> None:
        await self._session.close()

    async def post(self, meter_id: str, packet: bytes) -> str:
        """Send one packet; returns the receipt once it is answered 200.

        Args:
            meter_id: Whose credentials to use.
            packet: As `packet.packet` made it.

        Raises:
            NotDeliveredError, MisconfiguredError, RejectedError: As `Uplink.deliver`.
        """
        answer = await self._ask("POST", self._post_url, meter_id, packet)
        if answer.status == 200 and not answer.is_page:
            return "200"
        if answer.status == 400:
            # "Retry transmission until you get status=200" means this one too: the engine repeats a refused
            # packet some minutes apart before it sets it aside, so that it does not block its meter for ever.
            words = self._words(answer)
            raise RejectedError(
                f"Wattics refuses a packet of meter {meter_id}: {words}",
                hint="Compare the packet (meterkast wattics show) with how the meter is registered.",
                words=words,
            )
        raise self._refusal(answer, meter_id)

    async def last(self, meter_id: str) -> dict[str, Any]:
        """The last packet of a meter that the platform has processed; empty where there is none.

        Raises:
            NotDeliveredError, MisconfiguredError: As `Uplink.deliver`.
        """
        answer = await self._ask("GET", self._read_url, meter_id)
        if answer.status != 200 or answer.is_page:
            raise self._refusal(answer, meter_id)
        try:
            found = json.loads(answer.text or "null")
        except (ValueError, RecursionError):
            raise NotDeliveredError(
                f"Wattics' last packet of meter {meter_id} cannot be read: no JSON", hint=_IS_RETRIED
            ) from None
        return found if isinstance(found, dict) else {}

    async def _ask(self, method: str, url: str, meter_id: str, body: bytes | None = None) -> Answer:
        who = self._credentials[meter_id]
        headers = {"Authorization": http.basic(who.user, who.password), "Accept": "application/json"}
        if body is not None:
            headers["Content-Type"] = "application/json"
        try:
            async with self._session.request(
                method,
                url,
                params={"stream": meter_id} if method == "GET" else None,
                data=body,
                headers=headers,
                allow_redirects=False,
            ) as response:
                read = bytearray()
                async for chunk in response.content.iter_any():
                    read += chunk
                    if len(read) > _MOST_BYTES:
                        break
                return Answer(response.status, response.headers, bytes(read).decode("utf-8", "replace"))
        except (aiohttp.ClientError, OSError, ValueError) as error:
            # TimeoutError is an OSError; ValueError is aiohttp's for an answer or address it cannot take.
            message, hint = http.explain(error, url)
            raise NotDeliveredError(message, hint=hint, in_doubt=not http.nothing_sent(error)) from error

    def _refusal(self, answer: Answer, meter_id: str) -> MeterkastError:
        """Any answer that is no 200 of the platform's own, nor a 400 to a packet."""
        status, words = answer.status, self._words(answer)
        at = http.where(self._post_url)
        if status == 200:
            return NotDeliveredError(
                f"{at} answers with a web page instead of the platform",
                hint="A captive portal or proxy is in between: sign in there, or have this host let through.",
                in_doubt=True,
            )
        if status in _TRY_AGAIN or status >= 500:
            return NotDeliveredError(
                f"Wattics cannot take packets now: {words}",
                hint=_IS_RETRIED,
                retry_after_s=http.retry_after_s(answer.headers),
                in_doubt=status >= 500 or status == 408,
            )
        if status == 401:
            own = self._credentials[meter_id].own
            of = f"meter {meter_id}" if own else f"[{SECTION}]"
            return MisconfiguredError(
                f"Wattics does not accept user and password: {words}",
                hint=f"Correct user and password_file of {of}.",
                stream=meter_id if own else None,
            )
        if status == 403:
            return MisconfiguredError(
                f"Wattics does not allow this user to send meter {meter_id}: {words}",
                hint="Check the id; ask Wattics to allow it, or give the meter its own user and password.",
                stream=meter_id,
            )
        if status == 404:
            return MisconfiguredError(
                f"Wattics knows no meter {meter_id}: {words}",
                hint="Check the id, and let the meter be registered. If all are unknown, check endpoint.",
                stream=meter_id,
            )
        if 300 <= status < 400:
            target = http.where(answer.headers.get("Location", ""))
            return MisconfiguredError(
                f"{at} redirects ({status}) to {target}; redirects are not followed, for they lose packets",
                hint=f"Correct `{SECTION}.endpoint` (it ends with a slash), or look for a captive portal.",
            )
        return MisconfiguredError(
            f"{at} gives an answer that Wattics does not document: {words}",
            hint=f"Check `{SECTION}.endpoint`.",
        )

    def _words(self, answer: Answer) -> str:
        """Status and text of an answer, short, on one line and without any password."""
        # The platform's own errors are pages of its application server: their words count, not their tags.
        text = (
            " ".join(_TAGS.sub(" ", answer.text).split()) if answer.is_page else " ".join(answer.text.split())
        )
        for who in self._credentials.values():
            for secret in (http.basic(who.user, who.password)[6:], who.password):
                text = text.replace(secret, "…")
        return f"{answer.status} {http.without_secrets(text)}"[:_WORDS_CHARACTERS].strip()
