"""Export: a whole conversation as JSON lines, read a page at a time while it is sent."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from typing import Any

import orjson
from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.dependencies import Resources, resources_of, tenant_of
from api.json_route import JsonRoute
from api.rendering import conversation_head, message_dict
from api.routes.documentation import ConversationId, problems
from api.services import conversations, messages, replies
from shared.reply_body import reply_dict

router = APIRouter(route_class=JsonRoute, tags=["Conversations"])

ROWS_AT_ONCE = 200
MEDIA_TYPE = "application/jsonl"


@router.get(
    "/conversations/{conversation_id}/export/",
    summary="Export a conversation",
    responses={
        200: {"description": "A line for the conversation, each message and each reply", "content": {MEDIA_TYPE: {}}},
        **problems("not_found"),
    },
)
async def export(request: Request, conversation_id: ConversationId) -> Response:
    """JSON lines, each `{"type": "conversation" | "message" | "reply", …}` with what reading it alone would show."""
    resources, tenant_id = resources_of(request), tenant_of(request)
    head = await conversations.head(resources, tenant_id, conversation_id)
    first = orjson.dumps({"type": "conversation", **conversation_head(head)}) + b"\n"
    name = f'attachment; filename="{conversation_id}.jsonl"'
    return StreamingResponse(
        _lines(resources, tenant_id, conversation_id, first=first),
        media_type=MEDIA_TYPE,
        headers={"Content-Disposition": name},
    )


async def _lines(resources: Resources, tenant_id: str, conversation_id: str, *, first: bytes) -> AsyncIterator[bytes]:
    yield first
    place: tuple[int, int] | None = (0, -1)
    while place is not None:
        rows = await messages.page(resources, tenant_id, conversation_id, limit=ROWS_AT_ONCE, before=None, after=place)
        yield _written("message", [message_dict(row) for row in rows])
        place = (rows[-1]["turn"], rows[-1]["position"]) if len(rows) == ROWS_AT_ONCE else None
    after: str | None = None
    while True:
        found = await replies.page_of_replies(
            resources, tenant_id, limit=ROWS_AT_ONCE, after=after, statuses=(), conversation_id=conversation_id
        )
        yield _written("reply", [reply_dict(row) for row in found])
        if len(found) < ROWS_AT_ONCE:
            return
        after = found[-1]["id"]


def _written(kind: str, shown: Sequence[dict[str, Any]]) -> bytes:
    return b"".join(orjson.dumps({"type": kind, **each}) + b"\n" for each in shown)
