"""What RESET answers, and what it means.

Source: RESET API V2.1, "Ack & Error Messages".
"""

from __future__ import annotations

from dataclasses import dataclass

from meterkast.model.errors import NotDeliveredError

OK, REFUSED, UNAUTHORIZED = "10200", "10400", "10401"
"""The document's codes, strings there; 10500, and what is not documented, is everything else."""

SUPPORT = "It is tried again. If it stays so, RESET asks to be told: support@reset.build."


@dataclass(frozen=True, slots=True)
class Answer:
    """What RESET answered.

    Attributes:
        code: One of the document's codes, or whatever came.
        words: Its message, on one line.
        message_id: Which message it is about; the document calls it `message_id` or `id`. Empty where it
            does not say.
    """

    code: str
    words: str = ""
    message_id: str = ""

    def __str__(self) -> str:
        return f"{self.code} {self.words}".strip() or "an answer without code"

    def unclear(self) -> NotDeliveredError:
        """What to raise where it neither acknowledges nor refuses.

        The document does not say whether a message answered 10500 was stored.
        """
        return NotDeliveredError(f"RESET cannot take it now: {self}", hint=SUPPORT, in_doubt=True)
