"""The pages for people, and the files that they are made of."""

from __future__ import annotations

from collections.abc import Mapping

from fastapi import APIRouter
from starlette.requests import Request
from starlette.responses import Response

from api import page_files
from api.answers import json_answer
from api.json_route import JsonRoute
from api.page_files import ASSETS, PageFile
from shared.errors import NotFound

router = APIRouter(route_class=JsonRoute, tags=["Documentation"])

# A page runs its own scripts and no others, talks to this server alone, and is shown in no other page. What a model
# says can thus neither run nor fetch anything, even if it came past the sanitiser, which alone may make HTML.
_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' data:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
        "require-trusted-types-for 'script'",
        "trusted-types dompurify",
    )
)
_SAFE = {"X-Content-Type-Options": "nosniff", "Referrer-Policy": "no-referrer"}
_PAGE_HEADERS = {
    **_SAFE,
    "Content-Security-Policy": _POLICY,
    "Cross-Origin-Opener-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Cache-Control": "no-cache",
}
_FOR_GOOD = "public, max-age=31536000, immutable"


@router.get("/", include_in_schema=False)
async def root(request: Request) -> Response:
    """The chat page for browsers; for all others where to go."""
    if not _wants_html(request):
        content = {
            "name": request.app.title,
            "version": request.app.version,
            "chat": "open this address in a browser",
            "docs": "/docs",
            "openapi": "/openapi.json",
            "try": 'POST /conversations/?wait=20 with {"message": {"content": "Hello, I am Ada"}}',
        }
        return json_answer(content, headers={"Vary": "Accept"})
    return _page_answer(request, "chat.html", vary="Accept, Accept-Encoding")


@router.get("/ops", include_in_schema=False)
async def operations(request: Request) -> Response:
    """The operations page."""
    return _page_answer(request, "ops.html", vary="Accept-Encoding")


@router.get(ASSETS + "/{version}/{path:path}", include_in_schema=False)
async def asset(request: Request, version: str, path: str) -> Response:
    """A script or a style. While two versions are served side by side, one may be asked for what the other has."""
    found = page_files.assets().get(path)
    if found is None:
        raise NotFound("There is no such file.")
    caching = _FOR_GOOD if version == page_files.version() else "no-cache"
    return _file_answer(request, found, headers={**_SAFE, "Cache-Control": caching}, vary="Accept-Encoding")


def _wants_html(request: Request) -> bool:
    return "text/html" in request.headers.get("accept", "")


def _page_answer(request: Request, name: str, *, vary: str) -> Response:
    return _file_answer(request, page_files.page(name), headers=_PAGE_HEADERS, vary=vary)


def _file_answer(request: Request, file: PageFile, *, headers: Mapping[str, str], vary: str) -> Response:
    """The file, compressed where that is understood, or 304 where the client has it."""
    all_headers = {**headers, "ETag": file.tag, "Vary": vary}
    if file.tag in request.headers.get("if-none-match", ""):
        return Response(status_code=304, headers=all_headers)
    if "gzip" not in request.headers.get("accept-encoding", ""):
        return Response(file.content, 200, all_headers, media_type=file.media_type)
    all_headers["Content-Encoding"] = "gzip"
    return Response(file.compressed, 200, all_headers, media_type=file.media_type)
