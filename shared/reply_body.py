"""A reply as clients see it, in answers, streams and webhooks alike. Nothing is shown that is not named here."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from sqlalchemy import RowMapping

from shared.clock import now_ms
from shared.reply_status import ReplyStatus

# A row of the database, or one as it was just written.
Row = Mapping[str, Any] | RowMapping
_NOT_QUEUED = {"turns_ahead": 0, "waiting_for": None, "next_attempt_at": None}


def instant(milliseconds: int) -> str:
    """RFC 3339 in UTC with milliseconds: `2026-01-31T12:00:00.000Z`."""
    second, fraction = divmod(milliseconds, 1000)
    return f"{_second(second)}.{fraction:03}Z"


# What is shown together mostly happened together, and writing out a second is most of the work.
@lru_cache(maxsize=10_000)
def _second(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()[:19]


def instant_or_none(milliseconds: int | None) -> str | None:
    """The same, where there may be none."""
    return None if milliseconds is None else instant(milliseconds)


def reply_dict(row: Row) -> dict[str, Any]:
    """A reply, with its text so far."""
    return {
        "id": row["id"],
        "url": f"/replies/{row['id']}/",
        "conversation_id": row["conversation_id"],
        "turn": row["turn"],
        "candidate": row["candidate"],
        "status": row["status"],
        "content": row["content"],
        "model": row["model"],
        "attempt": row["attempt"],
        "selected": row["selected"],
        "message_id": row["message_id"],
        "usage": usage_dict(row),
        "error": error_dict(row),
        "incomplete_reason": row["incomplete_reason"],
        "stop_requested": row["stop_requested"],
        "metadata": row["metadata"],
        "feedback": feedback_of(row),
        "queue": queue_dict(row),
        "created_at": instant(row["created_at"]),
        "started_at": instant_or_none(row["started_at"]),
        "finished_at": instant_or_none(row["finished_at"]),
        "deadline_at": instant(row["deadline_at"]),
    }


def usage_dict(row: Row) -> dict[str, int | bool] | None:
    """What was read and written, if anybody knows."""
    read, written = row["input_tokens"], row["output_tokens"]
    if read is None and written is None:
        return None
    read, written = read or 0, written or 0
    total = read + written
    estimated = bool(row["usage_estimated"])
    return {"input_tokens": read, "output_tokens": written, "total_tokens": total, "estimated": estimated}


def error_dict(row: Row) -> dict[str, Any] | None:
    """Why the reply failed, if it did."""
    if row["error_code"] is None:
        return None
    return {
        "code": row["error_code"],
        "message": row["error_message"],
        "retryable": bool(row["error_retryable"]),
    }


def feedback_of(row: Row) -> dict[str, Any] | None:
    """What somebody thinks of the reply, as a request is told it."""
    if row["feedback_rating"] is None:
        return None
    return {
        "rating": row["feedback_rating"],
        "comment": row["feedback_comment"],
        "given_at": instant(row["feedback_at"]),
    }


def queue_dict(row: Row) -> dict[str, Any]:
    """What the reply waits for, if it does."""
    if row["status"] != ReplyStatus.QUEUED:
        return _NOT_QUEUED
    if row["turns_ahead"] > 0:
        return {"turns_ahead": row["turns_ahead"], "waiting_for": "turn", "next_attempt_at": None}
    if row["available_at"] > now_ms():
        return {"turns_ahead": 0, "waiting_for": "retry", "next_attempt_at": instant(row["available_at"])}
    return {"turns_ahead": 0, "waiting_for": "worker", "next_attempt_at": None}
