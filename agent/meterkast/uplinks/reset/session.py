"""A conversation with RESET over one connection: authenticate, then one message at a time.

Source: RESET API V2.1, "Authentication" and "Ack & Error Messages". Answers come as events of their own and
never as Socket.IO acknowledgements, so they are matched by the message's id.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection
from dataclasses import dataclass

from meterkast.model.errors import MisconfiguredError, NotDeliveredError
from meterkast.ports.clock import Clock
from meterkast.uplinks.reset.answer import OK, SUPPORT, UNAUTHORIZED, Answer
from meterkast.uplinks.reset.monitors import auth_message
from meterkast.uplinks.reset.settings import Settings, target
from meterkast.uplinks.socketio import Connection

_WORDS_CHARACTERS = 500
_AGAIN = "It is tried again; nothing is lost."


@dataclass(slots=True)
class _Asked:
    """The one message in flight; `answer` becomes None when the connection is lost."""

    answer: asyncio.Future[Answer | None]
    message_id: str = ""
    earlier: frozenset[str] = frozenset()
    stray: asyncio.TimerHandle | None = None


class Session:
    """One connection, authenticated; not used again once it failed.

    Args:
        settings: Address and limits.
        secret: The client_secret.
        clock: Is told the platform's time.
    """

    def __init__(self, settings: Settings, secret: str, clock: Clock | None = None) -> None:
        self._settings = settings
        self._secret = secret
        origin, namespace = target(settings)
        self._connection = Connection(
            origin,
            namespace,
            transport=settings.transport,
            ca_file=settings.ca_file,
            proxy=settings.proxy,
            events=("auth", "ack", "errors"),
            on_event=self._heard,
            on_lost=self._lost,
            clock=clock,
        )
        self._auth: _Asked | None = None
        self._asked: _Asked | None = None
        self._reason = ""

    @property
    def alive(self) -> bool:
        """Whether the connection stands, as far as is known."""
        return self._connection.alive

    async def connect(self) -> None:
        """Connect and join the namespace.

        Raises:
            NotDeliveredError, MisconfiguredError: As `Connection.open`.
        """
        await self._connection.open(self._settings.connect_timeout_s)

    async def authenticate(self) -> Answer:
        """Send the credentials.

        Returns:
            The answer, whose code is 10200.

        Raises:
            MisconfiguredError: They are not accepted.
            NotDeliveredError: No answer, or no sense in it.
        """
        message = auth_message(self._settings.client_id, self._secret)
        self._auth = _Asked(asyncio.get_running_loop().create_future())
        answer = await self._wait(self._auth, "auth", message, self._settings.auth_timeout_s)
        if answer.code == OK:
            return answer
        if answer.code == UNAUTHORIZED:
            raise MisconfiguredError(
                f"RESET does not accept client_id and client_secret: {answer}",
                hint="Correct them in [uplinks.reset]; both are on RESET's data provider management page.",
            )
        raise NotDeliveredError(f"RESET cannot authenticate now: {answer}", hint=SUPPORT)

    async def ask(self, event: str, message: str, message_id: str, earlier: Collection[str] = ()) -> Answer:
        """Send one message and wait for what RESET says to it.

        Args:
            event: `monitors` or `readings`.
            message: As JSON.
            message_id: The one in the message.
            earlier: Earlier messages with the same content: an acknowledgement of any of them will do.

        Returns:
            The answer. An error that names no message counts as the answer when none came that does, within
            `stray_wait_s`.

        Raises:
            NotDeliveredError: No answer, or the connection was lost; in doubt if it was sent.
        """
        asked = _Asked(asyncio.get_running_loop().create_future(), message_id, frozenset(earlier))
        self._asked = asked
        try:
            return await self._wait(asked, event, message, self._settings.ack_timeout_s)
        finally:
            self._asked = None
            if asked.stray is not None:
                asked.stray.cancel()

    async def close(self) -> None:
        """End the connection, within seconds whatever the far end does."""
        await self._connection.close()

    async def _wait(self, asked: _Asked, event: str, message: str, limit_s: float) -> Answer:
        await self._connection.send(event, message)
        in_doubt = event != "auth"
        try:
            async with asyncio.timeout(limit_s):
                answer = await asked.answer
        except TimeoutError:
            raise NotDeliveredError(
                f"RESET did not answer `{event}` within {limit_s:g} s", hint=_AGAIN, in_doubt=in_doubt
            ) from None
        if answer is None:
            raise NotDeliveredError(
                f"the connection to RESET was lost before it answered `{event}` ({self._reason})",
                hint=_AGAIN,
                in_doubt=in_doubt,
            )
        return answer

    def _heard(self, event: str, said: object) -> None:
        answer = self._read(event, said)
        if event == "auth":
            _settle(self._auth, answer)
            return
        asked = self._asked
        if asked is None:
            return
        good = answer.code == OK
        if answer.message_id:
            if answer.message_id == asked.message_id or (good and answer.message_id in asked.earlier):
                _settle(asked, answer)
        elif not good and asked.stray is None:
            # Perhaps about something else: an answer that names the message goes before it.
            asked.stray = asyncio.get_running_loop().call_later(
                self._settings.stray_wait_s, _settle, asked, answer
            )

    def _read(self, event: str, said: object) -> Answer:
        if not isinstance(said, dict):
            return Answer("", self._harmless(said))
        code = str(said.get("code", ""))
        if event == "errors" and code == OK:
            code = ""  # an error is no acknowledgement, whatever it says
        message_id = said.get("message_id") or said.get("id") or ""
        return Answer(code, self._harmless(said.get("message", "")), str(message_id))

    def _harmless(self, said: object) -> str:
        """RESET's words on one line, short, and without the secret should it send that back."""
        words = " ".join(str(said).split()).replace(self._secret, "…")
        return words[:_WORDS_CHARACTERS]

    def _lost(self, reason: str) -> None:
        self._reason = reason
        _settle(self._auth, None)
        _settle(self._asked, None)


def _settle(asked: _Asked | None, answer: Answer | None) -> None:
    if asked is not None and not asked.answer.done():
        asked.answer.set_result(answer)
