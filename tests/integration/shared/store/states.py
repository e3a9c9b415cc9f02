"""Every state that a reply can be in, each reached by the store's own means."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from shared.database.models import DEFAULT_TENANT, replies
from shared.ending import Ending, Failure
from shared.reply_status import AttemptOutcome, ReplyError, ReplyStatus, StopRequest
from shared.store import moves, stops
from shared.store.claims import Claim
from tests.integration.shared.rows import COMPLETED, CUT_SHORT, NOW, Tables

FAILED = Ending(ReplyStatus.FAILED, "Half a tho", failure=Failure(ReplyError.UPSTREAM_ERROR, "No.", retryable=True))
# How a reply ends that was asked to stop so.
STOPPED = {StopRequest.CANCEL: ReplyStatus.CANCELLED, StopRequest.INTERRUPT: ReplyStatus.INCOMPLETE}


def queued(tables: Tables) -> str:
    return tables.asked()[0]


def in_progress(tables: Tables) -> str:
    reply_id = queued(tables)
    worker_id = tables.worker(f"worker_of_{reply_id}")
    (claim,) = [claim for claim in tables.claim(worker_id) if claim.reply_id == reply_id]
    tables(moves.save_partial, claim, "The an")
    return reply_id


def queued_again(tables: Tables) -> str:
    reply_id = in_progress(tables)
    tables(moves.requeue, held(tables, reply_id), outcome=AttemptOutcome.RETRIED, next_at=NOW, now=NOW)
    return reply_id


def to_be_cancelled(tables: Tables) -> str:
    reply_id = in_progress(tables)
    tables(stops.cancel, DEFAULT_TENANT, reply_id, now=NOW)
    return reply_id


def to_be_interrupted(tables: Tables) -> str:
    reply_id = in_progress(tables)
    tables(stops.interrupt, tables.reply(reply_id)["conversation_id"], now=NOW)
    return reply_id


def ended(tables: Tables, ending: Ending) -> str:
    reply_id = in_progress(tables)
    tables(moves.finish, held(tables, reply_id), ending, now=NOW)
    return reply_id


def cancelled(tables: Tables) -> str:
    reply_id = to_be_cancelled(tables)
    tables(moves.finish, held(tables, reply_id), COMPLETED, now=NOW)
    return reply_id


STATES: dict[str, Callable[[Tables], str]] = {
    "queued": queued,
    "queued again": queued_again,
    "in progress": in_progress,
    "to be cancelled": to_be_cancelled,
    "to be interrupted": to_be_interrupted,
    "completed": lambda tables: ended(tables, COMPLETED),
    "incomplete": lambda tables: ended(tables, CUT_SHORT),
    "incomplete without text": lambda tables: ended(tables, replace(CUT_SHORT, content="")),
    "failed": lambda tables: ended(tables, FAILED),
    "cancelled": cancelled,
}
WAITING = ("queued", "queued again")
RUNNING = ("in progress", "to be cancelled", "to be interrupted")
LIVE = (*WAITING, *RUNNING)
ENDED = ("completed", "incomplete", "incomplete without text", "failed", "cancelled")


def held(tables: Tables, reply_id: str) -> Claim:
    """A claim with the row's own token, so that only its status can speak against the move."""
    with tables.connection.begin():
        row = tables.connection.execute(replies.select().where(replies.c.id == reply_id)).one()
    return Claim.of_row(row)
