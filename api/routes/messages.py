"""Messages: what was said, page by page; and adding what was said elsewhere."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer, page_answer
from api.cursors import message_cursor, read_message_cursor
from api.dependencies import IDEMPOTENCY_PARAMETER, keyed_request, resources_of, tenant_of
from api.json_route import JsonRoute
from api.rendering import message_dict
from api.routes.documentation import APPEND_EXAMPLES, BODY, LINK, ConversationId, Limit, answer, problems
from api.schemas.conversations import Message, MessagePage
from api.schemas.requests import AppendMessageBody
from api.services import messages
from shared.store.turns import Said

router = APIRouter(route_class=JsonRoute, tags=["Messages"])


@router.get(
    "/conversations/{conversation_id}/messages/",
    summary="List messages",
    responses={
        200: answer(MessagePage, "A page, oldest first", headers=LINK),
        **problems("not_found", "invalid_value", "invalid_cursor"),
    },
)
async def list_messages(
    request: Request,
    conversation_id: ConversationId,
    limit: Limit = 50,
    before: Annotated[str | None, Query(description="`next_cursor` of the page behind this one.")] = None,
    after: Annotated[str | None, Query(description="`next_cursor` of the page before, reading forwards.")] = None,
) -> Response:
    """The newest messages; `next_cursor` as `before` leads back in time. With `after` reading goes forwards."""
    rows = await messages.page(
        resources_of(request),
        tenant_of(request),
        conversation_id,
        limit=limit + 1,
        before=read_message_cursor(before, parameter="before") if before is not None else None,
        after=read_message_cursor(after, parameter="after") if after is not None else None,
    )
    has_more = len(rows) > limit
    # Forwards the extra row is the last one, backwards the first.
    shown = rows[:limit] if after is not None else rows[-limit:]
    end = (shown[-1] if after is not None else shown[0]) if has_more else None
    return page_answer(
        request,
        [message_dict(row) for row in shown],
        next_cursor=message_cursor(end["turn"], end["position"]) if end else None,
        cursor_parameter="after" if after is not None else "before",
    )


@router.post(
    "/conversations/{conversation_id}/messages/",
    status_code=201,
    summary="Append a message",
    responses={201: answer(Message, "The message"), **problems("not_found", *BODY, "idempotency_mismatch")},
    openapi_extra={"parameters": [IDEMPOTENCY_PARAMETER]},
)
async def append(
    request: Request,
    conversation_id: ConversationId,
    body: Annotated[AppendMessageBody, Body(openapi_examples=APPEND_EXAMPLES)],
) -> Response:
    """Asks for nothing: it is for a history from elsewhere. The next turn's answer follows from it."""
    said = [Said(body.content, body.role)]
    (message,) = await messages.append(
        resources_of(request), tenant_of(request), conversation_id, said=said, keyed=keyed_request(request)
    )
    return json_answer(message_dict(message), status=201)
