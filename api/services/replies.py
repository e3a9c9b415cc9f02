"""Asking, and the replies that come of it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Collection, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Literal

from sqlalchemy import Connection
from starlette.types import Receive

from api import metrics
from api.dependencies import Resources
from api.live.waiting import Awaited, look_at, wait_until
from api.rendering import Row, is_live
from api.schemas.requests import AskBody
from api.services import reading
from api.services.keyed_write import Made, write_again_if_taken, write_once
from shared.crash_points import crash_point
from shared.errors import NotFound
from shared.observability import logging as log_lines
from shared.observability import tracing
from shared.observability.metrics import FINISHED, NO_CODE
from shared.reply_status import ReplyStatus
from shared.settings import Settings
from shared.store import replies
from shared.store.idempotency import KeyedRequest
from shared.store.stops import Stopped
from shared.store.turns import Ask, Turn, Where


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait, and how to learn that the client has gone."""

    seconds: float
    receive: Receive


def deadline_ms(seconds: float | None, settings: Settings) -> int:
    """How long a reply may take, in milliseconds, if the request allows `seconds`."""
    return max(1, round((seconds or settings.deadline_seconds) * 1000))


def asked_of(body: AskBody, settings: Settings, *, key_id: str | None) -> Ask:
    """What the body asks for, by this API key."""
    return Ask(
        content=body.content,
        n=body.n,
        chosen_model=body.model,
        default_model=settings.model,
        deadline_ms=deadline_ms(body.deadline_seconds, settings),
        on_busy=body.on_busy,
        on_crash=body.on_crash,
        parameters=body.parameters.model_dump(exclude_none=True) if body.parameters else {},
        metadata=body.metadata or {},
        key_id=key_id,
        traceparent=tracing.traceparent(),
    )


async def ask(
    resources: Resources,
    tenant_id: str,
    conversation_id: str,
    *,
    body: AskBody,
    key_id: str | None,
    keyed: KeyedRequest | None,
) -> Turn:
    """Stores the message and its replies, and brings a worker.

    Raises:
        NotFound: the tenant has no such conversation.
        Busy: it has live replies, and the body would not wait for them.
        BudgetExceeded: the tenant, the key or the end user has used up a budget.
        QueueFull: as many replies are under way as may be.
        IdempotencyMismatch: the key was used for another request.
        StorageError: it was not stored, or nobody knows.
    """
    asked = asked_of(body, resources.settings, key_id=key_id)
    await resources.admission.refresh()
    where = Where(tenant_id, conversation_id)
    made = await write_again_if_taken(resources.database, resources.asks, where, asked, keyed)
    return _accepted(resources, made)


async def ask_in(
    resources: Resources,
    tenant_id: str,
    find: Callable[[Connection], Where],
    *,
    asked: Ask,
    keyed: KeyedRequest | None,
) -> Turn:
    """`ask` in the conversation that `find` finds or makes, in the same transaction."""
    await resources.admission.refresh()
    making = resources.asks.making(tenant_id, find, asked)
    return _accepted(resources, await write_once(resources.database, keyed, making))


def _accepted(resources: Resources, made: Made[Turn]) -> Turn:
    """Brings a worker, and tells whoever listens, unless all that was done before."""
    crash_point("api.ask.committed")
    turn = made.result
    if made.is_new:
        tell_stopped(resources, turn.conversation_id, turn.stopped)
        ring(resources, turn.replies, by="ask")
        resources.announce(turn.conversation_id)
    return turn


def tell_stopped(resources: Resources, conversation_id: str, stopped: Stopped) -> None:
    """Tells the workers of a stop, and those who listen of what ended by it."""
    for reply_id in stopped.running:
        resources.notifier.tell_stop(reply_id)
    for event in stopped.events:
        FINISHED(event.kind.status, NO_CODE).inc()
        resources.notifier.tell_event(conversation_id, event)


def ring(resources: Resources, rows: Sequence[Row], *, by: Literal["ask", "regenerate", "retry"]) -> None:
    """Brings a worker for the replies, which were just accepted. Never waits."""
    ids = [row["id"] for row in rows]
    log_lines.add(conversation_id=rows[0]["conversation_id"], reply_id=",".join(ids))
    metrics.REPLIES(by).inc(len(ids))
    if by == "ask":
        metrics.MESSAGES.inc()
    resources.doorbell.ring(ids)


async def wait_for_turn(resources: Resources, tenant_id: str, present: Turn, *, patience: Patience) -> Turn:
    """The turn once all its replies have ended, or as it is when the time is up.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    read = partial(_turn, tenant_id=tenant_id, conversation_id=present.conversation_id, number=present.turn)
    awaited = Awaited(
        present.conversation_id,
        look=partial(look_at, resources.database, present.conversation_id, read),
        is_there=is_settled,
    )
    return await wait_until(
        resources.hub,
        awaited=awaited,
        present=present,
        seconds=patience.seconds,
        receive=patience.receive,
    )


def _turn(connection: Connection, *, tenant_id: str, conversation_id: str, number: int) -> Turn:
    return reading.turn(connection, tenant_id, conversation_id, number)


def is_settled(turn: Turn) -> bool:
    """Whether all replies of the turn have ended."""
    return not any(is_live(reply) for reply in turn.replies)


async def get_turn(
    resources: Resources, tenant_id: str, conversation_id: str, *, number: int, patience: Patience
) -> Turn:
    """A turn, after waiting for it.

    Raises:
        NotFound: the tenant has no such turn.
    """
    present = await resources.database.read(reading.turn, tenant_id, conversation_id, number)
    return await wait_for_turn(resources, tenant_id, present, patience=patience)


async def get_reply(resources: Resources, tenant_id: str, reply_id: str, *, patience: Patience) -> Row:
    """A reply, after waiting for it to end.

    Raises:
        NotFound: the tenant has no such reply.
    """
    present = await resources.replies.read(tenant_id, reply_id)
    if not replies.is_told(present["request"]):
        raise NotFound("There is no such reply.")
    waiting = wait_for_reply(resources, tenant_id, present, patience=patience)
    del present
    return await waiting


def wait_for_reply(resources: Resources, tenant_id: str, present: Row, *, patience: Patience) -> Awaitable[Row]:
    """The reply once it has ended, or as it is when the time is up.

    It keeps nothing while it is awaited: of ten thousand who wait each would hold the row that it began with.

    Raises:
        NotFound: it was deleted meanwhile.
    """
    awaited = Awaited(
        present["conversation_id"],
        look=partial(_look_at_reply, resources, tenant_id, present["id"]),
        is_there=_has_ended,
    )
    return wait_until(
        resources.hub,
        awaited=awaited,
        present=present,
        seconds=patience.seconds,
        receive=patience.receive,
    )


async def _look_at_reply(resources: Resources, tenant_id: str, reply_id: str) -> tuple[int, Row]:
    row = await resources.replies.read(tenant_id, reply_id)
    return row["version"], row


def _has_ended(row: Row) -> bool:
    return not is_live(row)


async def page_of_replies(
    resources: Resources,
    tenant_id: str,
    *,
    limit: int,
    after: str | None,
    statuses: Collection[ReplyStatus],
    conversation_id: str | None,
) -> Sequence[Row]:
    """Up to `limit` replies, newest first."""
    return await resources.database.read(
        replies.page, tenant_id, limit=limit, after=after, statuses=statuses, conversation_id=conversation_id
    )
