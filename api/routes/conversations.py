"""Conversations: create, list, read, change, delete."""

from __future__ import annotations

from typing import Annotated, Literal

from fastapi import APIRouter, Body, Query
from starlette.requests import Request
from starlette.responses import Response

from api import rendering
from api.answers import json_answer, page_answer, tagged_answer
from api.cursors import conversation_cursor, read_conversation_cursor
from api.dependencies import (
    IDEMPOTENCY_PARAMETER,
    PREFER_PARAMETER,
    WaitSeconds,
    key_of,
    keyed_request,
    resources_of,
    tenant_of,
    wait_of,
)
from api.json_route import JsonRoute
from api.live.conversation_stream import ConversationStream
from api.rendering import conversation_dict
from api.routes.documentation import (
    BODY,
    CHANGE_EXAMPLES,
    CREATE_EXAMPLES,
    ETAG,
    FORK_EXAMPLES,
    LINK,
    NOT_MODIFIED,
    ConversationId,
    Limit,
    answer,
    problems,
)
from api.routes.streaming import STREAM, stream_answer
from api.schemas.conversations import Conversation, ConversationPage, CreatedConversation
from api.schemas.requests import ChangeConversationBody, CreateConversationBody, ForkBody
from api.services import conversations
from api.services.conversations import NEWEST_MESSAGES
from api.services.replies import Patience
from shared.errors import InvalidValue
from shared.search_text import words_of
from shared.store.search import Search

MAX_QUERY_CHARS = 200
MAX_QUERY_WORDS = 16

router = APIRouter(route_class=JsonRoute, tags=["Conversations"])


@router.post(
    "/conversations/",
    status_code=201,
    summary="Create a conversation",
    responses={
        201: answer(CreatedConversation, "The conversation", headers={"Location": "Where the conversation is."}),
        **problems(*BODY, "idempotency_mismatch", "queue_full"),
    },
    openapi_extra={"parameters": [IDEMPOTENCY_PARAMETER, PREFER_PARAMETER]},
)
async def create(
    request: Request,
    body: Annotated[CreateConversationBody | None, Body(openapi_examples=CREATE_EXAMPLES)] = None,
    wait: WaitSeconds = None,
) -> Response:
    """With `message` the first turn is asked in the same transaction and shown as `turn`; `?wait=` waits for it."""
    waiting = wait_of(request, wait)
    created = await conversations.create(
        resources_of(request),
        tenant_of(request),
        body or CreateConversationBody(),
        key_id=key_of(request),
        keyed=keyed_request(request),
        patience=Patience(waiting.seconds, request.receive),
    )
    content = conversation_dict(created.conversation)
    turn = created.turn
    if turn is not None:
        content["turn"] = rendering.turn_dict(
            turn.conversation_id, turn.turn, message=turn.message, replies=turn.replies
        )
    headers = {"Location": f"/conversations/{content['id']}/", **waiting.headers}
    return json_answer(content, status=201, headers=headers)


@router.post(
    "/conversations/{conversation_id}/fork/",
    status_code=201,
    summary="Fork a conversation",
    responses={
        201: answer(Conversation, "The copy", headers={"Location": "Where the copy is."}),
        **problems("not_found", *BODY, "idempotency_mismatch"),
    },
    openapi_extra={"parameters": [IDEMPOTENCY_PARAMETER]},
)
async def fork(
    request: Request,
    conversation_id: ConversationId,
    body: Annotated[ForkBody | None, Body(openapi_examples=FORK_EXAMPLES)] = None,
) -> Response:
    """Copies its settings, and what was said up to a turn, into a new one. Replies that are still live stay behind."""
    view = await conversations.fork(
        resources_of(request),
        tenant_of(request),
        conversation_id,
        body=body or ForkBody(),
        keyed=keyed_request(request),
    )
    content = conversation_dict(view)
    return json_answer(content, status=201, headers={"Location": f"/conversations/{content['id']}/"})


def _words(query: str) -> list[str]:
    words = words_of(query)
    if not words or len(words) > MAX_QUERY_WORDS:
        raise InvalidValue(f"Give 1 to {MAX_QUERY_WORDS} words to look for.", pointer="?q")
    return words


@router.get(
    "/conversations/",
    summary="List conversations",
    responses={
        200: answer(ConversationPage, "A page, by last change", headers=LINK),
        **problems("invalid_value", "invalid_cursor"),
    },
)
async def list_conversations(
    request: Request,
    limit: Limit = 20,
    after: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    *,
    order: Annotated[Literal["asc", "desc"], Query(description="By last change: newest first, or oldest.")] = "desc",
    end_user: Annotated[str | None, Query(max_length=255, description="Only this end user's.")] = None,
    q: Annotated[
        str | None,
        Query(
            max_length=MAX_QUERY_CHARS,
            description="Only those with all these words in their title, or in one message, in whatever case. Each "
            "then has a `match`, and a page may be shorter than `limit` while `has_more` is true.",
        ),
    ] = None,
) -> Response:
    """Without their messages. Pass `next_cursor` on as `after`."""
    for name, value in (("end_user", end_user), ("q", q)):
        if value is not None and "\0" in value:
            raise InvalidValue("A value may not contain the NUL character.", pointer=f"?{name}")
    position = read_conversation_cursor(after, parameter="after") if after is not None else None
    if q is not None:
        wanted = Search(tenant_of(request), _words(q), limit, after=position, order=order, end_user=end_user)
        found = await conversations.search(resources_of(request), wanted)
        cursor = conversation_cursor(*found.following) if found.following else None
        return page_answer(request, [rendering.found_dict(*each) for each in found.rows], next_cursor=cursor)
    rows = await conversations.page(
        resources_of(request),
        tenant_of(request),
        limit=limit + 1,
        after=position,
        order=order,
        end_user=end_user,
    )
    shown = rows[:limit]
    last = shown[-1] if len(rows) > limit else None
    cursor = conversation_cursor(last["updated_at"], last["id"]) if last else None
    return page_answer(request, [rendering.conversation_head(row) for row in shown], next_cursor=cursor)


@router.get(
    "/conversations/{conversation_id}/",
    summary="Read a conversation",
    responses={
        200: answer(Conversation, "The conversation", headers=ETAG),
        **NOT_MODIFIED,
        **problems("not_found", "invalid_value"),
    },
    openapi_extra={"parameters": [PREFER_PARAMETER]},
)
async def get(
    request: Request,
    conversation_id: ConversationId,
    messages: Annotated[int, Query(ge=0, le=100, description="How many of the newest to show.")] = NEWEST_MESSAGES,
    wait: WaitSeconds = None,
    since: Annotated[int | None, Query(ge=0, le=2**53, description="Wait for a version larger than this.")] = None,
) -> Response:
    """`?wait=` waits until none of its replies is live or, with `&since=`, until its version is larger."""
    waiting = wait_of(request, wait)
    view = await conversations.get(
        resources_of(request),
        tenant_of(request),
        conversation_id,
        newest=messages,
        since=since,
        patience=Patience(waiting.seconds, request.receive),
    )
    return tagged_answer(request, conversation_dict(view), headers=waiting.headers)


@router.get(
    "/conversations/{conversation_id}/events/",
    summary="Listen to a conversation",
    responses=STREAM,
)
async def events(request: Request, conversation_id: ConversationId) -> Response:
    """Everything that happens in it, for as long as you listen. It begins with a snapshot, also when resumed."""
    resources, tenant_id = resources_of(request), tenant_of(request)
    await conversations.require(resources, tenant_id, conversation_id)
    return stream_answer(resources, ConversationStream(resources, tenant_id, conversation_id))


@router.patch(
    "/conversations/{conversation_id}/",
    summary="Change a conversation",
    responses={200: answer(Conversation, "The conversation as it is now"), **problems("not_found", *BODY)},
)
async def change(
    request: Request,
    conversation_id: ConversationId,
    body: Annotated[ChangeConversationBody, Body(openapi_examples=CHANGE_EXAMPLES)],
) -> Response:
    """Fields that are absent stay as they are; null resets."""
    view = await conversations.change(resources_of(request), tenant_of(request), conversation_id, body)
    return json_answer(conversation_dict(view))


@router.delete(
    "/conversations/{conversation_id}/",
    status_code=204,
    summary="Delete a conversation",
    responses={204: {"description": "It is gone"}, **problems("not_found")},
)
async def delete(request: Request, conversation_id: ConversationId) -> Response:
    """Erases its messages and replies; live replies are stopped."""
    await conversations.delete(resources_of(request), tenant_of(request), conversation_id)
    return Response(status_code=204)
