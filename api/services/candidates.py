"""What becomes of replies after they were asked for: stopping, trying again, another one, and choosing."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from sqlalchemy import Connection
from starlette.types import Receive

from api.dependencies import Resources
from api.rendering import Row
from api.schemas.requests import RegenerateBody, RetryBody
from api.services import reading
from api.services.asks import turn_finder
from api.services.keyed_write import Making, write_once
from api.services.replies import Patience, deadline_ms, ring, tell_stopped, wait_for_reply
from shared.clock import now_ms
from shared.messaging import reply_events
from shared.messaging.reply_events import Cursor
from shared.observability import tracing
from shared.reply_status import ReplyStatus
from shared.store import attempts, candidates, claims, stops
from shared.store.candidates import Again
from shared.store.idempotency import KeyedRequest
from shared.store.stops import Stopped
from shared.store.turns import Turn

# A worker that hears of a stop ends the reply within a few hundred milliseconds; without Redis, with its next beat.
CANCEL_WAIT_SECONDS = 2.0


async def cancel(resources: Resources, tenant_id: str, reply_id: str, *, receive: Receive) -> Row:
    """Stops a reply, and waits a moment for a worker that has it. One that has ended comes back as it is.

    Raises:
        NotFound: the tenant has no such reply.
    """

    present = await request_stop(resources, tenant_id, reply_id)
    return await wait_for_reply(resources, tenant_id, present, patience=Patience(CANCEL_WAIT_SECONDS, receive))


async def request_stop(resources: Resources, tenant_id: str, reply_id: str) -> Row:
    """`cancel` without the waiting.

    Raises:
        NotFound: the tenant has no such reply.
    """

    def write(connection: Connection) -> tuple[Stopped, Row]:
        stopped = stops.cancel(connection, tenant_id, reply_id, now=now_ms())
        return stopped, reading.reply(connection, tenant_id, reply_id)

    stopped, present = await resources.database.write(write)
    tell_stopped(resources, present["conversation_id"], stopped)
    if stopped.running or stopped.ended:
        resources.announce(present["conversation_id"])
    if stopped.ended:
        # The next turn of the conversation may have waited for it.
        following = await resources.database.read(claims.due_in, present["conversation_id"], now=now_ms())
        resources.doorbell.ring(following)
    return present


async def regenerate(
    resources: Resources,
    tenant_id: str,
    reply_id: str,
    *,
    body: RegenerateBody,
    key_id: str | None,
    keyed: KeyedRequest | None,
) -> Turn:
    """Queues one more candidate; the turn with it.

    Raises:
        NotFound: the tenant has no such reply.
        NotLastTurn: the conversation has gone on.
        TooManyCandidates: the turn has as many as it may have.
        IdempotencyMismatch: the key was used for another request.
    """
    again = Again(
        deadline_ms=deadline_ms(body.deadline_seconds, resources.settings),
        model=body.model,
        parameters=body.parameters.model_dump(exclude_none=True) if body.parameters else None,
        metadata=body.metadata,
        on_crash=body.on_crash,
        key_id=key_id,
        traceparent=tracing.traceparent(),
    )

    def make(connection: Connection) -> Turn:
        new_id = candidates.regenerate(connection, tenant_id, reply_id, again=again, now=now_ms())
        made = reading.reply(connection, tenant_id, new_id)
        resources.budgets.require(connection, tenant_id, key_id=key_id, conversation_id=made["conversation_id"])
        resources.admission.take(tenant_id, 1)
        return reading.turn(connection, tenant_id, made["conversation_id"], made["turn"])

    await resources.admission.refresh()
    made = await write_once(
        resources.database,
        keyed,
        Making("turn", make=make, id_of=lambda turn: turn.resource_id, find=turn_finder(tenant_id)),
    )
    if made.is_new:
        ring(resources, made.result.replies[-1:], by="regenerate")
        resources.announce(made.result.conversation_id)
    return made.result


async def retry(
    resources: Resources,
    tenant_id: str,
    reply_id: str,
    *,
    body: RetryBody,
    key_id: str | None,
    keyed: KeyedRequest | None,
) -> Row:
    """Queues a failed or cancelled reply again.

    Raises:
        NotFound: the tenant has no such reply.
        NotLastTurn: the conversation has gone on.
        NotRetryable: it neither failed nor was cancelled.
        IdempotencyMismatch: the key was used for another request.
    """
    allowed_ms = deadline_ms(body.deadline_seconds, resources.settings)
    traceparent = tracing.traceparent()

    def make(connection: Connection) -> Row:
        candidates.retry(
            connection,
            tenant_id,
            reply_id,
            deadline_ms=allowed_ms,
            key_id=key_id,
            traceparent=traceparent,
            now=now_ms(),
        )
        made = reading.reply(connection, tenant_id, reply_id)
        resources.budgets.require(connection, tenant_id, key_id=key_id, conversation_id=made["conversation_id"])
        resources.admission.take(tenant_id, 1)
        return made

    await resources.admission.refresh()
    made = await write_once(resources.database, keyed, _making_reply(tenant_id, make))
    if made.is_new:
        _tell_retried(resources, made.result)
    return made.result


def _making_reply(tenant_id: str, make: Callable[[Connection], Row]) -> Making[Row]:
    """A request that a reply comes of. It is found again by its conversation and its id."""
    return Making(
        "reply",
        make=make,
        id_of=lambda row: f"{row['conversation_id']}/{row['id']}",
        find=lambda connection, found: reading.reply(connection, tenant_id, found.rpartition("/")[2]),
    )


def _tell_retried(resources: Resources, row: Row) -> None:
    """Whoever listens hears that it is queued again, and a worker that it is due."""
    event = reply_events.moved(row["id"], Cursor(row["token"], 0), ReplyStatus(row["status"]))
    resources.notifier.tell_event(row["conversation_id"], event)
    ring(resources, [row], by="retry")
    resources.announce(row["conversation_id"])


async def select(resources: Resources, tenant_id: str, reply_id: str) -> Row:
    """Makes the reply the one that the conversation goes on from.

    Raises:
        NotFound: the tenant has no such reply.
        NotLastTurn: the conversation has gone on.
        NotSelectable: it has no text to go on from.
    """

    def write(connection: Connection) -> Row:
        candidates.choose(connection, tenant_id, reply_id, now=now_ms())
        return reading.reply(connection, tenant_id, reply_id)

    chosen = await resources.database.write(write)
    resources.announce(chosen["conversation_id"])
    return chosen


async def attempts_of(resources: Resources, tenant_id: str, reply_id: str) -> Sequence[Row]:
    """Every try at the reply.

    Raises:
        NotFound: the tenant has no such reply.
    """

    def read(connection: Connection) -> Sequence[Row]:
        reading.reply(connection, tenant_id, reply_id)
        return attempts.of_reply(connection, reply_id)

    return await resources.database.read(read)
