"""A route whose body is a JSON object, checked with one call of pydantic for the parameters and one for the body.

The framework's own handler solves a tree of dependencies for each request, which costs more than all else here; these
routes have none. What the routes declare is still what the framework documents.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Mapping
from itertools import chain
from typing import Any

from fastapi.exceptions import RequestValidationError
from fastapi.routing import APIRoute
from pydantic import BaseModel, TypeAdapter, ValidationError, create_model
from starlette.requests import Request
from starlette.responses import Response
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import MAX_DETAILS, answer_to
from api.json_body import read_object
from api.mistakes import in_words
from shared.observability import logging as log_lines

_BODY_METHODS = frozenset({"POST", "PUT", "PATCH"})


def body_of(request: Request) -> dict[str, Any] | None:
    """The request's body, parsed and not yet checked, or None if it has none."""
    body: dict[str, Any] | None = request.scope.get("asyncchat.body")
    return body


class JsonRoute(APIRoute):
    """Takes path and query parameters, one body, and the request itself."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        # In place of the framework's, which also keeps files open for the time of the answer.
        self.app = _answering(self.get_route_handler())

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """What answers a request to this route."""
        endpoint, request_name = self.dependant.call, self.dependant.request_param_name
        if endpoint is None or self.dependant.dependencies or self.dependant.header_params:
            raise TypeError(f"{self.path}: a JsonRoute takes no dependencies and no headers")
        parameters = _Parameters(self)
        body = _Body(self)
        ids = [field.name for field in self.dependant.path_params if field.name.endswith("_id")]

        async def handle(request: Request) -> Response:
            values: dict[str, Any] = {}
            mistakes: list[dict[str, Any]] = []
            if body.is_read:
                request.scope["asyncchat.body"] = await read_object(request)
                values |= body.check(body_of(request), mistakes)
            values |= parameters.check(request, mistakes)
            if mistakes:
                raise RequestValidationError(mistakes, body=body_of(request))
            log_lines.add(**{name: request.path_params[name] for name in ids})
            if request_name is not None:
                values[request_name] = request
            answer: Response = await endpoint(**values)
            return answer

        return handle


def _answering(handle: Callable[[Request], Coroutine[Any, Any, Response]]) -> ASGIApp:
    async def answer_request(scope: Scope, receive: Receive, send: Send) -> None:
        try:
            answer = await handle(Request(scope, receive))
        except Exception as error:  # noqa: BLE001  what it does not know it raises again
            answer = answer_to(scope, error)
        await answer(scope, receive, send)

    return answer_request


def _mistakes(error: ValidationError) -> list[Any]:
    return error.errors(include_url=False, include_context=False, include_input=False)


class _Parameters:
    """The path and query parameters of a route, as one model."""

    def __init__(self, route: APIRoute) -> None:
        fields = [*route.dependant.path_params, *route.dependant.query_params]
        self._paths = {field.name for field in route.dependant.path_params}
        definitions: dict[str, Any] = {field.name: (field.field_info.annotation, field.field_info) for field in fields}
        self._validator = (
            TypeAdapter[BaseModel](create_model("Parameters", **definitions)).validator if fields else None
        )

    def check(self, request: Request, mistakes: list[dict[str, Any]]) -> Mapping[str, Any]:
        if self._validator is None:
            return {}
        given: dict[str, Any] = dict(request.query_params) if request.scope["query_string"] else {}
        try:
            checked: BaseModel = self._validator.validate_python(given | request.path_params)
        except ValidationError as error:
            mistakes.extend({**item, "loc": (self._place(item), *item["loc"])} for item in _mistakes(error))
            return {}
        return checked.__dict__

    def _place(self, item: Mapping[str, Any]) -> str:
        return "path" if item["loc"][0] in self._paths else "query"


class _Body:
    """The body of a route, if it has one."""

    def __init__(self, route: APIRoute) -> None:
        self.is_read = bool(_BODY_METHODS & set(route.methods or ()))
        self._name = ""
        if route.body_field is not None:
            self._name = route.body_field.name
            self._is_required = route.body_field.field_info.is_required()
            annotation: Any = route.body_field.field_info.annotation
            self._annotation = annotation
            self._validator = TypeAdapter[Any](annotation).validator

    def check(self, given: dict[str, Any] | None, mistakes: list[dict[str, Any]]) -> Mapping[str, Any]:
        if not self._name:
            return {}
        if given is None:
            if self._is_required:
                mistakes.append({"type": "missing", "loc": ("body",), "msg": "A JSON object is required"})
            return {}
        try:
            return {self._name: self._validator.validate_python(given)}
        except ValidationError as error:
            found = _mistakes(error)
            # There may be a thousand, of which a few are told and the others counted.
            told = (in_words(item, self._annotation) for item in found[:MAX_DETAILS])
            mistakes.extend({**item, "loc": ("body", *item["loc"])} for item in chain(told, found[MAX_DETAILS:]))
            return {}
