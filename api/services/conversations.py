"""Conversations and their messages."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from api.dependencies import Resources
from api.live.waiting import Awaited, look_at, wait_until
from api.rendering import Row
from api.schemas.requests import ChangeConversationBody, CreateConversationBody, ForkBody
from api.services import reading
from api.services.keyed_write import Making, write_once
from api.services.reading import ConversationView
from api.services.replies import Patience, asked_of, ring, wait_for_turn
from shared.clock import now_ms
from shared.errors import StorageError
from shared.ids import new_conversation_id
from shared.store import conversations, forks, turns
from shared.store import search as found
from shared.store.conversations import Order
from shared.store.idempotency import KeyedRequest
from shared.store.search import FoundPage, Search
from shared.store.turns import Ask, Said, Turn

log = logging.getLogger(__name__)

# How many messages a conversation is shown with, unless the request says otherwise.
NEWEST_MESSAGES = 50
# Columns that are never null: a reset empties them.
_NEVER_NULL = frozenset({"parameters", "metadata"})


@dataclass(frozen=True, slots=True)
class Created:
    """A conversation, and its first turn if one was asked."""

    conversation: ConversationView
    turn: Turn | None


def _columns(body: CreateConversationBody | ChangeConversationBody, names: set[str]) -> dict[str, Any]:
    """The values of the named fields as the table wants them."""
    values = body.model_dump(include=names, exclude={"message"})
    for name in _NEVER_NULL & values.keys():
        values[name] = {key: value for key, value in (values[name] or {}).items() if value is not None}
    return values


async def create(
    resources: Resources,
    tenant_id: str,
    body: CreateConversationBody,
    *,
    key_id: str | None,
    keyed: KeyedRequest | None,
    patience: Patience,
    said: Sequence[Said] = (),
) -> Created:
    """A new conversation in which this was `said`, with its first turn if the body has a message.

    Raises:
        IdempotencyMismatch: the key was used for another request.
        StorageError: it was not stored, or nobody knows.
    """
    await resources.admission.refresh()
    asked = asked_of(body.message, resources.settings, key_id=key_id) if body.message else None
    made = await write_once(resources.database, keyed, _creation(resources, tenant_id, body, said=said, asked=asked))
    turn = made.result.turn
    if turn is None:
        return made.result
    if made.is_new:
        ring(resources, turn.replies, by="ask")
    if patience.seconds <= 0:
        return made.result
    await wait_for_turn(resources, tenant_id, turn, patience=patience)
    conversation_id = made.result.conversation.row["id"]
    try:
        return await resources.database.read(_read_created, tenant_id, conversation_id, has_turn=True)
    except StorageError as error:
        log.warning("a new conversation is shown as it was made: %s", error)
        return made.result


def _creation(
    resources: Resources, tenant_id: str, body: CreateConversationBody, *, said: Sequence[Said], asked: Ask | None
) -> Making[Created]:
    now = now_ms()
    values = _columns(body, set(type(body).model_fields)) | {
        "id": new_conversation_id(),
        "tenant_id": tenant_id,
        "created_at": now,
        "updated_at": now,
    }

    def make(connection: Connection) -> Created:
        conversations.create(connection, values)
        if said:
            turns.append(connection, tenant_id, values["id"], said=said, now=now)
        if asked is not None:
            turns.ask(connection, tenant_id, values["id"], asked=asked, now=now)
            resources.budgets.require(connection, tenant_id, key_id=asked.key_id, conversation_id=values["id"])
            resources.admission.take(tenant_id, asked.n)
        return _read_created(connection, tenant_id, values["id"], has_turn=asked is not None)

    return Making(
        "conversation",
        make=make,
        id_of=lambda created: str(created.conversation.row["id"]),
        find=lambda connection, found: _read_created(connection, tenant_id, found, has_turn=asked is not None),
    )


def _read_created(connection: Connection, tenant_id: str, conversation_id: str, *, has_turn: bool) -> Created:
    view = reading.conversation(connection, tenant_id, conversation_id, newest=NEWEST_MESSAGES)
    return Created(view, reading.turn(connection, tenant_id, conversation_id, 1) if has_turn else None)


async def get(
    resources: Resources, tenant_id: str, conversation_id: str, *, newest: int, since: int | None, patience: Patience
) -> ConversationView:
    """A conversation, once its version is larger than `since` or, without that, once none of its replies is live.

    Raises:
        NotFound: the tenant has no such conversation, or it was deleted meanwhile.
    """

    def read(connection: Connection) -> ConversationView:
        return reading.conversation(connection, tenant_id, conversation_id, newest=newest)

    def is_there(view: ConversationView) -> bool:
        return not view.live_replies if since is None else view.row["version"] > since

    return await wait_until(
        resources.hub,
        awaited=Awaited(
            conversation_id, look=lambda: look_at(resources.database, conversation_id, read), is_there=is_there
        ),
        present=await resources.database.read(read),
        seconds=patience.seconds,
        receive=patience.receive,
    )


async def require(resources: Resources, tenant_id: str, conversation_id: str) -> None:
    """Makes sure that there is such a conversation.

    Raises:
        NotFound: the tenant has none.
    """
    await resources.database.read(reading.existing, tenant_id, conversation_id)


async def page(
    resources: Resources,
    tenant_id: str,
    *,
    limit: int,
    after: tuple[int, str] | None,
    order: Order,
    end_user: str | None,
) -> Sequence[Row]:
    """Up to `limit` conversations by last change."""
    return await resources.database.read(
        conversations.page, tenant_id, limit=limit, after=after, order=order, end_user=end_user
    )


async def search(resources: Resources, wanted: Search) -> FoundPage:
    """A page of the conversations in which something was found, by last change."""
    return await resources.database.read(found.find, wanted)


async def page_after(
    resources: Resources, tenant_id: str, *, limit: int, after: str | None, order: Order
) -> Sequence[Row]:
    """Up to `limit` conversations by the time they were made."""
    return await resources.database.read(conversations.page_by_id, tenant_id, limit=limit, after=after, order=order)


async def head(resources: Resources, tenant_id: str, conversation_id: str) -> Row:
    """A conversation without what was said in it.

    Raises:
        NotFound: the tenant has no such conversation.
    """
    return await resources.database.read(reading.existing, tenant_id, conversation_id)


async def change(
    resources: Resources, tenant_id: str, conversation_id: str, body: ChangeConversationBody
) -> ConversationView:
    """Sets the fields that the body has.

    Raises:
        NotFound: the tenant has no such conversation.
    """
    values = _columns(body, body.model_fields_set)

    def write(connection: Connection) -> ConversationView:
        if "title" in values and values["title"] is None:
            values["title"] = turns.first_title(connection, conversation_id)
        if values:
            conversations.change(connection, tenant_id, conversation_id, values=values, now=now_ms())
        return reading.conversation(connection, tenant_id, conversation_id, newest=NEWEST_MESSAGES)

    changed = await resources.database.write(write)
    if values:
        resources.announce(conversation_id)
    return changed


async def delete(resources: Resources, tenant_id: str, conversation_id: str) -> None:
    """Erases the conversation with all that is in it.

    Raises:
        NotFound: the tenant has no such conversation.
    """

    await resources.eraser.erase_one(tenant_id, conversation_id)


async def fork(
    resources: Resources, tenant_id: str, conversation_id: str, *, body: ForkBody, keyed: KeyedRequest | None
) -> ConversationView:
    """A copy of the conversation's first turns, as a conversation of its own.

    Raises:
        NotFound: the tenant has no such conversation.
        InvalidValue: it has not so many turns.
        IdempotencyMismatch: the key was used for another request.
    """

    def find(connection: Connection, found: str) -> ConversationView:
        return reading.conversation(connection, tenant_id, found, newest=NEWEST_MESSAGES)

    def make(connection: Connection) -> ConversationView:
        new_id = forks.fork(connection, tenant_id, conversation_id, up_to_turn=body.up_to_turn, now=now_ms())
        return find(connection, new_id)

    made = await write_once(
        resources.database,
        keyed,
        Making("conversation", make=make, id_of=lambda view: str(view.row["id"]), find=find),
    )
    return made.result
