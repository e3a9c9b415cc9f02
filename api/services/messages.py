"""What was said in a conversation: adding to it, reading it, taking something out of it."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import Connection

from api.dependencies import Resources
from api.rendering import Row
from api.services import reading
from api.services.keyed_write import Making, write_once
from shared.clock import now_ms
from shared.errors import Busy, InvalidValue, NotFound
from shared.store import conversations, messages, replies, turns
from shared.store.conversations import Order
from shared.store.idempotency import KeyedRequest
from shared.store.turns import Said


async def append(
    resources: Resources, tenant_id: str, conversation_id: str, *, said: Sequence[Said], keyed: KeyedRequest | None
) -> Sequence[Row]:
    """Adds messages that ask for nothing.

    Raises:
        NotFound: the tenant has no such conversation.
        IdempotencyMismatch: the key was used for another request.
    """

    def make(connection: Connection) -> Sequence[Row]:
        return turns.append(connection, tenant_id, conversation_id, said=said, now=now_ms())

    def find(connection: Connection, resource_id: str) -> Sequence[Row]:
        _, *numbers = resource_id.split("/")
        reading.existing(connection, tenant_id, conversation_id)
        return messages.said_in(connection, conversation_id, first=int(numbers[0]), last=int(numbers[-1]))

    made = await write_once(
        resources.database,
        keyed,
        Making(
            "messages",
            make=make,
            id_of=lambda rows: f"{conversation_id}/{rows[0]['turn']}/{rows[-1]['turn']}",
            find=find,
        ),
    )
    if made.is_new:
        resources.announce(conversation_id)
    return made.result


async def line(
    resources: Resources, tenant_id: str, conversation_id: str, *, limit: int, after: str | None, order: Order
) -> Sequence[Row]:
    """Up to `limit` messages that the conversation goes on from, behind the message `after`.

    Raises:
        NotFound: the tenant has no such conversation.
        InvalidValue: it has no such message to begin behind.
    """

    def read(connection: Connection) -> Sequence[Row]:
        reading.existing(connection, tenant_id, conversation_id)
        place = None
        if after is not None:
            row = messages.get(connection, conversation_id, after)
            if row is None:
                raise InvalidValue("The conversation has no such item.", pointer="?after")
            place = (row["turn"], row["position"])
        return messages.line(connection, conversation_id, limit=limit, after=place, order=order)

    return await resources.database.read(read)


async def get(resources: Resources, tenant_id: str, conversation_id: str, message_id: str) -> Row:
    """One message.

    Raises:
        NotFound: the tenant has no such conversation, or it has no such message.
    """
    return await resources.database.read(_message, tenant_id, conversation_id, message_id)


def _message(connection: Connection, tenant_id: str, conversation_id: str, message_id: str) -> Row:
    reading.existing(connection, tenant_id, conversation_id)
    row = messages.get(connection, conversation_id, message_id)
    if row is None:
        raise NotFound("There is no such item in this conversation.")
    return row


async def remove(resources: Resources, tenant_id: str, conversation_id: str, message_id: str) -> Row:
    """Takes a message out of its conversation, which is returned. What follows is answered without it.

    Raises:
        NotFound: the tenant has no such conversation, or it has no such message.
        Busy: a reply to it is under way.
    """

    def write(connection: Connection) -> Row:
        message = _message(connection, tenant_id, conversation_id, message_id)
        conversations.touch(connection, conversation_id, now=now_ms())
        if any(row["turn"] == message["turn"] for row in replies.live(connection, conversation_id)):
            raise Busy("This item is being answered. Cancel the response first, or wait until it has ended.")
        messages.remove(connection, message_id)
        return reading.existing(connection, tenant_id, conversation_id)

    changed = await resources.database.write(write)
    resources.announce(conversation_id)
    return changed


async def page(
    resources: Resources,
    tenant_id: str,
    conversation_id: str,
    *,
    limit: int,
    before: tuple[int, int] | None,
    after: tuple[int, int] | None,
) -> Sequence[Row]:
    """Up to `limit` messages in ascending order: the first ones after `after`, else the last ones before `before`.

    Raises:
        NotFound: the tenant has no such conversation.
    """

    def read(connection: Connection) -> Sequence[Row]:
        reading.existing(connection, tenant_id, conversation_id)
        return messages.page(connection, conversation_id, limit=limit, before=before, after=after)

    return await resources.database.read(read)
