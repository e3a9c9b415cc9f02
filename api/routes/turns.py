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
    keyed_request,
    resources_of,
    tenant_of,
    wait_of,
)
from api.json_route import JsonRoute
from api.routes.documentation import (
    ASK_EXAMPLES,
    BODY,
    ETAG,
    NOT_MODIFIED,
    RETRY,
    ConversationId,
    TurnNumber,
    answer,
    problems,
)
from api.schemas.requests import AskBody
from api.schemas.responses import Turn as TurnAnswer
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
        200: answer(TurnAnswer, "All replies have ended within the wait"),
        **problems("not_found", "busy", *BODY, "idempotency_mismatch"),
    },
    openapi_extra={"parameters": [IDEMPOTENCY_PARAMETER, PREFER_PARAMETER]},
)
async def ask(
    request: Request,
    conversation_id: ConversationId,
    body: Annotated[AskBody, Body(openapi_examples=ASK_EXAMPLES)],
    wait: WaitSeconds = None,
) -> Response:
    """Says something and asks for `n` replies. Once this is answered, nothing is lost any more."""
    waiting = wait_of(request, wait)
    resources, tenant_id = resources_of(request), tenant_of(request)
    turn = await replies.ask(resources, tenant_id, conversation_id, body=body, keyed=keyed_request(request))
    if waiting.seconds > 0:
        patience = Patience(waiting.seconds, request.receive)
        turn = await replies.wait_for_turn(resources, tenant_id, turn, patience=patience)
    return accepted_turn(turn, waiting)


def accepted_turn(turn: Turn, waiting: Wait) -> Response:
    """The answer to whoever asked for something of the turn: 200 if all its replies have ended, else 202."""
    if replies.is_settled(turn):
        return json_answer(_turn_dict(turn), headers=waiting.headers)
    headers = {
        "Location": f"/conversations/{turn.conversation_id}/turns/{turn.turn}/",
        "Retry-After": RETRY_AFTER_SECONDS,
        **waiting.headers,
    }
    return json_answer(_turn_dict(turn), status=202, headers=headers)


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
