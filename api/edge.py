"""The edge: what every answer has in common, whatever route or error it comes from.

A request id, one log line, no caching, both slash spellings, HEAD wherever there is GET, and an answer also for what
nobody expected.
"""

from __future__ import annotations

import logging
import random
import re
import time
from contextlib import AbstractContextManager
from typing import Any

from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from api import metrics
from api.errors import CLIENT_CLOSED_REQUEST, problem_answer
from shared.observability import logging as log_lines
from shared.observability import tracing

access_log = logging.getLogger("api.access")
log = logging.getLogger(__name__)

# These are documented with their trailing slash; all others have none. Both spellings answer.
SLASHED = (
    *("/conversations", "/replies", "/models", "/keys", "/webhooks", "/end-users", "/erasures", "/workers"),
    *("/usage", "/budgets", "/operations"),
)
# What follows names a person.
_PERSONAL = (b"/end-users/", b"/budgets/end-users/")
# The server's way of ending an answer before its end, which is no error then.
CUT = "asyncchat.cut"
# Ids are told apart, not kept secret. Unlike the system's source of randomness this one costs no system call, in which
# another thread would take the interpreter.
_random = random.Random()
# Asked for every few seconds, and of interest when it goes wrong.
_TRACE_HEADERS = frozenset({b"traceparent", b"tracestate"})
_QUIET = frozenset({"/healthz", "/readyz", "/metrics"})
_VISIBLE_ASCII = re.compile(rb"[!-~]{1,128}")


class Edge:
    """The outermost layer of ours, as plain ASGI."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, send)
        log_lines.begin(request_id=exchange.request_id)
        # All in one frame: ten thousand that wait would each pay for another.
        with exchange.traced() as span:
            log_lines.add(**tracing.ids())
            try:
                await self._app(exchange.inner, receive, exchange.send)
            except ClientDisconnect:
                if exchange.status is not None:
                    _cut(scope)
                exchange.status = CLIENT_CLOSED_REQUEST
            except Exception:
                log.exception("an unexpected error")
                if exchange.status is not None:
                    raise  # The answer has begun: the server can only cut the connection.
                answer = problem_answer(
                    {"path": scope["path"], "state": {"request_id": exchange.request_id}},
                    "internal_error",
                    detail="An unexpected error. It is in the server's log under this request_id.",
                )
                await answer(scope, receive, exchange.send)
            finally:
                exchange.conclude(span)


def _cut(scope: Scope) -> None:
    """Ends an answer that has begun, where the server knows how; others log an error and do the same."""
    cut_off = scope.get(CUT)
    if cut_off is not None:
        cut_off()


class _Exchange:
    """One request and its answer, while they pass."""

    __slots__ = (
        *("_answered", "_headers", "_is_head", "_method", "_path", "_send", "_started"),
        *("inner", "request_id", "status"),
    )

    def __init__(self, scope: Scope, send: Send) -> None:
        self._started = time.perf_counter()
        self._send = send
        self._method = scope["method"]
        self._is_head = self._method == "HEAD"
        # Still percent-encoded, so that nobody can write lines of their own into the log.
        path = (scope.get("raw_path") or scope["path"].encode()).partition(b"?")[0]
        self._path = next((prefix + b"*/" for prefix in _PERSONAL if path.startswith(prefix)), path)
        self.request_id = _request_id(scope)
        self.status: int | None = None
        self._answered = 0.0
        self._headers = scope["headers"]
        # What the routes see of it, and note in it.
        self.inner = _inner_scope(scope, self.request_id)

    async def send(self, message: Message) -> None:
        """Passes one message on, with the headers that every answer has."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self._answered = time.perf_counter()
            headers = message["headers"]
            headers.append((b"x-request-id", self.request_id.encode()))
            if not any(name == b"cache-control" for name, _ in headers):
                headers.append((b"cache-control", b"private, no-cache"))
        elif self._is_head and message.get("body"):
            message = {**message, "body": b""}
        await self._send(message)

    @property
    def _route(self) -> str:
        """The template of the route that answered."""
        return getattr(self.inner.get("route"), "path", metrics.NO_ROUTE)

    def traced(self) -> AbstractContextManager[tracing.Noted]:
        """A span that is part of the client's trace, if it has one; no span where nobody traces."""
        if not tracing.is_on() or self.inner["path"] in _QUIET:
            return tracing.NO_SPAN
        parent = {name.decode(): value.decode("latin-1") for name, value in self._headers if name in _TRACE_HEADERS}
        attributes = {
            "http.request.method": metrics.method_label(self._method),
            "url.path": self._path.decode("latin-1"),
            "asyncchat.request_id": self.request_id,
        }
        return tracing.span(metrics.method_label(self._method), "server", attributes, parent=parent)

    def _tell_span(self, span: tracing.Noted) -> None:
        """How it was answered, and by which route."""
        attributes: dict[str, str | int] = {"http.route": self._route}
        if self.status is not None:
            attributes["http.response.status_code"] = self.status
        span.note(attributes, name=f"{metrics.method_label(self._method)} {self._route}")
        if self.status is None or self.status >= 500:
            span.fail(str(self.status or "cut_off"))

    def conclude(self, span: tracing.Noted) -> None:
        """Counts it, and writes its line."""
        if span is not tracing.NOTHING:
            self._tell_span(span)
        route = self._route
        method = metrics.method_label(self._method)
        metrics.HTTP_REQUESTS(method, route, self.status).inc()
        if self._answered:
            held = "yes" if self.inner["state"].get("is_held") else "no"
            metrics.HTTP_SECONDS(method, route, held).observe(self._answered - self._started)
        self._write_log_line(logging.DEBUG if route in _QUIET and self.status == 200 else logging.INFO)

    def _write_log_line(self, level: int) -> None:
        """Who asked for what, and how it went; neither body nor query."""
        if access_log.isEnabledFor(level):
            extra: dict[str, Any] = {
                "method": self._method,
                "path": self._path.decode("latin-1"),
                "status": self.status,
                "ms": round((time.perf_counter() - self._started) * 1000, 1),
            }
            access_log.log(level, "request", extra=extra)


def _request_id(scope: Scope) -> str:
    for name, value in scope["headers"]:
        if name == b"x-request-id" and _VISIBLE_ASCII.fullmatch(value):
            return str(value.decode())
    return f"req_{_random.getrandbits(96):024x}"


def _inner_scope(scope: Scope, request_id: str) -> Scope:
    """The request as the routes see it: the server's own dict, since a copy for each would be a kilobyte a waiter."""
    is_head = scope["method"] == "HEAD"
    # The server drops the body by the method that it saw itself. A stream need not even begin.
    inner = {**scope, "method": "GET"} if is_head else scope
    inner["path"] = _documented_spelling(scope["path"])
    inner["state"] = {**scope.get("state", {}), "request_id": request_id, **({"is_head": True} if is_head else {})}
    return inner


def _documented_spelling(path: str) -> str:
    if path.endswith("/"):
        if path == "/" or path.startswith(SLASHED):
            return path
        return path[:-1]
    return path + "/" if path.startswith(SLASHED) else path
