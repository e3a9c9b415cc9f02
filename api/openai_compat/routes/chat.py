"""Chat completions: https://platform.openai.com/docs/api-reference/chat."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.dependencies import IDEMPOTENCY_PARAMETER, key_of, keyed_request, note_held, resources_of, tenant_of
from api.json_route import JsonRoute
from api.openai_compat.asking import chat_asked
from api.openai_compat.chat import completion, failure_of
from api.openai_compat.chat_stream import ChatStream
from api.openai_compat.documentation import answer_or_events, refusals
from api.openai_compat.routes.responses import GRACE_SECONDS
from api.openai_compat.schemas import CreateChatCompletion
from api.routes.streaming import require_room, stream_answer
from api.services import replies, responses
from api.services.replies import Patience
from api.services.responses import Place
from shared.errors import NotFinished

router = APIRouter(route_class=JsonRoute, tags=["OpenAI: chat completions"])


@router.post(
    "/v1/chat/completions",
    summary="Create a chat completion",
    responses={**answer_or_events("The completion, or its chunks"), **refusals()},
    openapi_extra={"parameters": [IDEMPOTENCY_PARAMETER]},
)
async def create(request: Request, body: CreateChatCompletion) -> Response:
    """Through the same queue as all else. What was said comes with the request, and is forgotten soon after."""
    resources, tenant_id = resources_of(request), tenant_of(request)
    asked = chat_asked(body, resources.settings, key_id=key_of(request))
    if body.stream:
        # Before it is accepted: who is refused asks again.
        require_room(resources)
    place = Place(is_kept=False, end_user=body.user)
    turn = await responses.ask(resources, tenant_id, place, asked=asked, keyed=keyed_request(request))
    if body.stream:
        has_usage = bool(body.stream_options and body.stream_options.include_usage)
        return stream_answer(resources, ChatStream(resources, tenant_id, turn, has_usage=has_usage), has_room=True)
    note_held(request)
    patience = Patience(asked.deadline_ms / 1000 + GRACE_SECONDS, request.receive)
    turn = await replies.wait_for_turn(resources, tenant_id, turn, patience=patience)
    if not replies.is_settled(turn):
        raise NotFinished(
            "There is no answer yet, and this gateway cannot wait longer. With an Idempotency-Key asking again gets it."
        )
    if failure := failure_of(turn.replies):
        status, content = failure
        # The worker has tried again already where that may help.
        return json_answer(content, status=status, headers={"x-should-retry": "false"})
    return json_answer(completion(turn.replies))
