"""Conversations and their items: https://platform.openai.com/docs/api-reference/conversations."""

from __future__ import annotations

from typing import Any, Literal

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.dependencies import IDEMPOTENCY_PARAMETER, key_of, keyed_request, resources_of, tenant_of
from api.json_route import JsonRoute
from api.openai_compat import objects
from api.openai_compat.documentation import PAGE, ConversationName, ItemName, refusals
from api.openai_compat.input_items import read_items
from api.openai_compat.schemas import ChangeConversation, CreateConversation, CreateItems
from api.openai_compat.unsupported import refuse_include
from api.schemas.requests import ChangeConversationBody, CreateConversationBody
from api.services import conversations, messages
from api.services.replies import Patience
from shared.errors import InvalidValue
from shared.ids import is_id
from shared.store.turns import Said

router = APIRouter(route_class=JsonRoute, tags=["OpenAI: conversations"])

MAX_ITEMS = 20

Order = Literal["asc", "desc"]


def _said(items: Any) -> list[Said]:
    if not isinstance(items, list):
        raise InvalidValue("Items should be a list.", pointer="#/items")
    if len(items) > MAX_ITEMS:
        raise InvalidValue(f"At most {MAX_ITEMS} items at a time.", pointer="#/items")
    return read_items(items, pointer="#/items")


@router.post(
    "/v1/conversations",
    summary="Create a conversation",
    responses=refusals(),
    openapi_extra={"parameters": [IDEMPOTENCY_PARAMETER]},
)
async def create(request: Request, body: CreateConversation | None = None) -> Response:
    """Perhaps with items that were said before."""
    body = body or CreateConversation()
    created = await conversations.create(
        resources_of(request),
        tenant_of(request),
        CreateConversationBody(metadata=body.metadata),
        key_id=key_of(request),
        keyed=keyed_request(request),
        patience=Patience(0, request.receive),
        said=_said(body.items) if body.items else (),
    )
    return json_answer(objects.conversation(created.conversation.row))


@router.get("/v1/conversations", summary="List conversations", responses=refusals())
async def list_conversations(
    request: Request, limit: PAGE = 20, order: Order = "desc", after: str | None = None
) -> Response:
    """By the time they were made. It is not OpenAI's."""
    if after is not None and not is_id("conv", after):
        raise InvalidValue("This is not the id of a conversation.", pointer="?after")
    rows = await conversations.page_after(
        resources_of(request), tenant_of(request), limit=limit + 1, after=after, order=order
    )
    shown = [objects.conversation(row) for row in rows[:limit]]
    return json_answer(objects.page(shown, has_more=len(rows) > limit))


@router.get("/v1/conversations/{conversation_id}", summary="Retrieve a conversation", responses=refusals("not_found"))
async def retrieve(request: Request, conversation_id: ConversationName) -> Response:
    """Its metadata. What was said are its items."""
    row = await conversations.head(resources_of(request), tenant_of(request), conversation_id)
    return json_answer(objects.conversation(row))


@router.post("/v1/conversations/{conversation_id}", summary="Update a conversation", responses=refusals("not_found"))
async def update(request: Request, conversation_id: ConversationName, body: ChangeConversation) -> Response:
    """New metadata in place of the old."""
    changed = await conversations.change(
        resources_of(request), tenant_of(request), conversation_id, ChangeConversationBody(metadata=body.metadata)
    )
    return json_answer(objects.conversation(changed.row))


@router.delete("/v1/conversations/{conversation_id}", summary="Delete a conversation", responses=refusals("not_found"))
async def delete(request: Request, conversation_id: ConversationName) -> Response:
    """With all that was said in it."""
    await conversations.delete(resources_of(request), tenant_of(request), conversation_id)
    return json_answer({"id": conversation_id, "object": "conversation.deleted", "deleted": True})


@router.post(
    "/v1/conversations/{conversation_id}/items",
    summary="Add items",
    responses=refusals("not_found"),
    openapi_extra={"parameters": [IDEMPOTENCY_PARAMETER]},
)
async def add_items(
    request: Request,
    conversation_id: ConversationName,
    body: CreateItems,
) -> Response:
    """Messages that ask for nothing. The next response follows from them."""
    refuse_include(request)
    rows = await messages.append(
        resources_of(request),
        tenant_of(request),
        conversation_id,
        said=_said(body.items),
        keyed=keyed_request(request),
    )
    return json_answer(objects.page([objects.item(row) for row in rows], has_more=False))


@router.get("/v1/conversations/{conversation_id}/items", summary="List items", responses=refusals("not_found"))
async def list_items(
    request: Request,
    conversation_id: ConversationName,
    *,
    limit: PAGE = 20,
    order: Order = "desc",
    after: str | None = None,
) -> Response:
    """What was said; of several answers to the same, the one that the conversation goes on from."""
    refuse_include(request)
    if after is not None and not is_id("msg", after):
        raise InvalidValue("This is not the id of an item.", pointer="?after")
    rows = await messages.line(
        resources_of(request), tenant_of(request), conversation_id, limit=limit + 1, after=after, order=order
    )
    shown = [objects.item(row) for row in rows[:limit]]
    return json_answer(objects.page(shown, has_more=len(rows) > limit))


@router.get(
    "/v1/conversations/{conversation_id}/items/{item_id}", summary="Retrieve an item", responses=refusals("not_found")
)
async def retrieve_item(
    request: Request,
    conversation_id: ConversationName,
    item_id: ItemName,
) -> Response:
    """One message."""
    refuse_include(request)
    row = await messages.get(resources_of(request), tenant_of(request), conversation_id, item_id)
    return json_answer(objects.item(row))


@router.delete(
    "/v1/conversations/{conversation_id}/items/{item_id}", summary="Delete an item", responses=refusals("not_found")
)
async def delete_item(request: Request, conversation_id: ConversationName, item_id: ItemName) -> Response:
    """What follows is answered without it. The answer is the conversation."""
    row = await messages.remove(resources_of(request), tenant_of(request), conversation_id, item_id)
    return json_answer(objects.conversation(row))
