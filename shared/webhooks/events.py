"""What a webhook says: the events there are, and the body of each.

An event is asked for by its name, and the name says in which words it comes: `reply.…` as our own streams tell it,
`response.…` as OpenAI's SDKs unwrap it.
"""

from __future__ import annotations

from collections.abc import Collection
from enum import StrEnum
from typing import Any

import orjson

from shared.ids import response_id
from shared.reply_body import Row, instant, reply_dict
from shared.reply_status import ReplyStatus


class WebhookEvent(StrEnum):
    """What an endpoint may ask to be told."""

    REPLY_COMPLETED = "reply.completed"
    REPLY_INCOMPLETE = "reply.incomplete"
    REPLY_FAILED = "reply.failed"
    REPLY_CANCELLED = "reply.cancelled"
    RESPONSE_COMPLETED = "response.completed"
    RESPONSE_INCOMPLETE = "response.incomplete"
    RESPONSE_FAILED = "response.failed"
    RESPONSE_CANCELLED = "response.cancelled"


# Sent on request, to whatever endpoint.
TEST = "webhook.test"
DEFAULT_EVENTS = tuple(event for event in WebhookEvent if event.startswith("reply."))


def events_of(status: ReplyStatus, wanted: Collection[str]) -> list[WebhookEvent]:
    """Those of the wanted events that a reply which ended so is one of."""
    return [event for event in (_native(status), _openai(status)) if event in wanted]


def _native(status: ReplyStatus) -> WebhookEvent:
    return WebhookEvent(f"reply.{status}")


def _openai(status: ReplyStatus) -> WebhookEvent:
    return WebhookEvent(f"response.{status}")


def reply_body(event: WebhookEvent, delivery_id: str, reply: Row) -> str:
    """The JSON that tells of the end of a reply."""
    ended_at = reply["finished_at"]
    if event is _openai(ReplyStatus(reply["status"])):
        # https://platform.openai.com/docs/api-reference/webhook-events
        told = {"object": "event", "created_at": ended_at // 1000, "data": {"id": response_id(reply["id"])}}
    else:
        told = {"timestamp": instant(ended_at), "data": {"reply": reply_dict(reply)}}
    return _json({"id": delivery_id, "type": event, **told})


def test_body(delivery_id: str, endpoint_id: str, *, now: int) -> str:
    """The JSON of a delivery that only shows whether the receiver is there."""
    return _json({"id": delivery_id, "type": TEST, "timestamp": instant(now), "data": {"webhook_id": endpoint_id}})


def _json(content: dict[str, Any]) -> str:
    return orjson.dumps(content).decode()
