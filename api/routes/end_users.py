"""End users: all that there is of one of them, to hand over or to erase."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import unquote_to_bytes

from fastapi import APIRouter, Path
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from api.answers import json_answer
from api.dependencies import resources_of, tenant_of
from api.json_route import JsonRoute
from api.rendering import erasure_dict
from api.routes.documentation import JSON_LINES, answer, problems
from api.schemas.erasures import Erasure
from api.schemas.requests import MAX_END_USER_CHARS
from api.services import end_users, exports
from shared.errors import NotFound

router = APIRouter(route_class=JsonRoute, tags=["End users"])

_PREFIX = b"/end-users/"
EndUser = Annotated[
    str, Path(description="What your conversations have as `end_user`, percent-encoded: a slash is `%2F`.")
]
ErasureId = Annotated[str, Path(pattern="^erasure_[0-7][0-9a-hjkmnp-tv-z]{25}$", description="The receipt's id.")]


def end_user_of(request: Request, *, prefix: bytes = _PREFIX) -> str:
    """The end user of the path as it was sent: decoded, `a%2F` and `a/` would be one.

    Raises:
        NotFound: no end user can have such an id.
    """
    raw: bytes = request.scope.get("raw_path") or request.scope["path"].encode()
    name = raw.partition(b"?")[0].removeprefix(prefix).removesuffix(b"/")
    if b"/" in name:
        raise NotFound("There is nothing at this address. Write a slash in an end user's id as %2F.")
    try:
        found = unquote_to_bytes(name).decode()
    except UnicodeDecodeError:
        raise NotFound("There is nothing of this end user: an id is UTF-8, percent-encoded.") from None
    if len(found) > MAX_END_USER_CHARS or "\0" in found:
        raise NotFound(f"There is nothing of this end user: an id has up to {MAX_END_USER_CHARS} characters, no NUL.")
    return found


@router.get(
    "/end-users/{end_user:path}/",
    summary="Export all of an end user",
    responses={
        200: {"description": "A line for each thing that there is", "content": {JSON_LINES: {}}},
        **problems("not_found"),
    },
)
async def export(request: Request, end_user: EndUser) -> Response:
    """JSON lines, each `{"type": "conversation" | "message" | "reply" | "attempt" | "delivery", …}`, one conversation
    after another, then `"usage"`: what was used on each day.

    If the database fails meanwhile, the last line says so: `{"type": "error", "code", "detail"}`.
    """
    _ = end_user  # Read below, as it was sent.
    resources, tenant_id, name = resources_of(request), tenant_of(request), end_user_of(request)
    first = await end_users.first(resources, tenant_id, name)
    return StreamingResponse(
        exports.told_to_the_end(exports.end_user_lines(resources, tenant_id, name, first)),
        media_type=JSON_LINES,
        headers={"Content-Disposition": 'attachment; filename="end-user.jsonl"'},
    )


@router.delete(
    "/end-users/{end_user:path}/",
    summary="Erase all of an end user",
    responses={
        200: answer(Erasure, "All is erased: the receipt"),
        202: answer(Erasure, "It goes on: the receipt so far", headers={"Location": "Where the receipt is."}),
        **problems("not_found"),
    },
)
async def erase(request: Request, end_user: EndUser) -> Response:
    """Erases every conversation of the end user with all that hangs on it. Live replies are stopped.

    What was there when it was asked for goes, also if this process dies meanwhile. What the end user begins
    afterwards is new and stays. Asking again while it goes on takes along what came since.
    """
    _ = end_user
    resources, tenant_id = resources_of(request), tenant_of(request)
    row = await end_users.erase(resources, tenant_id, end_user_of(request))
    if row["finished_at"] is not None:
        return json_answer(erasure_dict(row))
    return json_answer(erasure_dict(row), status=202, headers={"Location": f"/erasures/{row['id']}/"})


@router.get(
    "/erasures/{erasure_id}/",
    summary="Read the receipt of an erasure",
    responses={200: answer(Erasure, "The receipt"), **problems("not_found")},
)
async def receipt(request: Request, erasure_id: ErasureId) -> Response:
    """It is kept, and says nothing of whom it was about."""
    return json_answer(erasure_dict(await end_users.receipt(resources_of(request), tenant_of(request), erasure_id)))
