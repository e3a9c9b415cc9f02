"""Errors as OpenAI's SDKs read them: `{"error": {"message", "type", "param", "code"}}`.

The SDKs raise a class of their own for each status, and repeat 408, 409, 429 and 5xx by themselves unless
`x-should-retry` says otherwise: https://github.com/openai/openai-python/blob/main/README.md#handling-errors
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import unquote

import orjson
from starlette.responses import Response

from shared.errors import InvalidValue

PREFIX = "/v1/"
# Of OpenAI's, in the way of ids of ours.
NOT_SUPPORTED = frozenset({"/v1/responses/compact", "/v1/responses/input_tokens"})
# Where the SDKs ask when their base URL lacks the prefix.
WITHOUT_PREFIX = frozenset({"/responses", "/chat/completions", "/completions", "/embeddings"})
_NUMBER = re.compile(r"[0-9]+")
# Our statuses that the SDKs do not know as we mean them. A conflict that lasts must not be tried again.
_STATUS = {409: 400, 415: 400, 422: 400}
_TYPES = {401: "invalid_request_error", 403: "invalid_request_error", 429: "rate_limit_error"}
# A kind of error of its own there, at which nothing is tried again.
QUOTA = "insufficient_quota"
# Asking again would perhaps ask twice.
_MAY_BE_STORED = frozenset({"outcome_unknown", "not_finished"})
# Those of ours, and of pydantic's, that OpenAI has words for.
_OPENAI_CODES = {
    "unauthorized": "invalid_api_key",
    "forbidden": "insufficient_permissions",
    "rate_limited": "rate_limit_exceeded",
    "budget_exceeded": QUOTA,
}
_SENTENCES = {"extra_forbidden": "There is no such parameter.", "missing": "This parameter is missing."}
_CODES = {"extra_forbidden": "unknown_parameter", "missing": "missing_required_parameter"}


class Unsupported(InvalidValue):
    """OpenAI takes this and this server does not; the message says what to do instead."""

    code = "unsupported_parameter"


def speaks_openai(path: str) -> bool:
    """Whether requests to this path are in OpenAI's dialect."""
    return path.startswith(PREFIX) or path == PREFIX[:-1]


def error_answer(
    code: str,
    *,
    status: int,
    message: str,
    errors: Sequence[Mapping[str, str]] = (),
    headers: Mapping[str, str] | None = None,
) -> Response:
    """An error of ours in OpenAI's form. `status` and `errors` are as a problem has them."""
    param = None
    if errors:
        first = errors[0]
        param = _param(first["pointer"])
        detail = _SENTENCES.get(first["code"]) or first["detail"].removeprefix("Value error, ")
        message = f"{param}: {detail}" if param else detail
        code = _CODES.get(first["code"], code)
    code = _OPENAI_CODES.get(code, code)
    shown_status = _STATUS.get(status, status)
    return Response(
        orjson.dumps(error_body(code, status=shown_status, message=message, param=param)),
        shown_status,
        {**(headers or {}), "x-should-retry": "true" if _may_repeat(code, shown_status) else "false"},
        media_type="application/json",
    )


def error_body(code: str, *, status: int, message: str, param: str | None = None) -> dict[str, Any]:
    """The object that the SDKs read."""
    kind = QUOTA if code == QUOTA else _TYPES.get(status, "invalid_request_error" if status < 500 else "server_error")
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}


def _may_repeat(code: str, status: int) -> bool:
    """Whether asking again at once may help and does no harm: nothing was stored."""
    return (status in {408, 429} and code != QUOTA) or (status == 503 and code not in _MAY_BE_STORED)


def _param(pointer: str) -> str | None:
    """The place as OpenAI spells it: `#/input/0/content` is `input[0].content`, and `?limit` is `limit`."""
    parts = unquote(pointer.lstrip("#?")).split("/")
    written = ""
    for part in (part.replace("~1", "/").replace("~0", "~") for part in parts if part):
        if _NUMBER.fullmatch(part):
            written += f"[{part}]"
        else:
            written += f".{part}" if written else part
    return written or None
