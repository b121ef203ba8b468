"""The errors raised on purpose, named by what the caller does next."""

from __future__ import annotations


class MeterkastError(Exception):
    """Base of every error raised on purpose.

    Attributes:
        hint: What a person can do about it; one or two plain sentences.
    """

    def __init__(self, message: str, *, hint: str) -> None:
        super().__init__(message)
        self.hint = hint


class ConfigError(MeterkastError):
    """Stop: the message names the key and its value, the hint the cure."""


class LinkLostError(MeterkastError):
    """Close, wait, open again: a port, socket or server went away."""


class RefusedError(MeterkastError):
    """A person's order cannot be carried out: nothing was changed; the message says why."""


class StorageError(MeterkastError):
    """The database refused: keep in memory what was to be written and try again."""


class NotDeliveredError(MeterkastError):
    """Keep the items, try later: the far end or the way to it failed for now.

    Attributes:
        retry_after_s: When the far end asks to be left alone, for how many seconds.
        in_doubt: The far end may have taken the items all the same.
    """

    def __init__(
        self, message: str, *, hint: str, retry_after_s: float | None = None, in_doubt: bool = False
    ) -> None:
        super().__init__(message, hint=hint)
        self.retry_after_s = retry_after_s
        self.in_doubt = in_doubt


class MisconfiguredError(MeterkastError):
    """Keep all items, pause, tell the user, probe rarely: a setting is wrong.

    Attributes:
        stream: The one stream concerned (a monitor, a meter); None where the whole uplink is.
    """

    def __init__(self, message: str, *, hint: str, stream: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.stream = stream


class RejectedError(MeterkastError):
    """The far end refuses these items for good; a batch is halved until one item is left.

    Attributes:
        words: What the far end said, as it said it.
    """

    def __init__(self, message: str, *, hint: str, words: str) -> None:
        super().__init__(message, hint=hint)
        self.words = words
