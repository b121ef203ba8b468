"""Far ends that leave, forget, confuse and talk nonsense: an answer counts only if it proves something."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any, cast

import pytest

from meterkast.model.errors import MisconfiguredError, NotDeliveredError, RejectedError

LIMIT_S = 30  # only against hanging

Message = dict[str, Any]
Answer = Callable[[str, Message], Awaitable[None]]


async def test_far_end_that_leaves_instead_of_answering_is_noticed_at_once(
    far_end: Any, gateway: Any
) -> None:
    async def leaves(message: Message, answer: Answer) -> None:
        await far_end.part()

    far_end.on["auth"] = leaves
    async with far_end.serving(), gateway(far_end.url, auth_timeout_s=LIMIT_S) as uplink:
        with pytest.raises(NotDeliveredError, match="lost before it answered `auth`"):
            await uplink.deliver()


async def test_message_whose_sender_is_forgotten_is_sent_again_after_authenticating(
    far_end: Any, gateway: Any
) -> None:
    async def forgotten_once(message: Message, answer: Answer) -> None:
        if len(far_end.asked("readings")) > 1:
            await far_end.good(message, answer)
        else:
            await answer("errors", {"code": "10401", "message": "who?", "message_id": message["message_id"]})

    far_end.on["readings"] = forgotten_once
    async with far_end.serving(), gateway(far_end.url) as uplink:
        await uplink.deliver()
    assert [event for event, _ in far_end.heard] == ["auth", "monitors", "readings", "auth", "readings"]


async def test_message_that_is_never_authorized_is_a_matter_of_settings(
    far_end: Any, gateway: Any, secret: str
) -> None:
    async def never(message: Message, answer: Answer) -> None:
        await answer("errors", {"code": 10401, "message": f"no {secret}", "id": message["message_id"]})

    far_end.on["readings"] = never
    async with far_end.serving(), gateway(far_end.url) as uplink:
        with pytest.raises(MisconfiguredError) as caught:
            await uplink.deliver()
    assert caught.value.stream is None
    assert secret not in f"{caught.value} {caught.value.hint}"


async def test_late_acknowledgement_of_an_earlier_attempt_completes_the_batch(
    far_end: Any, gateway: Any
) -> None:
    async def answers_the_first(message: Message, answer: Answer) -> None:
        ids = [one["message_id"] for one in far_end.asked("readings")]
        if len(ids) > 1:
            await answer("ack", {"code": "10200", "ack": True, "message_id": ids[0]})

    far_end.on["readings"] = answers_the_first
    async with far_end.serving(), gateway(far_end.url, ack_timeout_s=1) as uplink:
        with pytest.raises(NotDeliveredError):
            await uplink.deliver(1, 2)
        receipt = await uplink.deliver(1, 2)
        ids = [one["message_id"] for one in far_end.asked("readings")]
        assert len(set(ids)) == 2
        assert receipt.startswith(ids[0])


async def test_acknowledgement_of_something_else_proves_nothing(far_end: Any, gateway: Any) -> None:
    async def confuses(message: Message, answer: Answer) -> None:
        await answer("ack", {"code": "10200", "ack": True})
        await answer("ack", {"code": "10200", "ack": True, "id": "another"})
        await answer("ack", {"code": "10999", "ack": True})
        await answer("errors", {"code": "10400", "message": "other", "id": "another"})
        await answer("errors", {"code": "10200", "message": "?", "id": "another"})

    far_end.on["readings"] = confuses
    async with far_end.serving(), gateway(far_end.url, ack_timeout_s=1, stray_wait_s=5) as uplink:
        with pytest.raises(NotDeliveredError, match="did not answer"):
            await uplink.deliver()


async def test_answer_that_is_no_json_object_is_no_answer(far_end: Any, gateway: Any) -> None:
    async def babbles(message: Message, answer: Answer) -> None:
        for said in ("ok", ["10200"], None, 7):
            await answer("ack", cast(Message, said))
        await far_end.good(message, answer)

    far_end.on |= {"readings": babbles}
    async with far_end.serving(), gateway(far_end.url, stray_wait_s=5) as uplink:
        assert await uplink.deliver()


async def test_undocumented_code_keeps_the_items(far_end: Any, gateway: Any) -> None:
    async def busy(message: Message, answer: Answer) -> None:
        await answer("errors", {"code": "10429", "message": "slow down", "id": message["message_id"]})

    far_end.on["readings"] = busy
    async with far_end.serving(), gateway(far_end.url) as uplink:
        with pytest.raises(NotDeliveredError, match="10429 slow down") as caught:
            await uplink.deliver()
    assert caught.value.in_doubt


async def test_part_that_was_acknowledged_is_not_sent_again_with_the_rest(far_end: Any, gateway: Any) -> None:
    refused = 2

    async def refuses_the_second(message: Message, answer: Answer) -> None:
        if len(far_end.asked("readings")) == refused:
            await answer("errors", {"code": "10400", "message": "bad", "id": message["message_id"]})
        else:
            await far_end.good(message, answer)

    far_end.on["readings"] = refuses_the_second
    many = range(60)
    async with far_end.serving(), gateway(far_end.url) as uplink:
        with pytest.raises(RejectedError, match="bad"):
            await uplink.deliver(*many)
        await uplink.deliver(*many)
    sizes = [len(one["data"]["readings"]) for one in far_end.asked("readings")]
    assert sizes == [48, 12, 12]


async def test_message_that_cannot_be_read_ends_the_connection(far_end: Any, gateway: Any) -> None:
    """asyncio would print "Task exception was never retrieved" for it, which fails a test here."""

    async def garbage(message: Message, answer: Answer) -> None:
        for sid in list(far_end.server.eio.sockets):
            await far_end.server.eio.send(sid, "2/v2,[broken")

    far_end.on["readings"] = garbage
    async with far_end.serving(), gateway(far_end.url) as uplink:
        with pytest.raises(NotDeliveredError, match="lost") as caught:
            await uplink.deliver()
    assert caught.value.in_doubt
