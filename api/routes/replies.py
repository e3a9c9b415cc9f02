"""Replies: one, or a page of them."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.answers import RETRY_AFTER_SECONDS, page_answer, tagged_answer
from api.cursors import id_cursor, read_id_cursor
from api.dependencies import PREFER_PARAMETER, WaitSeconds, resources_of, tenant_of, wait_of
from api.json_route import JsonRoute
from api.live.streams import ReplyStream
from api.rendering import is_live
from api.routes.documentation import ETAG, LINK, NOT_MODIFIED, RETRY, Limit, ReplyId, answer, problems
from api.routes.streaming import LAST_EVENT_PARAMETER, STREAM, AfterEvent, reply_cursor_of, stream_answer
from api.schemas.replies import Reply, ReplyPage
from api.services import replies
from api.services.replies import Patience
from shared.errors import InvalidValue
from shared.ids import is_id
from shared.reply_body import reply_dict
from shared.reply_status import ReplyStatus

router = APIRouter(route_class=JsonRoute, tags=["Replies"])


@router.get(
    "/replies/{reply_id}/",
    summary="Read a reply",
    responses={
        200: answer(Reply, "The reply", headers={**ETAG, **RETRY}),
        **NOT_MODIFIED,
        **problems("not_found", "invalid_value"),
    },
    openapi_extra={"parameters": [PREFER_PARAMETER]},
)
async def get(request: Request, reply_id: ReplyId, wait: WaitSeconds = None) -> Response:
    """`?wait=` waits until it has ended."""
    waiting = wait_of(request, wait)
    row = await replies.get_reply(
        resources_of(request),
        tenant_of(request),
        reply_id,
        patience=Patience(waiting.seconds, request.receive),
    )
    headers = dict(waiting.headers)
    if is_live(row):
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    return tagged_answer(request, reply_dict(row), headers=headers)


@router.get(
    "/replies/{reply_id}/events/",
    summary="Listen to a reply",
    responses=STREAM,
    openapi_extra={"parameters": [LAST_EVENT_PARAMETER]},
)
async def events(request: Request, reply_id: ReplyId, after: AfterEvent = None) -> Response:
    """What happens to it until it ends, token by token. Every event's id resumes where it was, on any gateway."""
    resources, tenant_id = resources_of(request), tenant_of(request)
    cursor = reply_cursor_of(request, after)
    row = await replies.get_reply(resources, tenant_id, reply_id, patience=Patience(0, request.receive))
    return stream_answer(resources, ReplyStream(resources, tenant_id, row, cursor=cursor))


def _statuses(value: str | None) -> set[ReplyStatus]:
    if value is None:
        return set()
    try:
        return {ReplyStatus(name.strip()) for name in value.split(",")}
    except ValueError:
        known = ", ".join(ReplyStatus)
        raise InvalidValue(f"Statuses are {known}, with commas between them.", pointer="?status") from None


@router.get(
    "/replies/",
    summary="List replies",
    responses={
        200: answer(ReplyPage, "A page, newest first", headers=LINK),
        **problems("invalid_value", "invalid_cursor"),
    },
)
async def list_replies(
    request: Request,
    status: Annotated[
        str | None, Query(description="Only these, with commas between them.", examples=["queued,in_progress"])
    ] = None,
    conversation_id: Annotated[str | None, Query(description="Only those of this conversation.")] = None,
    limit: Limit = 20,
    after: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> Response:
    """Of all conversations, unless narrowed. Pass `next_cursor` on as `after`."""
    if conversation_id is not None and not is_id("conv", conversation_id):
        raise InvalidValue("This is not the id of a conversation.", pointer="?conversation_id")
    rows = await replies.page_of_replies(
        resources_of(request),
        tenant_of(request),
        limit=limit + 1,
        after=read_id_cursor("reply", after, parameter="after") if after is not None else None,
        statuses=_statuses(status),
        conversation_id=conversation_id,
    )
    shown = rows[:limit]
    cursor = id_cursor("reply", shown[-1]["id"]) if len(rows) > limit else None
    return page_answer(request, [reply_dict(row) for row in shown], next_cursor=cursor)
