"""API keys: for whoever has one with the scope `admin`, the keys of its tenant."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer, page_answer
from api.cursors import id_cursor, read_id_cursor
from api.dependencies import resources_of, tenant_of
from api.json_route import JsonRoute
from api.rendering import key_dict
from api.routes.documentation import BODY, LINK, Limit, answer, problems
from api.schemas.keys import ApiKey, ApiKeyPage, NewApiKey
from api.schemas.requests import CreateKeyBody, RotateKeyBody
from api.services import keys
from shared.store.budgets import Limits

router = APIRouter(route_class=JsonRoute, tags=["Keys"])

KeyId = Annotated[str, Path(pattern="^key_[0-7][0-9a-hjkmnp-tv-z]{25}$", description="The key's id.")]


@router.post(
    "/keys/",
    status_code=201,
    summary="Make a key",
    responses={201: answer(NewApiKey, "The key, with its secret"), **problems(*BODY)},
)
async def create(request: Request, body: Annotated[CreateKeyBody, Body()]) -> Response:
    """`secret` is shown this once, and stored nowhere."""
    made = await keys.create(
        resources_of(request),
        tenant_of(request),
        name=body.name,
        scopes=body.scopes,
        expires_in_seconds=body.expires_in_seconds,
        limits=Limits.of(body.budget_tokens_per_day, body.budget_tokens_per_month),
    )
    return json_answer({**key_dict(made.row), "secret": made.secret}, status=201)


@router.get(
    "/keys/",
    summary="List keys",
    responses={200: answer(ApiKeyPage, "A page", headers=LINK), **problems("invalid_cursor")},
)
async def list_keys(
    request: Request,
    limit: Limit = 20,
    after: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> Response:
    """Newest first, also those that are revoked or have expired."""
    position = read_id_cursor("key", after, parameter="after") if after is not None else None
    rows = await keys.page(resources_of(request), tenant_of(request), limit=limit + 1, after=position)
    shown = rows[:limit]
    cursor = id_cursor("key", shown[-1]["id"]) if len(rows) > limit else None
    return page_answer(request, [key_dict(row) for row in shown], next_cursor=cursor)


@router.get(
    "/keys/{key_id}/", summary="Read a key", responses={200: answer(ApiKey, "The key"), **problems("not_found")}
)
async def get(request: Request, key_id: KeyId) -> Response:
    """Without its secret, which nobody has but who made it."""
    return json_answer(key_dict(await keys.get(resources_of(request), tenant_of(request), key_id)))


@router.delete(
    "/keys/{key_id}/",
    status_code=204,
    summary="Revoke a key",
    responses={204: {"description": "It is no good any more"}, **problems("not_found")},
)
async def revoke(request: Request, key_id: KeyId) -> Response:
    """At once on this gateway, and within two seconds on all others."""
    await keys.revoke(resources_of(request), tenant_of(request), key_id)
    return Response(status_code=204)


@router.post(
    "/keys/{key_id}/rotate/",
    status_code=201,
    summary="Rotate a key",
    responses={201: answer(NewApiKey, "The new key, with its secret"), **problems("not_found", "conflict", *BODY)},
)
async def rotate(request: Request, key_id: KeyId, body: Annotated[RotateKeyBody | None, Body()] = None) -> Response:
    """A new key like this one. The old one is good for `overlap_seconds` more, so that nobody is locked out."""
    made = await keys.rotate(
        resources_of(request),
        tenant_of(request),
        key_id,
        overlap_seconds=(body or RotateKeyBody()).overlap_seconds,
    )
    return json_answer({**key_dict(made.row), "secret": made.secret}, status=201)
