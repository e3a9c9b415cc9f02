"""Webhooks: who is told of the ends of replies. For whoever has a key with the scope `admin`."""

from __future__ import annotations

from typing import Annotated, Any

import orjson
from fastapi import APIRouter, Body, Path, Query
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer, page_answer
from api.cursors import id_cursor, read_id_cursor
from api.dependencies import IDEMPOTENCY_PARAMETER, keyed_request, resources_of, tenant_of
from api.json_route import JsonRoute
from api.rendering import Row, delivery_dict, webhook_dict
from api.routes.documentation import BODY, LINK, WEBHOOK_EXAMPLES, Limit, answer, problems
from api.schemas.webhooks import (
    ChangeWebhookBody,
    CreateWebhookBody,
    Delivery,
    DeliveryPage,
    NewWebhook,
    RotateSecretBody,
    SentDelivery,
    Webhook,
    WebhookPage,
)
from api.services import webhooks
from shared.webhooks.delivery_status import DeliveryStatus

router = APIRouter(route_class=JsonRoute, tags=["Webhooks"])

_ULID = "[0-7][0-9a-hjkmnp-tv-z]{25}"
WebhookId = Annotated[str, Path(pattern=f"^webhook_{_ULID}$", description="The webhook's id.")]
DeliveryId = Annotated[str, Path(pattern=f"^delivery_{_ULID}$", description="The delivery's id.")]
_LOCATION = {"Location": "Where it is."}


def _with_secret(row: Row) -> dict[str, Any]:
    return {**webhook_dict(row), "secret": row["secret"]}


def _accepted(row: Row) -> Response:
    return json_answer(delivery_dict(row), status=202, headers={"Location": f"/webhooks/deliveries/{row['id']}/"})


@router.post(
    "/webhooks/",
    status_code=201,
    summary="Make a webhook",
    responses={
        201: answer(NewWebhook, "The webhook, with its secret", headers=_LOCATION),
        **problems(*BODY, "conflict", "idempotency_mismatch"),
    },
    openapi_extra={"parameters": [IDEMPOTENCY_PARAMETER]},
)
async def create(
    request: Request, body: Annotated[CreateWebhookBody, Body(openapi_examples=WEBHOOK_EXAMPLES)]
) -> Response:
    """`secret` is shown here and when it is rotated, and nowhere else."""
    row = await webhooks.create(resources_of(request), tenant_of(request), body, keyed=keyed_request(request))
    return json_answer(_with_secret(row), status=201, headers={"Location": f"/webhooks/{row['id']}/"})


@router.get(
    "/webhooks/",
    summary="List webhooks",
    responses={200: answer(WebhookPage, "A page", headers=LINK), **problems("invalid_cursor")},
)
async def list_webhooks(
    request: Request,
    limit: Limit = 20,
    after: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
) -> Response:
    """Newest first."""
    position = read_id_cursor("webhook", after, parameter="after") if after is not None else None
    rows = await webhooks.page(resources_of(request), tenant_of(request), limit=limit + 1, after=position)
    shown = rows[:limit]
    cursor = id_cursor("webhook", shown[-1]["id"]) if len(rows) > limit else None
    return page_answer(request, [webhook_dict(row) for row in shown], next_cursor=cursor)


@router.get(
    "/webhooks/deliveries/{delivery_id}/",
    summary="Read a delivery",
    responses={200: answer(SentDelivery, "The delivery"), **problems("not_found")},
)
async def get_delivery(request: Request, delivery_id: DeliveryId) -> Response:
    """With the body that is sent."""
    row = await webhooks.get_delivery(resources_of(request), tenant_of(request), delivery_id)
    return json_answer({**delivery_dict(row), "payload": orjson.Fragment(row["payload"])})


@router.post(
    "/webhooks/deliveries/{delivery_id}/redeliver/",
    status_code=202,
    summary="Send a delivery again",
    responses={202: answer(Delivery, "The delivery", headers=_LOCATION), **problems("not_found", "conflict")},
)
async def redeliver(request: Request, delivery_id: DeliveryId) -> Response:
    """At once, under the same id and with all its tries, whatever has become of it before."""
    return _accepted(await webhooks.redeliver(resources_of(request), tenant_of(request), delivery_id))


@router.get(
    "/webhooks/{webhook_id}/",
    summary="Read a webhook",
    responses={200: answer(Webhook, "The webhook"), **problems("not_found")},
)
async def get(request: Request, webhook_id: WebhookId) -> Response:
    """Without its secret."""
    return json_answer(webhook_dict(await webhooks.get(resources_of(request), tenant_of(request), webhook_id)))


@router.patch(
    "/webhooks/{webhook_id}/",
    summary="Change a webhook",
    responses={200: answer(Webhook, "The webhook as it is now"), **problems("not_found", *BODY)},
)
async def change(request: Request, webhook_id: WebhookId, body: Annotated[ChangeWebhookBody, Body()]) -> Response:
    """Switched off, it is told of no new ends; what was to be sent waits, and goes on once it is switched on again."""
    row = await webhooks.change(resources_of(request), tenant_of(request), webhook_id, body)
    return json_answer(webhook_dict(row))


@router.delete(
    "/webhooks/{webhook_id}/",
    status_code=204,
    summary="Delete a webhook",
    responses={204: {"description": "It is gone, with its deliveries"}, **problems("not_found")},
)
async def delete(request: Request, webhook_id: WebhookId) -> Response:
    """With what was and what was to be sent to it."""
    await webhooks.delete(resources_of(request), tenant_of(request), webhook_id)
    return Response(status_code=204)


@router.post(
    "/webhooks/{webhook_id}/rotate-secret/",
    summary="Rotate a webhook's secret",
    responses={200: answer(NewWebhook, "The webhook, with its new secret"), **problems("not_found", *BODY)},
)
async def rotate_secret(
    request: Request, webhook_id: WebhookId, body: Annotated[RotateSecretBody | None, Body()] = None
) -> Response:
    """For `overlap_seconds` deliveries are signed with both, so that the receiver can be changed meanwhile."""
    row = await webhooks.rotate_secret(
        resources_of(request),
        tenant_of(request),
        webhook_id,
        overlap_seconds=(body or RotateSecretBody()).overlap_seconds,
    )
    return json_answer(_with_secret(row))


@router.post(
    "/webhooks/{webhook_id}/test/",
    status_code=202,
    summary="Test a webhook",
    responses={202: answer(Delivery, "The delivery", headers=_LOCATION), **problems("not_found", "conflict")},
)
async def test(request: Request, webhook_id: WebhookId) -> Response:
    """Sends `webhook.test`, once. Read the delivery to see how it went."""
    return _accepted(await webhooks.test(resources_of(request), tenant_of(request), webhook_id))


@router.get(
    "/webhooks/{webhook_id}/deliveries/",
    summary="List a webhook's deliveries",
    responses={200: answer(DeliveryPage, "A page", headers=LINK), **problems("not_found", "invalid_cursor")},
)
async def list_deliveries(
    request: Request,
    webhook_id: WebhookId,
    limit: Limit = 20,
    after: Annotated[str | None, Query(description="`next_cursor` of the page before.")] = None,
    status: Annotated[DeliveryStatus | None, Query(description="Only those that stand so.")] = None,
) -> Response:
    """Newest first, for as long as they are kept."""
    rows = await webhooks.page_of_deliveries(
        resources_of(request),
        tenant_of(request),
        webhook_id,
        limit=limit + 1,
        after=read_id_cursor("delivery", after, parameter="after") if after is not None else None,
        statuses=[status] if status else [],
    )
    shown = rows[:limit]
    cursor = id_cursor("delivery", shown[-1]["id"]) if len(rows) > limit else None
    return page_answer(request, [delivery_dict(row) for row in shown], next_cursor=cursor)
