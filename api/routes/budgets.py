"""Budgets: how much may be used in a day and in a month; for keys with the scope `admin`."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Body, Query
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer, page_answer
from api.cursors import budget_cursor, read_budget_cursor
from api.dependencies import resources_of, tenant_of
from api.json_route import JsonRoute
from api.routes.documentation import BODY, LINK, Limit, answer, problems
from api.routes.end_users import EndUser, end_user_of
from api.routes.keys import KeyId
from api.schemas.budgets import Budget, BudgetBody, BudgetPage
from api.services import budgets
from shared.store.budgets import Limits, Spender

router = APIRouter(route_class=JsonRoute, tags=["Usage"])

_END_USERS = b"/budgets/end-users/"
_PUT = {200: answer(Budget, "The budget, and what was used of it"), **problems("not_found", *BODY)}
_GET = {200: answer(Budget, "The budget, and what was used of it"), **problems("not_found")}
_DELETE = {204: {"description": "There is no limit any more"}, **problems("not_found")}
PutBody = Annotated[BudgetBody, Body()]


@router.get(
    "/budgets/",
    summary="List budgets",
    responses={200: answer(BudgetPage, "A page", headers=LINK), **problems("invalid_cursor")},
)
async def list_budgets(
    request: Request,
    limit: Limit = 20,
    after: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> Response:
    """All of the tenant, by kind and id."""
    place = read_budget_cursor(after, parameter="after") if after is not None else None
    found = await budgets.page(resources_of(request), tenant_of(request), limit=limit + 1, after=place)
    shown = found[:limit]
    cursor = budget_cursor(shown[-1]["kind"], shown[-1]["id"] or "") if len(found) > limit else None
    return page_answer(request, shown, next_cursor=cursor)


@router.put("/budgets/tenant/", summary="Set the tenant's budget", responses=_PUT)
async def put_tenant(request: Request, body: PutBody) -> Response:
    """What all keys and end users of the tenant may use together."""
    return await _put(request, Spender.TENANT, "", body)


@router.get("/budgets/tenant/", summary="Read the tenant's budget", responses=_GET)
async def get_tenant(request: Request) -> Response:
    """And what was used of it."""
    return await _get(request, Spender.TENANT, "")


@router.delete("/budgets/tenant/", status_code=204, summary="Lift the tenant's budget", responses=_DELETE)
async def delete_tenant(request: Request) -> Response:
    """Within two seconds everywhere."""
    return await _delete(request, Spender.TENANT, "")


@router.put("/budgets/each-end-user/", summary="Set each end user's budget", responses=_PUT)
async def put_each(request: Request, body: PutBody) -> Response:
    """What every end user may use that has no budget of its own."""
    return await _put(request, Spender.EACH_END_USER, "", body)


@router.get("/budgets/each-end-user/", summary="Read each end user's budget", responses=_GET)
async def get_each(request: Request) -> Response:
    """What was used is told for each by its own address."""
    return await _get(request, Spender.EACH_END_USER, "")


@router.delete("/budgets/each-end-user/", status_code=204, summary="Lift each end user's budget", responses=_DELETE)
async def delete_each(request: Request) -> Response:
    """Those with a budget of their own keep it."""
    return await _delete(request, Spender.EACH_END_USER, "")


@router.put("/budgets/keys/{key_id}/", summary="Set a key's budget", responses=_PUT)
async def put_key(request: Request, key_id: KeyId, body: PutBody) -> Response:
    """What may be used with this API key, and with the browser tokens that it made."""
    return await _put(request, Spender.KEY, key_id, body)


@router.get("/budgets/keys/{key_id}/", summary="Read a key's budget", responses=_GET)
async def get_key(request: Request, key_id: KeyId) -> Response:
    """And what was used of it."""
    return await _get(request, Spender.KEY, key_id)


@router.delete("/budgets/keys/{key_id}/", status_code=204, summary="Lift a key's budget", responses=_DELETE)
async def delete_key(request: Request, key_id: KeyId) -> Response:
    """Within two seconds everywhere."""
    return await _delete(request, Spender.KEY, key_id)


@router.put("/budgets/end-users/{end_user:path}/", summary="Set an end user's budget", responses=_PUT)
async def put_end_user(request: Request, end_user: EndUser, body: PutBody) -> Response:
    """In the place of what each end user may use. The end user need not have said anything yet."""
    _ = end_user  # Read as it was sent.
    return await _put(request, Spender.END_USER, end_user_of(request, prefix=_END_USERS), body)


@router.get("/budgets/end-users/{end_user:path}/", summary="Read an end user's budget", responses=_GET)
async def get_end_user(request: Request, end_user: EndUser) -> Response:
    """Its own or the one that each has, and what was used of it."""
    _ = end_user  # Read as it was sent.
    return await _get(request, Spender.END_USER, end_user_of(request, prefix=_END_USERS))


@router.delete(
    "/budgets/end-users/{end_user:path}/", status_code=204, summary="Lift an end user's budget", responses=_DELETE
)
async def delete_end_user(request: Request, end_user: EndUser) -> Response:
    """From then on it has the one that each end user has, if there is any."""
    _ = end_user  # Read as it was sent.
    return await _delete(request, Spender.END_USER, end_user_of(request, prefix=_END_USERS))


async def _put(request: Request, spender: Spender, subject: str, body: BudgetBody) -> Response:
    limits = Limits(body.tokens_per_day, body.tokens_per_month)
    return json_answer(await budgets.put(resources_of(request), tenant_of(request), spender, subject, limits=limits))


async def _get(request: Request, spender: Spender, subject: str) -> Response:
    return json_answer(await budgets.get(resources_of(request), tenant_of(request), spender, subject))


async def _delete(request: Request, spender: Spender, subject: str) -> Response:
    await budgets.remove(resources_of(request), tenant_of(request), spender, subject)
    return Response(status_code=204)
