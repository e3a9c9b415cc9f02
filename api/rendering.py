"""Rows as clients see them. Nothing is shown that is not named here."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from sqlalchemy import RowMapping

from api.cursors import message_cursor
from shared.reply_body import instant, instant_or_none, reply_dict, usage_dict
from shared.reply_status import LIVE
from shared.webhooks.delivery_status import DeliveryStatus

if TYPE_CHECKING:
    from api.services.reading import ConversationView
    from shared.store.search import Match

# A row of the database, or one as it was just written.
Row = Mapping[str, Any] | RowMapping
_NOTHING_ERASED = dict.fromkeys(
    ("conversations", "messages", "replies", "attempts", "idempotency_keys", "webhook_deliveries", "event_logs"), 0
)


def is_live(reply: Row) -> bool:
    """Whether the reply is still to end."""
    return reply["status"] in LIVE


def message_dict(row: Row) -> dict[str, Any]:
    """A message."""
    return {
        "id": row["id"],
        "conversation_id": row["conversation_id"],
        "turn": row["turn"],
        "role": row["role"],
        "content": row["content"],
        "reply_id": row["reply_id"],
        "created_at": instant(row["created_at"]),
    }


def attempt_dict(row: Row) -> dict[str, Any]:
    """One try at a reply."""
    error = {"code": row["error_code"], "message": row["error_message"]} if row["error_code"] else None
    return {
        "attempt": row["attempt"],
        "worker": row["worker_id"],
        "upstream": row["upstream"],
        "upstream_model": row["upstream_model"],
        "started_at": instant(row["started_at"]),
        "first_token_seconds": None if row["first_token_ms"] is None else row["first_token_ms"] / 1000,
        "ended_at": instant_or_none(row["ended_at"]),
        "outcome": row["outcome"],
        "error": error,
        "usage": usage_dict(row),
    }


def key_dict(row: Row) -> dict[str, Any]:
    """An API key, without what is secret."""
    return {
        "id": row["id"],
        "name": row["name"],
        "prefix": f"ak_{row['prefix']}",
        "scopes": row["scopes"],
        "created_at": instant(row["created_at"]),
        "expires_at": instant_or_none(row["expires_at"]),
        "revoked_at": instant_or_none(row["revoked_at"]),
        "last_used_at": instant_or_none(row["last_used_at"]),
    }


def erasure_dict(row: Row) -> dict[str, Any]:
    """The receipt of an erasure."""
    return {
        "id": row["id"],
        "status": "in_progress" if row["finished_at"] is None else "completed",
        "erased": {**_NOTHING_ERASED, **row["erased"]},
        "event_logs_gone_by": instant_or_none(row["logs_expire_at"]),
        "started_at": instant(row["started_at"]),
        "finished_at": instant_or_none(row["finished_at"]),
    }


def process_dict(row: Row) -> dict[str, Any]:
    """A worker or a gateway."""
    return {
        "id": row["id"],
        "role": row["id"].partition("_")[0],
        "host": row["host"],
        "started_at": instant(row["started_at"]),
        "is_beating": row["is_beating"],
        "seconds_since_beat": round(row["seconds_since_beat"], 1),
        "slots": row["slots"],
        "live_replies": row["live_replies"],
    }


def webhook_dict(row: Row) -> dict[str, Any]:
    """An endpoint of webhooks, without its secret."""
    return {
        "id": row["id"],
        "url": row["url"],
        "description": row["description"],
        "events": row["events"],
        "enabled": row["enabled"],
        "disabled_because": row["disabled_because"],
        "failing_since": instant_or_none(row["failing_since"]),
        "created_at": instant(row["created_at"]),
        "updated_at": instant(row["updated_at"]),
    }


def delivery_dict(row: Row) -> dict[str, Any]:
    """A delivery of a webhook, without what it says."""
    is_answered = row["response_status"] is not None
    return {
        "id": row["id"],
        "webhook_id": row["endpoint_id"],
        "event": row["event"],
        "conversation_id": row["conversation_id"],
        "reply_id": row["reply_id"],
        "status": row["status"],
        "tries": row["tries"],
        "next_try_at": instant(row["available_at"]) if row["status"] == DeliveryStatus.PENDING else None,
        "last_try_at": instant_or_none(row["tried_at"]),
        "response": {"status": row["response_status"], "body": row["response_text"]} if is_answered else None,
        "error": row["error"],
        "created_at": instant(row["created_at"]),
        "ended_at": instant_or_none(row["ended_at"]),
    }


def turn_dict(conversation_id: str, turn: int, *, message: Row, replies: Iterable[Row]) -> dict[str, Any]:
    """A turn: what was said and the replies to it."""
    return {
        "conversation_id": conversation_id,
        "turn": turn,
        "message": message_dict(message),
        "replies": [reply_dict(reply) for reply in replies],
    }


def conversation_head(row: Row) -> dict[str, Any]:
    """A conversation without what was said in it, as lists show it."""
    return {
        "id": row["id"],
        "title": row["title"],
        "instructions": row["instructions"],
        "model": row["model"],
        "parameters": row["parameters"],
        "metadata": row["metadata"],
        "end_user": row["end_user"],
        "version": row["version"],
        "created_at": instant(row["created_at"]),
        "updated_at": instant(row["updated_at"]),
    }


def found_dict(row: Row, match: Match) -> dict[str, Any]:
    """A conversation as a search shows it, with where it was found."""
    return {
        **conversation_head(row),
        "match": {
            "field": "title" if match.message_id is None else "message",
            "snippet": match.snippet,
            "message_id": match.message_id,
            "turn": match.turn,
        },
    }


def conversation_dict(view: ConversationView) -> dict[str, Any]:
    """A conversation with its newest messages and its live replies."""
    head = conversation_head(view.row)
    created_at, updated_at = head.pop("created_at"), head.pop("updated_at")
    return {
        **head,
        "messages": [message_dict(message) for message in view.messages],
        "previous_messages": _previous_messages(view),
        "live_replies": [reply_dict(reply) for reply in view.live_replies],
        "created_at": created_at,
        "updated_at": updated_at,
    }


def _previous_messages(view: ConversationView) -> str | None:
    """Where the messages before those of the view are."""
    if not view.has_previous:
        return None
    path = f"/conversations/{view.row['id']}/messages/"
    if not view.messages:
        return path
    oldest = view.messages[0]
    return f"{path}?before={message_cursor(oldest['turn'], oldest['position'])}"
