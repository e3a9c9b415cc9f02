"""Turns: asking, and reading what was asked."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Body
from starlette.requests import Request
from starlette.responses import Response

from api import rendering
from api.answers import RETRY_AFTER_SECONDS, json_answer, tagged_answer
from api.dependencies import (
    IDEMPOTENCY_PARAMETER,
    PREFER_PARAMETER,
    Wait,
    WaitSeconds,
    key_of,
    keyed_request,
    resources_of,
    tenant_of,
    wait_of,
)
from api.json_route import JsonRoute
from api.live.streams import TurnStream
from api.routes.documentation import (
    ASK_EXAMPLES,
    BODY,
    ETAG,
    EVENTS,
    NOT_MODIFIED,
    RETRY,
    ConversationId,
    TurnNumber,
    answer,
    problems,
)
from api.routes.streaming import (
    LAST_EVENT_PARAMETER,
    STREAM,
    AfterEvent,
    require_room,
    stream_answer,
    turn_cursors_of,
    wants_events,
)
from api.schemas.conversations import Turn as TurnAnswer
from api.schemas.requests import AskBody
from api.services import replies
from api.services.replies import Patience
from shared.store.turns import Turn

router = APIRouter(route_class=JsonRoute, tags=["Turns"])


def _turn_dict(turn: Turn) -> dict[str, Any]:
    return rendering.turn_dict(turn.conversation_id, turn.turn, message=turn.message, replies=turn.replies)


@router.post(
    "/conversations/{conversation_id}/ask-message/",
    status_code=202,
    summary="Ask",
    responses={
        202: answer(
            TurnAnswer, "Accepted; the replies are being made", headers={"Location": "Where the turn is.", **RETRY}
        ),
        200: answer(TurnAnswer, "All replies have ended within the wait; or the turn's events") | {"content": EVENTS},
        **problems("not_found", "busy", *BODY, "idempotency_mismatch", "queue_full"),
    },
    openapi_extra={"parameters": [IDEMPOTENCY_PARAMETER, PREFER_PARAMETER]},
)
async def ask(
    request: Request,
    conversation_id: ConversationId,
    body: Annotated[AskBody, Body(openapi_examples=ASK_EXAMPLES)],
    wait: WaitSeconds = None,
) -> Response:
    """Says something and asks for `n` replies. Once this is answered, nothing is lost any more.

    With `Accept: text/event-stream` the turn's events are the answer; the same request with its Idempotency-Key and
    `Last-Event-ID` resumes them.
    """
    waiting = wait_of(request, wait)
    resources, tenant_id = resources_of(request), tenant_of(request)
    cursors = turn_cursors_of(request, None) if wants_events(request) else None
    if cursors is not None:
        # Before it is accepted: who is refused asks again.
        require_room(resources)
    turn = await replies.ask(
        resources, tenant_id, conversation_id, body=body, key_id=key_of(request), keyed=keyed_request(request)
    )
    if cursors is not None:
        location = {"Location": turn_path(turn)}
        stream = TurnStream(resources, tenant_id, turn, cursors=cursors)
        return stream_answer(resources, stream, headers=location, has_room=True)
    if waiting.seconds > 0:
        patience = Patience(waiting.seconds, request.receive)
        turn = await replies.wait_for_turn(resources, tenant_id, turn, patience=patience)
    return accepted_turn(turn, waiting)


def turn_path(turn: Turn) -> str:
    """Where the turn is."""
    return f"/conversations/{turn.conversation_id}/turns/{turn.turn}/"


def accepted_turn(turn: Turn, waiting: Wait) -> Response:
    """The answer to whoever asked for something of the turn: 200 if all its replies have ended, else 202."""
    if replies.is_settled(turn):
        return json_answer(_turn_dict(turn), headers=waiting.headers)
    headers = {
        "Location": turn_path(turn),
        "Retry-After": RETRY_AFTER_SECONDS,
        **waiting.headers,
    }
    return json_answer(_turn_dict(turn), status=202, headers=headers)


@router.get(
    "/conversations/{conversation_id}/turns/{turn}/events/",
    summary="Listen to a turn",
    responses=STREAM,
    openapi_extra={"parameters": [LAST_EVENT_PARAMETER]},
)
async def events(
    request: Request, conversation_id: ConversationId, turn: TurnNumber, after: AfterEvent = None
) -> Response:
    """Its message, and what happens to its replies, until all have ended. Every event's id resumes where it was."""
    resources, tenant_id = resources_of(request), tenant_of(request)
    cursors = turn_cursors_of(request, after)
    found = await replies.get_turn(
        resources, tenant_id, conversation_id, number=turn, patience=Patience(0, request.receive)
    )
    return stream_answer(resources, TurnStream(resources, tenant_id, found, cursors=cursors))


@router.get(
    "/conversations/{conversation_id}/turns/{turn}/",
    summary="Read a turn",
    responses={
        200: answer(TurnAnswer, "The turn", headers={**ETAG, **RETRY}),
        **NOT_MODIFIED,
        **problems("not_found", "invalid_value"),
    },
    openapi_extra={"parameters": [PREFER_PARAMETER]},
)
async def get(
    request: Request, conversation_id: ConversationId, turn: TurnNumber, wait: WaitSeconds = None
) -> Response:
    """`?wait=` waits until all its replies have ended."""
    waiting = wait_of(request, wait)
    found = await replies.get_turn(
        resources_of(request),
        tenant_of(request),
        conversation_id,
        number=turn,
        patience=Patience(waiting.seconds, request.receive),
    )
    headers = dict(waiting.headers)
    if not replies.is_settled(found):
        headers["Retry-After"] = RETRY_AFTER_SECONDS
    return tagged_answer(request, _turn_dict(found), headers=headers)
