"""Thumbs up or down for a reply."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.dependencies import bound_conversation_of, resources_of, tenant_of
from api.json_route import JsonRoute
from api.routes.documentation import BODY, FEEDBACK_EXAMPLES, ReplyId, answer, problems
from api.schemas.replies import Reply
from api.schemas.requests import FeedbackBody
from api.services import feedback
from shared.errors import InvalidValue
from shared.reply_body import reply_dict

router = APIRouter(route_class=JsonRoute, tags=["Replies"])


@router.put(
    "/replies/{reply_id}/feedback/",
    summary="Give feedback on a reply",
    responses={200: answer(Reply, "The reply"), **problems("not_found", "not_ended", *BODY)},
)
async def give(
    request: Request, reply_id: ReplyId, body: Annotated[FeedbackBody, Body(openapi_examples=FEEDBACK_EXAMPLES)]
) -> Response:
    """In the place of what was given before. Any reply that has ended takes it; `rating` null takes it back."""
    comment = (body.comment or "").strip() or None
    if comment and body.rating is None:
        raise InvalidValue("A comment goes with a rating.", pointer="#/comment")
    row = await feedback.give(
        resources_of(request),
        tenant_of(request),
        reply_id,
        rating=body.rating,
        comment=comment,
        bound_to=bound_conversation_of(request),
    )
    return json_answer(reply_dict(row))


@router.delete(
    "/replies/{reply_id}/feedback/",
    status_code=204,
    summary="Take feedback back",
    responses={204: {"description": "There is none now"}, **problems("not_found")},
)
async def take_back(request: Request, reply_id: ReplyId) -> Response:
    """Whether there was any or not."""
    await feedback.give(
        resources_of(request),
        tenant_of(request),
        reply_id,
        rating=None,
        comment=None,
        bound_to=bound_conversation_of(request),
    )
    return Response(status_code=204)
