"""What Prometheus reads."""

from __future__ import annotations

import asyncio

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.dependencies import resources_of
from api.json_route import JsonRoute
from api.routes.documentation import Documented, problems
from shared.observability import metrics

METRICS_PATH = "/metrics"
_ANSWER: Documented = {
    200: {
        "description": "The metrics of this gateway, in Prometheus's text format",
        "content": {"text/plain": {"schema": {"type": "string"}}},
    },
    **problems("unauthorized", "forbidden"),
}

router = APIRouter(route_class=JsonRoute, tags=["Health"])


@router.get(METRICS_PATH, summary="Metrics", responses=_ANSWER)
async def read(request: Request) -> Response:
    """For the operator, not for tenants: where keys are asked for, it takes the `ASYNCCHAT_METRICS_TOKEN` as Bearer."""
    await resources_of(request).backlog.measure()
    return Response(await asyncio.to_thread(metrics.exposition), media_type=metrics.CONTENT_TYPE)
