"""Replies of a conversation's last turn, and what may be done with them."""

from __future__ import annotations

from shared.database.models import DEFAULT_TENANT, conversations, replies
from shared.ending import Ending, Failure
from shared.reply_status import ReplyError, ReplyStatus
from shared.store import candidates, moves, stops
from shared.store.candidates import Again
from shared.store.claims import Claim
from tests.integration.shared.rows import COMPLETED, MINUTE, NOW, USAGE, Tables

FAILED = Ending(
    ReplyStatus.FAILED,
    "Half a tho",
    USAGE,
    failure=Failure(ReplyError.UPSTREAM_ERROR, "The model said no.", retryable=True),
)
AS_IT_WAS = Again(deadline_ms=MINUTE)
LATER = NOW + 100


def regenerate(tables: Tables, reply_id: str, again: Again = AS_IT_WAS, *, tenant: str = DEFAULT_TENANT) -> str:
    return tables(candidates.regenerate, tenant, reply_id, again=again, now=LATER)


def retry(tables: Tables, reply_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
    tables(candidates.retry, tenant, reply_id, deadline_ms=2 * MINUTE, now=LATER)


def choose(tables: Tables, reply_id: str, *, tenant: str = DEFAULT_TENANT) -> None:
    tables(candidates.choose, tenant, reply_id, now=LATER)


def cancel(tables: Tables, reply_id: str) -> None:
    tables(stops.cancel, DEFAULT_TENANT, reply_id, now=NOW + 2)


def finish(tables: Tables, claim: Claim, ending: Ending = COMPLETED) -> None:
    tables(moves.finish, claim, ending, now=NOW + 1)


def ended(tables: Tables, *endings: Ending) -> list[str]:
    """The replies of a new conversation's first turn, ended so, in this order."""
    reply_ids = tables.asked(n=len(endings))
    held = {claim.reply_id: claim for claim in tables.claim()}
    for reply_id, ending in zip(reply_ids, endings, strict=True):
        finish(tables, held[reply_id], ending)
    return reply_ids


def selected(tables: Tables, reply_id: str) -> list[str]:
    """The replies of the conversation that it goes on from."""
    conversation_id = tables.reply(reply_id)["conversation_id"]
    return [row["id"] for row in tables.rows(replies, conversation_id=conversation_id, selected=True)]


def version(tables: Tables, reply_id: str) -> int:
    (row,) = tables.rows(conversations, id=tables.reply(reply_id)["conversation_id"])
    return int(row["version"])
