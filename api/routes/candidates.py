"""What can be done about a reply: stop it, look at its tries, try again, make another, choose it."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.requests import Request
from starlette.responses import Response

from api.answers import RETRY_AFTER_SECONDS, json_answer
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
from api.rendering import attempt_dict, is_live
from api.routes.documentation import (
    BODY,
    REGENERATE_EXAMPLES,
    RETRY,
    RETRY_EXAMPLES,
    ReplyId,
    answer,
    problems,
)
from api.routes.turns import accepted_turn
from api.schemas.conversations import Turn as TurnAnswer
from api.schemas.replies import Attempts, Reply
from api.schemas.requests import RegenerateBody, RetryBody
from api.services import candidates, replies
from api.services.replies import Patience
from shared.reply_body import reply_dict

router = APIRouter(route_class=JsonRoute, tags=["Replies"])


@router.post(
    "/replies/{reply_id}/cancel/",
    summary="Cancel a reply",
    responses={200: answer(Reply, "The reply"), **problems("not_found")},
)
async def cancel(request: Request, reply_id: ReplyId) -> Response:
    """Its text and usage so far stay. One that has ended comes back as it is.

    A reply that a worker has is stopped within a moment; if that takes longer than two seconds, it comes back live
    with `stop_requested`.
    """
    row = await candidates.cancel(resources_of(request), tenant_of(request), reply_id, receive=request.receive)
    return json_answer(reply_dict(row))


@router.post(
    "/replies/{reply_id}/regenerate/",
    status_code=202,
    summary="Regenerate a reply",
    responses={
        202: answer(TurnAnswer, "Accepted; one more candidate is being made", headers=RETRY),
        200: answer(TurnAnswer, "All replies of the turn have ended within the wait"),
        **problems("not_found", "not_last_turn", "too_many_candidates", *BODY, "idempotency_mismatch", "queue_full"),
    },
    openapi_extra={"parameters": [IDEMPOTENCY_PARAMETER, PREFER_PARAMETER]},
)
async def regenerate(
    request: Request,
    reply_id: ReplyId,
    body: Annotated[RegenerateBody | None, Body(openapi_examples=REGENERATE_EXAMPLES)] = None,
    wait: WaitSeconds = None,
) -> Response:
    """One more candidate on the last turn. Once completed, it is the one that the conversation goes on from."""
    waiting = wait_of(request, wait)
    resources, tenant_id = resources_of(request), tenant_of(request)
    turn = await candidates.regenerate(
        resources,
        tenant_id,
        reply_id,
        body=body or RegenerateBody(),
        key_id=key_of(request),
        keyed=keyed_request(request),
    )
    patience = Patience(waiting.seconds, request.receive)
    return accepted_turn(await replies.wait_for_turn(resources, tenant_id, turn, patience=patience), waiting)


@router.post(
    "/replies/{reply_id}/retry/",
    status_code=202,
    summary="Try a reply again",
    responses={
        202: answer(Reply, "Accepted; the reply is queued again", headers={"Location": "Where the reply is.", **RETRY}),
        200: answer(Reply, "It has ended within the wait"),
        **problems("not_found", "not_last_turn", "not_retryable", *BODY, "idempotency_mismatch", "queue_full"),
    },
    openapi_extra={"parameters": [IDEMPOTENCY_PARAMETER, PREFER_PARAMETER]},
)
async def retry(
    request: Request,
    reply_id: ReplyId,
    body: Annotated[RetryBody | None, Body(openapi_examples=RETRY_EXAMPLES)] = None,
    wait: WaitSeconds = None,
) -> Response:
    """A failed or cancelled reply of the last turn is queued again, with all its tries and a new deadline."""
    waiting = wait_of(request, wait)
    resources, tenant_id = resources_of(request), tenant_of(request)
    row = await candidates.retry(
        resources,
        tenant_id,
        reply_id,
        body=body or RetryBody(),
        key_id=key_of(request),
        keyed=keyed_request(request),
    )
    patience = Patience(waiting.seconds, request.receive)
    row = await replies.wait_for_reply(resources, tenant_id, row, patience=patience)
    if not is_live(row):
        return json_answer(reply_dict(row), headers=waiting.headers)
    headers = {"Location": f"/replies/{reply_id}/", "Retry-After": RETRY_AFTER_SECONDS, **waiting.headers}
    return json_answer(reply_dict(row), status=202, headers=headers)


@router.post(
    "/replies/{reply_id}/select/",
    summary="Select a reply",
    responses={200: answer(Reply, "The reply"), **problems("not_found", "not_last_turn", "not_selectable")},
)
async def select(request: Request, reply_id: ReplyId) -> Response:
    """The conversation goes on from this candidate of its last turn."""
    return json_answer(reply_dict(await candidates.select(resources_of(request), tenant_of(request), reply_id)))


@router.get(
    "/replies/{reply_id}/attempts/",
    summary="List a reply's attempts",
    responses={200: answer(Attempts, "All of them, the first one first"), **problems("not_found")},
)
async def attempts(request: Request, reply_id: ReplyId) -> Response:
    """Each try: when it began and ended, what became of it, and what it cost."""
    rows = await candidates.attempts_of(resources_of(request), tenant_of(request), reply_id)
    return json_answer({"data": [attempt_dict(row) for row in rows]})
