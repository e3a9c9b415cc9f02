"""Responses: replies that may stand alone, follow one another, or be forgotten at once."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from api.dependencies import Resources
from api.rendering import Row, is_live
from api.services import candidates, conversations, reading, replies
from api.services.replies import Patience
from shared.clock import now_ms
from shared.errors import NotFound
from shared.ids import new_conversation_id
from shared.store import attempts, chains, messages, webhook_deliveries
from shared.store import conversations as conversation_rows
from shared.store import replies as reply_rows
from shared.store.idempotency import KeyedRequest
from shared.store.turns import Ask, Turn, Where


@dataclass(frozen=True, slots=True)
class Place:
    """Where a response is made: in a conversation, behind another response, or in a conversation of its own.

    What is not kept goes into a conversation that no list shows and that is forgotten soon.
    """

    conversation_id: str | None = None
    previous_id: str | None = None
    is_kept: bool = True
    end_user: str | None = None


async def ask(
    resources: Resources, tenant_id: str, place: Place, *, asked: Ask, keyed: KeyedRequest | None = None
) -> Turn:
    """Stores what is said and the replies it asks for, and brings a worker.

    Raises:
        NotFound: there is no such conversation, or no such response to follow.
        Busy: the response to follow has not ended, and its conversation has gone on.
        IdempotencyMismatch: the key was used for another request.
        StorageError: it was not stored, or nobody knows.
    """

    def find(connection: Connection) -> Where:
        return Where(tenant_id, _conversation_of(connection, tenant_id, place))

    turn = await replies.ask_in(resources, tenant_id, find, asked=asked, keyed=keyed)
    if (turn.replies[0]["request"] or {}).get("is_deleted"):
        raise NotFound("What this Idempotency-Key made was deleted.")
    return turn


def _conversation_of(connection: Connection, tenant_id: str, place: Place) -> str:
    if place.conversation_id is not None:
        return str(reading.existing(connection, tenant_id, place.conversation_id)["id"])
    if place.previous_id is not None:
        return chains.conversation_after(connection, tenant_id, place.previous_id, is_kept=place.is_kept, now=now_ms())
    return _create(connection, tenant_id, place)


def _create(connection: Connection, tenant_id: str, place: Place) -> str:
    now, conversation_id = now_ms(), new_conversation_id()
    conversation_rows.create(
        connection,
        {
            "id": conversation_id,
            "tenant_id": tenant_id,
            "kind": "chat" if place.is_kept else "ephemeral",
            "end_user": place.end_user,
            "parameters": {},
            "metadata": {},
            "created_at": now,
            "updated_at": now,
        },
    )
    return conversation_id


async def get(resources: Resources, tenant_id: str, reply_id: str, *, patience: Patience) -> Row:
    """A response, after waiting for it to end.

    Raises:
        NotFound: there is no such one, or it was deleted, or was not to be stored.
    """
    row = await resources.database.read(_told, tenant_id, reply_id)
    return _require_told(await replies.wait_for_reply(resources, tenant_id, row, patience=patience))


def _require_told(row: Row | None) -> Row:
    if row is None or not reply_rows.is_told(row["request"]):
        raise NotFound("There is no such response.")
    return row


def _told(connection: Connection, tenant_id: str, reply_id: str) -> Row:
    return _require_told(reply_rows.get(connection, tenant_id, reply_id))


def whole(connection: Connection, tenant_id: str, reply_id: str) -> tuple[Row, Sequence[Row]]:
    """The reply and all its tries, with the pieces in which their texts went out.

    Raises:
        NotFound: the tenant has no such reply.
    """
    row = reply_rows.whole(connection, tenant_id, reply_id)
    if row is None:
        raise NotFound("There is no such response.")
    return row, attempts.of_reply(connection, reply_id)


async def inputs(resources: Resources, tenant_id: str, reply_id: str) -> Sequence[Row]:
    """What was said to get the response, in order.

    Raises:
        NotFound: there is no such one.
    """

    def read(connection: Connection) -> Sequence[Row]:
        row = _told(connection, tenant_id, reply_id)
        first = (row["request"] or {}).get("first_turn") or row["turn"]
        return messages.said_in(connection, row["conversation_id"], first=first, last=row["turn"])

    return await resources.database.read(read)


async def delete(resources: Resources, tenant_id: str, reply_id: str) -> None:
    """Nobody gets the response any more. Once a chain has none left, all that was said in it is erased.

    What belongs to a conversation stays there until it is taken out of it.

    Raises:
        NotFound: there is no such one.
    """

    def write(connection: Connection) -> tuple[Row, bool]:
        row = _told(connection, tenant_id, reply_id)
        # Locked, so that of two that are deleted at once the second one knows of the first.
        conversation_rows.touch(connection, row["conversation_id"], now=now_ms())
        webhook_deliveries.forget_reply(connection, row["conversation_id"], reply_id)
        reply_rows.note_request(connection, reply_id, {**(row["request"] or {}), "is_deleted": True})
        requests = reply_rows.requests_in(connection, row["conversation_id"])
        return row, chains.is_own(row["request"]) and not any(map(chains.holds, requests))

    row, is_last = await resources.database.write(write)
    if is_last:
        await conversations.delete(resources, tenant_id, row["conversation_id"])
    elif is_live(row):
        await candidates.request_stop(resources, tenant_id, reply_id)
