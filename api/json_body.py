"""Reading bodies: JSON of bounded size and shape, or an error that says what is wrong with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from typing import Any

import orjson
from starlette.requests import ClientDisconnect, Request
from starlette.types import Receive

from api.errors import BodyError, body_pointer
from api.headers import first_value

MAX_DEPTH = 32
# No object or list of ours has more; checking the fields of a larger one would only cost time.
MAX_MEMBERS = 1000
BODY_SECONDS = 30.0
# Set in a request's scope by a server that has all of the body already: nothing is to be waited for then.
IS_WHOLE = "asyncchat.is_whole"


async def read_object(request: Request) -> dict[str, Any] | None:
    """The request's JSON object, or None if it has no body.

    Raises:
        BodyError: it is too large, not declared as JSON, not JSON, or no object that any route could take.
        ClientDisconnect: the client has gone.
    """
    body = await _read(request, request.app.state.settings.max_body_bytes)
    if not body:
        return None
    _require_json_type(request)
    return parse_object(body)


async def _read(request: Request, max_bytes: int) -> bytes:
    """The body.

    Raises:
        BodyError: it is too large, or does not arrive.
        ClientDisconnect: the client has gone.
    """
    declared = first_value(request.scope, b"content-length")
    if declared.isdecimal() and (len(declared) > 18 or int(declared) > max_bytes):
        raise _too_large(max_bytes)
    if IS_WHOLE in request.scope:
        return await _collect(request.receive, max_bytes)
    try:
        async with asyncio.timeout(BODY_SECONDS):
            return await _collect(request.receive, max_bytes)
    except TimeoutError:
        raise BodyError("request_timeout", f"The body was not complete within {BODY_SECONDS:g} seconds.") from None


async def _collect(receive: Receive, max_bytes: int) -> bytes:
    """The body's pieces, counted while they come: what was declared need not be true."""
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise ClientDisconnect
        body += message.get("body", b"")
        if len(body) > max_bytes:
            raise _too_large(max_bytes)
        if not message.get("more_body", False):
            return bytes(body)


def _too_large(max_bytes: int) -> BodyError:
    return BodyError("body_too_large", f"The body has more than {max_bytes} bytes.")


def _require_json_type(request: Request) -> None:
    media_type = first_value(request.scope, b"content-type").partition(";")[0].strip().lower()
    main, _, sub = media_type.partition("/")
    if main != "application" or not (sub == "json" or sub.endswith("+json")):
        raise BodyError(
            "unsupported_media_type",
            "The body's Content-Type must be application/json. With curl, use `curl --json`.",
        )
    encoding = first_value(request.scope, b"content-encoding").strip().lower()
    if encoding not in ("", "identity"):
        raise BodyError("unsupported_media_type", "A compressed body is not taken: send it without Content-Encoding.")


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in `body`.

    Raises:
        BodyError: it is not JSON (400), or JSON that no field could take (422).
    """
    try:
        value = orjson.loads(body)
    except orjson.JSONDecodeError as error:
        raise _explain(body, error) from None
    if not isinstance(value, dict):
        raise _not_an_object()
    _require_modest(value)
    if b"\\u0000" in body:
        _refuse_text(value, lambda text: "\0" in text, "A string may not contain the NUL character.")
    return value


def _explain(body: bytes, error: orjson.JSONDecodeError) -> BodyError:
    """Why the fast parser refused it: not JSON, or JSON with something in it that cannot be stored."""
    try:
        value = json.loads(body.decode(), parse_int=lambda _: 0, parse_constant=_refuse_constant)
    except RecursionError:
        return _too_deep()
    except UnicodeDecodeError:
        return BodyError("invalid_json", "The body is not UTF-8.")
    except ValueError:
        return BodyError("invalid_json", f"The body is not JSON: {error}.")
    if not isinstance(value, dict):
        return _not_an_object()
    try:
        _require_modest(value)
        _refuse_text(value, _has_surrogate, "A string may not contain half of a surrogate pair.")
    except BodyError as found:
        return found
    return BodyError("invalid_value", "A number is too large.", pointer="#")


def _not_an_object() -> BodyError:
    return BodyError("invalid_value", "The body must be a JSON object.", pointer="#")


def _refuse_constant(name: str) -> None:
    raise ValueError(f"{name} is not JSON")


def _too_deep() -> BodyError:
    return BodyError("invalid_value", f"The body is nested deeper than {MAX_DEPTH} levels.", pointer="#")


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def _members(value: Any) -> list[tuple[Any, Any]]:
    if isinstance(value, dict):
        return list(value.items())
    return list(enumerate(value)) if isinstance(value, list) else []


def _require_modest(value: Any) -> None:
    """Bounds what later checks have to look at: nothing wide, nothing deep."""
    level = [value]
    for _ in range(MAX_DEPTH):
        for container in level:
            if len(container) > MAX_MEMBERS:
                raise BodyError("invalid_value", f"An object or list has more than {MAX_MEMBERS} members.", pointer="#")
        level = [
            member
            for container in level
            for member in (container.values() if isinstance(container, dict) else container)
            if isinstance(member, dict | list)
        ]
        if not level:
            return
    raise _too_deep()


def _refuse_text(value: Any, is_bad: Callable[[str], bool], sentence: str) -> None:
    """Finds the first string or key that is bad."""
    stack: list[tuple[tuple[Any, ...], Any]] = [((), value)]
    while stack:
        path, item = stack.pop()
        if isinstance(item, str) and is_bad(item):
            raise BodyError("invalid_value", sentence, pointer=body_pointer(path))
        for key, member in reversed(_members(item)):
            if isinstance(key, str) and is_bad(key):
                raise BodyError("invalid_value", sentence, pointer=body_pointer(path))
            stack.append(((*path, key), member))
