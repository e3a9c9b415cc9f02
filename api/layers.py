"""What lies between the server and a route: our own layers, and none of the framework's.

The framework would put nine more around each request, to catch errors and to close files that no route here opens: a
third of the time that an ask takes on the loop (docs/decisions/0022). What it is here for is left to it: the
documentation of the routes, and the beginning and the end of the application.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from typing import NamedTuple

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.routing import BaseRoute, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from api.errors import answer_to


class Application(FastAPI):
    """The framework's application, with its middleware around the routes and nothing else."""

    def build_middleware_stack(self) -> ASGIApp:
        """The layers, the outermost first called."""
        app: ASGIApp = Routes(self.router.routes)
        for layer, arguments, keywords in reversed(self.user_middleware):
            app = layer(app, *arguments, **keywords)
        return app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request, or the application's whole life."""
        if scope["type"] != "http":
            await self.router({**scope, "app": self}, receive, send)
            return
        if self.middleware_stack is None:
            self.middleware_stack = self.build_middleware_stack()
        scope["app"] = self
        await self.middleware_stack(scope, receive, send)


class _Known(NamedTuple):
    """A route, how its address reads, and by which methods it is reached."""

    pattern: re.Pattern[str]
    methods: Collection[str]
    route: Route


class Routes:
    """Hands each request to the first route that is meant, and answers what is meant for none."""

    def __init__(self, routes: Sequence[BaseRoute]) -> None:
        self._known = [
            _Known(route.path_regex, route.methods or (), route) for route in routes if isinstance(route, Route)
        ]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """One request."""
        route = self._find(scope)
        if route is None:
            answer = answer_to(scope, HTTPException(405 if "route" in scope else 404))
            await answer(scope, receive, send)
        else:
            await route.app(scope, receive, send)

    def _find(self, scope: Scope) -> Route | None:
        """Which route is meant, noted in the scope; one that is meant by another method is noted, but not returned."""
        path, method = scope["path"], scope["method"]
        for pattern, methods, route in self._known:
            found = pattern.match(path)
            if found is not None and method in methods:
                scope["route"], scope["path_params"] = route, found.groupdict()
                return route
            if found is not None:
                scope.setdefault("route", route)
        return None
