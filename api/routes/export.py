"""Export: a whole conversation as JSON lines."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.dependencies import resources_of, tenant_of
from api.json_route import JsonRoute
from api.routes.documentation import JSON_LINES, ConversationId, problems
from api.services import conversations, exports

router = APIRouter(route_class=JsonRoute, tags=["Conversations"])


@router.get(
    "/conversations/{conversation_id}/export/",
    summary="Export a conversation",
    responses={
        200: {"description": "A line for the conversation, each message and each reply", "content": {JSON_LINES: {}}},
        **problems("not_found"),
    },
)
async def export(request: Request, conversation_id: ConversationId) -> Response:
    """JSON lines, each `{"type": "conversation" | "message" | "reply", …}` with what reading it alone would show.

    If it is deleted meanwhile, or the database fails, the last line says so: `{"type": "error", "code", "detail"}`.
    """
    resources, tenant_id = resources_of(request), tenant_of(request)
    head = await conversations.head(resources, tenant_id, conversation_id)
    lines = exports.conversation_lines(resources, tenant_id, head)
    return StreamingResponse(
        exports.told_to_the_end(lines),
        media_type=JSON_LINES,
        headers={"Content-Disposition": f'attachment; filename="{conversation_id}.jsonl"'},
    )
