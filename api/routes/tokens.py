"""Tokens with which a browser uses one conversation, so that no key has to be there."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.dependencies import identity_of, resources_of
from api.json_route import JsonRoute
from api.routes.documentation import BODY, ConversationId, answer, problems
from api.schemas.keys import NewConversationToken
from api.schemas.requests import CreateTokenBody
from api.services import conversations
from shared.clock import now_ms
from shared.conversation_tokens import ConversationToken
from shared.reply_body import instant

router = APIRouter(route_class=JsonRoute, tags=["Conversations"])


@router.post(
    "/conversations/{conversation_id}/tokens/",
    status_code=201,
    summary="Make a token for a browser",
    responses={201: answer(NewConversationToken, "The token"), **problems("not_found", *BODY)},
)
async def create(
    request: Request, conversation_id: ConversationId, body: Annotated[CreateTokenBody | None, Body()] = None
) -> Response:
    """Good for asking, reading and listening in this conversation, as `Authorization: Bearer`.

    It may no more than the key that made it, and is good no longer.

    On `/events/` it may come as `?access_token=`, since a browser's EventSource sends no headers.
    """
    resources, identity = resources_of(request), identity_of(request)
    await conversations.require(resources, identity.tenant_id, conversation_id)
    expires_at = now_ms() + int(1000 * (body or CreateTokenBody()).expires_in_seconds)
    token = ConversationToken(identity.tenant_id, conversation_id, expires_at, identity.key_id)
    signed = await resources.authenticator.sign(token)
    return json_answer({"token": signed, "expires_at": instant(expires_at)}, status=201)
