"""Answers: a dict becomes JSON bytes, with an ETag where a client may poll, and a Link where there are more pages."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import urlencode

import orjson
from starlette.requests import Request
from starlette.responses import Response

from api.headers import values_of

# Clients that poll something live are asked to do so about once a second.
RETRY_AFTER_SECONDS = "1"


def json_answer(content: Any, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """`content` as JSON."""
    return Response(orjson.dumps(content), status, headers, media_type="application/json")


def tagged_answer(request: Request, content: Any, *, headers: Mapping[str, str] | None = None) -> Response:
    """`content` as JSON with a weak ETag over its bytes, or 304 if the client has just that already."""
    body = orjson.dumps(content)
    tag = hashlib.blake2b(body, digest_size=12).hexdigest()
    all_headers = {"ETag": f'W/"{tag}"', **(headers or {})}
    if _has(values_of(request.scope, b"if-none-match"), tag):
        return Response(status_code=304, headers=all_headers)
    return Response(body, 200, all_headers, media_type="application/json")


def _has(if_none_match: Sequence[str], tag: str) -> bool:
    """Whether the headers name the tag; by weak comparison, as RFC 9110 wants it for If-None-Match."""
    names = [name.strip() for header in if_none_match for name in header.split(",")]
    return "*" in names or any(name.removeprefix("W/") == f'"{tag}"' for name in names)


def page_answer(
    request: Request,
    data: Sequence[Any],
    *,
    next_cursor: str | None,
    cursor_parameter: str = "after",
    more: Mapping[str, Any] | None = None,
) -> Response:
    """One page of a list, with a Link to the next that keeps the query's other parameters. `more` is said beside it."""
    headers = {}
    if next_cursor is not None:
        kept = [(name, value) for name, value in request.query_params.multi_items() if name != cursor_parameter]
        query = urlencode([*kept, (cursor_parameter, next_cursor)])
        headers["Link"] = f'<{request.scope["path"]}?{query}>; rel="next"'
    page = {"data": data, "next_cursor": next_cursor, "has_more": next_cursor is not None}
    return json_answer({**(more or {}), **page}, headers=headers)
