"""Errors at the edge: which status each has, and how it is told. Everything goes out as problem+json (RFC 9457)."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import orjson
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import Scope

from api import metrics
from api.openai_compat.errors import NOT_SUPPORTED, WITHOUT_PREFIX, error_answer, speaks_openai
from api.problems import CATALOGUE
from shared.errors import BudgetExceeded, InvalidValue, RequestError, StorageError

log = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
# A body with thousands of mistakes gets the first of them.
MAX_DETAILS = 20
_OF_STATUS = {
    400: "bad_request",
    404: "not_found",
    405: "method_not_allowed",
    408: "request_timeout",
    413: "body_too_large",
    415: "unsupported_media_type",
}
# What Starlette uses while it reads a body whose sender has gone; nobody is there to hear an answer.
CLIENT_CLOSED_REQUEST = 499


class BodyError(HTTPException):
    """The body cannot be taken. `code` says why; `pointer`, if any, where."""

    def __init__(self, code: str, detail: str, *, pointer: str | None = None) -> None:
        status = CATALOGUE[code].status
        super().__init__(status_code=status or 400, detail=detail)
        self.code = code
        self.pointer = pointer


def problem_answer(
    scope: Scope,
    code: str,
    *,
    detail: str,
    errors: Sequence[dict[str, str]] = (),
    headers: dict[str, str] | None = None,
    status: int | None = None,
) -> Response:
    """The answer for one error of the catalogue, in the dialect of the path."""
    problem = CATALOGUE[code]
    status = status or problem.status or 500
    metrics.PROBLEMS(code).inc()
    if speaks_openai(scope.get("path", "")):
        return error_answer(code, status=status, message=detail, errors=errors, headers=headers)
    content = {
        "type": f"/errors/{code}",
        "title": problem.title,
        "status": status,
        "detail": detail,
        "code": code,
        "request_id": scope.get("state", {}).get("request_id"),
        "errors": list(errors),
    }
    return Response(orjson.dumps(content), status, headers, media_type=MEDIA_TYPE)


def detail_of(pointer: str, code: str, detail: str) -> dict[str, str]:
    """One entry of a problem's `errors`."""
    return {"pointer": pointer, "code": code, "detail": detail}


def body_pointer(path: Sequence[Any]) -> str:
    """The place in the body as a JSON Pointer fragment (RFC 6901, section 6): `#/message/content`."""
    parts = [str(part).replace("~", "~0").replace("/", "~1") for part in path]
    return "#" + "".join("/" + quote(part[:100], safe="!$&'()*+,;=:@~") for part in parts)


def answer_to(scope: Scope, error: Exception) -> Response:
    """The answer to an error of this project or of the framework.

    Raises:
        Exception: the error itself, if nobody expects it.
    """
    if isinstance(error, RequestError):
        return _request_error(scope, error)
    if isinstance(error, StorageError):
        return storage_answer(scope, error)
    if isinstance(error, RequestValidationError):
        return _validation_error(scope, error)
    if isinstance(error, HTTPException):
        return _http_error(scope, error)
    raise error


def _request_error(scope: Scope, error: RequestError) -> Response:
    code = error.code if error.code in CATALOGUE else "bad_request"
    errors = [detail_of(error.pointer, code, str(error))] if isinstance(error, InvalidValue) else []
    seconds = error.retry_after_seconds if isinstance(error, BudgetExceeded) else 1
    headers = {"Retry-After": str(seconds)} if CATALOGUE[code].status in (429, 503) else None
    return problem_answer(scope, code, detail=str(error), errors=errors, headers=headers)


def storage_answer(scope: Scope, error: Exception) -> Response:
    """The answer when the database did not take part."""
    log.error("the database did not take part: %s", error)
    code = error.code if isinstance(error, StorageError) else StorageError.code
    problem = CATALOGUE[code]
    detail = f"{problem.cause} {problem.cure}"
    return problem_answer(scope, code, detail=detail, headers={"Retry-After": "1"})


def _validation_error(scope: Scope, error: RequestValidationError) -> Response:
    found = error.errors()
    if any(item["loc"][0] == "path" for item in found):
        return problem_answer(scope, "not_found", detail=CATALOGUE["not_found"].cause)
    errors = [_of_pydantic(item, error.body) for item in found[:MAX_DETAILS]]
    first = errors[0]
    more = f" ({len(found) - 1} more)" if len(found) > 1 else ""
    return problem_answer(scope, "invalid_value", detail=f"{first['pointer']}: {first['detail']}{more}", errors=errors)


def _of_pydantic(item: dict[str, Any], body: Any) -> dict[str, str]:
    place, *path = item["loc"]
    if place == "body":
        pointer = body_pointer(_inside(body, path, is_missing=item["type"] == "missing"))
    elif place == "query":
        pointer = f"?{path[0]}"
    else:
        pointer = str(path[0])
    return detail_of(pointer, item["type"], item["msg"])


def _inside(body: Any, path: Sequence[Any], *, is_missing: bool) -> list[Any]:
    """The part of pydantic's path that is in the body: it also names the branches of its types."""
    found: list[Any] = []
    for part in path:
        try:
            body = body[part]
        except (LookupError, TypeError):
            return [*found, part] if is_missing else found
        found.append(part)
    return found


def _http_error(scope: Scope, error: HTTPException) -> Response:
    if isinstance(error, BodyError):
        errors = [detail_of(error.pointer, error.code, error.detail)] if error.pointer is not None else []
        return problem_answer(scope, error.code, detail=error.detail, errors=errors)
    path = scope["path"]
    if error.status_code == 404 and path in WITHOUT_PREFIX:
        metrics.PROBLEMS("not_found").inc()
        said = "OpenAI's API is under /v1 here: let the base URL end in /v1."
        return error_answer("not_found", status=404, message=said)
    if path in NOT_SUPPORTED or (error.status_code == 404 and speaks_openai(path)):
        problem = CATALOGUE["not_supported"]
        return problem_answer(scope, "not_supported", detail=f"{problem.cause} {problem.cure}")
    if error.status_code == 405:
        allowed = _allowed_methods(scope)
        detail = f"Allowed here: {allowed}."
        return problem_answer(scope, "method_not_allowed", detail=detail, headers={"Allow": allowed})
    code = _OF_STATUS.get(error.status_code, "bad_request" if error.status_code < 500 else "internal_error")
    return problem_answer(scope, code, detail=CATALOGUE[code].cause, status=error.status_code)


def _allowed_methods(scope: Scope) -> str:
    """The methods of all routes at this address; Starlette itself names those of the first."""
    methods: set[str] = set()
    for route in scope["app"].routes:
        if isinstance(route, Route) and route.path_regex.match(scope["path"]):
            methods |= route.methods or set()
    if "GET" in methods:
        methods.add("HEAD")
    return ", ".join(sorted(methods))
