"""Models: https://platform.openai.com/docs/api-reference/models."""

from __future__ import annotations

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api.answers import json_answer
from api.dependencies import resources_of
from api.json_route import JsonRoute
from api.openai_compat import objects
from api.openai_compat.documentation import refusals
from shared.errors import NotFound

router = APIRouter(route_class=JsonRoute, tags=["OpenAI: models"])

# When a model was made is not known here, and the SDKs want a number.
UNKNOWN_SECOND = 0


@router.get("/v1/models", summary="List models", responses=refusals())
async def list_models(request: Request) -> Response:
    """The names that this server offers, the default first."""
    names = resources_of(request).settings.offered_models
    return json_answer(objects.page([objects.model(name, created=UNKNOWN_SECOND) for name in names], has_more=False))


@router.get("/v1/models/{name:path}", summary="Retrieve a model", responses=refusals("not_found"))
async def retrieve(request: Request, name: str) -> Response:
    """One of the names."""
    if name not in resources_of(request).settings.offered_models:
        raise NotFound("This server does not offer a model of this name; see GET /v1/models.")
    return json_answer(objects.model(name, created=UNKNOWN_SECOND))
