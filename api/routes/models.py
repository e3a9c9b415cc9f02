"""Models: the names to choose from."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.dependencies import resources_of
from api.json_route import JsonRoute
from api.routes.documentation import answer, problems
from api.schemas.installation import OfferedModels

router = APIRouter(route_class=JsonRoute, tags=["Models"])


@router.get(
    "/models/",
    summary="List models",
    responses={200: answer(OfferedModels, "The names, the default first"), **problems()},
)
async def list_models(request: Request) -> Response:
    """The models this server offers. Where it names none but its default, any name is passed on."""
    settings = resources_of(request).settings
    data = [{"id": name, "default": name == settings.model} for name in settings.offered_models]
    return json_answer({"data": data, "any_name": not settings.models})
