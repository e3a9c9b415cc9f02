"""Responses: https://platform.openai.com/docs/api-reference/responses."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from fastapi import APIRouter, Query
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.dependencies import (
    IDEMPOTENCY_PARAMETER,
    Resources,
    WaitSeconds,
    key_of,
    keyed_request,
    note_held,
    resources_of,
    tenant_of,
    wait_of,
)
from api.json_route import JsonRoute
from api.openai_compat import objects
from api.openai_compat.asking import place_of, response_asked
from api.openai_compat.documentation import PAGE, ResponseName, answer_or_events, refusals
from api.openai_compat.schemas import CreateResponse
from api.openai_compat.streams import ResponseStream
from api.openai_compat.unsupported import refuse_include
from api.rendering import Row, is_live
from api.routes.streaming import require_room, stream_answer
from api.services import candidates, replies, responses
from api.services.replies import Patience
from shared.errors import CannotCancel, InvalidValue, NotFinished, NotFound
from shared.ids import response_id
from shared.reply_status import ReplyStatus

router = APIRouter(route_class=JsonRoute, tags=["OpenAI: responses"])

# A reply ends by its deadline, plus the seconds that a sweeper takes to see to it.
GRACE_SECONDS = 10.0
# What the SDKs' helpers wait between two looks at a response that is being made.
POLL_AFTER_MS = "1000"


def _reply_id(name: str) -> str:
    reply_id = objects.reply_id_of(name)
    if reply_id is None:
        raise NotFound(f"There is no response with the id {name:.100}.")
    return reply_id


def _answer(row: Row) -> Response:
    headers = {"openai-poll-after-ms": POLL_AFTER_MS} if is_live(row) else {}
    return json_answer(objects.response(row), headers=headers)


@router.post(
    "/v1/responses",
    summary="Create a response",
    responses={**answer_or_events("The response, or its events"), **refusals()},
    openapi_extra={"parameters": [IDEMPOTENCY_PARAMETER]},
)
async def create(request: Request, body: CreateResponse) -> Response:
    """With `background` it is answered at once, with `stream` by its events; else when the response has ended.

    It is made to its end in every case, also if the client goes away meanwhile.
    """
    resources, tenant_id = resources_of(request), tenant_of(request)
    asked = response_asked(body, resources.settings, key_id=key_of(request))
    if body.stream:
        # Before it is accepted: who is refused asks again.
        require_room(resources)
    keyed = keyed_request(request)
    turn = await responses.ask(resources, tenant_id, place_of(body), asked=asked, keyed=keyed)
    row = turn.replies[0]
    if body.stream:
        return stream_answer(resources, ResponseStream(resources, tenant_id, row), has_room=True)
    if body.background:
        return _answer(row)
    note_held(request)
    patience = Patience(asked.deadline_ms / 1000 + GRACE_SECONDS, request.receive)
    return _answer(await _until_ended(resources, tenant_id, row, patience=patience))


async def _until_ended(resources: Resources, tenant_id: str, row: Row, *, patience: Patience) -> Row:
    found = await replies.wait_for_reply(resources, tenant_id, row, patience=patience)
    if is_live(found):
        name = response_id(found["id"])
        raise NotFinished(
            f"There is no answer yet, and this gateway cannot wait longer. The response {name} goes on: retrieve it."
        )
    return found


@router.get(
    "/v1/responses/{response_id}",
    summary="Retrieve a response",
    responses={**answer_or_events("The response, or its events"), **refusals("not_found")},
)
async def retrieve(
    request: Request,
    response_id: ResponseName,
    *,
    stream: bool = False,
    starting_after: Annotated[int | None, Query(ge=-1, description="The number of the last event seen.")] = None,
    include_obfuscation: bool | None = None,
    wait: WaitSeconds = None,
) -> Response:
    """With `stream` its events from the beginning or behind `starting_after`, also if it was created without.

    `?wait=` waits until it has ended; it is not OpenAI's.
    """
    _ = include_obfuscation  # Nothing is padded here.
    refuse_include(request)
    resources, tenant_id = resources_of(request), tenant_of(request)
    reply_id = _reply_id(response_id)
    if starting_after is not None and not stream:
        raise InvalidValue("Only a stream begins somewhere: send `stream=true`, too.", pointer="?starting_after")
    patience = Patience(0 if stream else wait_of(request, wait).seconds, request.receive)
    row = await responses.get(resources, tenant_id, reply_id, patience=patience)
    if not stream:
        return _answer(row)
    after = -1 if starting_after is None else starting_after
    return stream_answer(resources, ResponseStream(resources, tenant_id, row, after=after))


@router.post("/v1/responses/{response_id}/cancel", summary="Cancel a response", responses=refusals("not_found"))
async def cancel(request: Request, response_id: ResponseName) -> Response:
    """Any response that is being made. One made in the background that has ended comes back as it is."""
    resources, tenant_id = resources_of(request), tenant_of(request)
    reply_id = _reply_id(response_id)
    row = await responses.get(resources, tenant_id, reply_id, patience=Patience(0, request.receive))
    if is_live(row):
        row = await candidates.cancel(resources, tenant_id, reply_id, receive=request.receive)
    elif not objects.request_of(row).get("background") and row["status"] != ReplyStatus.CANCELLED:
        raise CannotCancel("Cannot cancel a synchronous response.")
    return _answer(row)


@router.delete("/v1/responses/{response_id}", summary="Delete a response", responses=refusals("not_found"))
async def delete(request: Request, response_id: ResponseName) -> Response:
    """Nobody gets it any more. The last of a chain takes all that was said in it along."""
    await responses.delete(resources_of(request), tenant_of(request), _reply_id(response_id))
    return json_answer({"id": response_id, "object": "response", "deleted": True})


@router.get(
    "/v1/responses/{response_id}/input_items",
    summary="List what was said to get a response",
    responses=refusals("not_found"),
)
async def input_items(
    request: Request,
    response_id: ResponseName,
    *,
    limit: PAGE = 20,
    order: Literal["asc", "desc"] = "desc",
    after: str | None = None,
) -> Response:
    """The messages of its own request."""
    refuse_include(request)
    rows = await responses.inputs(resources_of(request), tenant_of(request), _reply_id(response_id))
    items = [objects.item(row) for row in rows]
    if order == "desc":
        items.reverse()
    return json_answer(_page_after(items, after, limit=limit))


def _page_after(items: list[dict[str, Any]], after: str | None, *, limit: int) -> dict[str, Any]:
    start = 0
    if after is not None:
        places = [number for number, item in enumerate(items) if item["id"] == after]
        if not places:
            raise InvalidValue("There is no such item in this list.", pointer="?after")
        start = places[0] + 1
    return objects.page(items[start : start + limit], has_more=len(items) > start + limit)
