"""Workers and gateways: which there are, whether they live, and what they hold."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.dependencies import resources_of
from api.json_route import JsonRoute
from api.rendering import process_dict
from api.routes.documentation import answer, problems
from api.schemas.installation import WorkerProcesses
from api.services import workers

router = APIRouter(route_class=JsonRoute, tags=["Health"])


@router.get(
    "/workers/",
    summary="List workers and gateways",
    responses={200: answer(WorkerProcesses, "All of the installation"), **problems()},
)
async def list_workers(request: Request) -> Response:
    """Those that have signed on and not off. Takes a key with the scope `admin`."""
    found = await workers.processes(resources_of(request))
    return json_answer({"data": [process_dict(row) for row in found]})
