"""The documentation: interactive, with everything it needs on board, and a page for each error code."""

from __future__ import annotations

from pathlib import Path

from fastapi import APIRouter
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from api.answers import json_answer
from api.json_route import JsonRoute
from api.problems import CATALOGUE
from api.routes.documentation import answer, problems
from api.schemas.problems import ErrorExplanation
from shared.errors import NotFound

router = APIRouter(route_class=JsonRoute, tags=["Documentation"])

OPENAPI_PATH = "/openapi.json"
_FOLDER = Path(__file__).parent.parent / "web" / "swagger"
_MEDIA_TYPES = {
    "swagger-ui-bundle.js": "text/javascript",
    "swagger-ui.css": "text/css",
    "favicon-32x32.png": "image/png",
}


@router.get("/docs", include_in_schema=False)
async def swagger_ui(request: Request) -> Response:
    """Swagger UI, from this server alone."""
    return get_swagger_ui_html(
        openapi_url=OPENAPI_PATH,
        title=request.app.title,
        swagger_js_url="/docs/swagger-ui-bundle.js",
        swagger_css_url="/docs/swagger-ui.css",
        swagger_favicon_url="/docs/favicon-32x32.png",
        # Its badge would ask a foreign host about the document.
        swagger_ui_parameters={"validatorUrl": None, "tryItOutEnabled": True, "displayRequestDuration": True},
    )


@router.get("/docs/{name}", include_in_schema=False)
async def asset(name: str) -> Response:
    """One file of Swagger UI."""
    media_type = _MEDIA_TYPES.get(name)
    if media_type is None:
        raise NotFound("There is no such file.")
    return FileResponse(_FOLDER / name, media_type=media_type, headers={"Cache-Control": "public, max-age=3600"})


@router.get(
    "/errors/{code}",
    summary="Explain an error code",
    responses={200: answer(ErrorExplanation, "Its cause and its cure"), **problems("not_found")},
)
async def explain(code: str) -> Response:
    """What `type` of an error leads to, and what a failed reply's `error.code` means."""
    problem = CATALOGUE.get(code)
    if problem is None:
        raise NotFound("There is no such error code.")
    content = {
        "type": f"/errors/{problem.code}",
        "code": problem.code,
        "status": problem.status,
        "title": problem.title,
        "cause": problem.cause,
        "cure": problem.cure,
    }
    return json_answer(content)
