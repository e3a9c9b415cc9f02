"""Alive, and ready."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.dependencies import resources_of
from api.json_route import JsonRoute
from api.routes.documentation import answer
from api.schemas.installation import Health, Readiness
from api.services.health import readiness

router = APIRouter(route_class=JsonRoute, tags=["Health"])


def _word(is_up: bool) -> str:  # noqa: FBT001  One flag, one word.
    return "ok" if is_up else "down"


@router.get("/healthz", summary="Alive?", responses={200: answer(Health, "The process answers")})
async def healthz(_request: Request) -> Response:
    """Looks at nothing else."""
    return json_answer({"status": "ok"})


@router.get(
    "/readyz",
    summary="Ready?",
    responses={
        200: answer(Readiness, "Ready, or degraded: slower without Redis or the publisher, and nothing lost"),
        503: answer(Readiness, "Unready: there is no database to write to"),
    },
)
async def readyz(request: Request) -> Response:
    """Every part is given a second to answer."""
    found = await readiness(resources_of(request))
    sqlite = found.sqlite
    content = {
        "status": found.status,
        "database": _word(found.has_database),
        "sqlite": {"version": sqlite.version, "journal_mode": sqlite.journal_mode} if sqlite else None,
        "redis": _word(found.has_redis),
        "publisher": _word(found.has_publisher),
        "sweeper": {"seconds_since_sweep": round(found.seconds_since_sweep, 1)},
        "workers": found.live_workers,
    }
    return json_answer(content, status=200 if found.has_database else 503)
