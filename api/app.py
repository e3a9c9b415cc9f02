"""The gateway, wired together."""

from __future__ import annotations

import sys

from fastapi import FastAPI
from sqlalchemy.exc import DBAPIError
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from api.edge import Edge
from api.entry.gate import Gate
from api.layers import Application
from api.lifespan import lifespan
from api.openai_compat.routes import chat as openai_chat
from api.openai_compat.routes import conversations as openai_conversations
from api.openai_compat.routes import models as openai_models
from api.openai_compat.routes import responses as openai_responses
from api.openapi_document import DESCRIPTION, TAGS, openapi_document
from api.routes import (
    budgets,
    candidates,
    conversations,
    docs,
    end_users,
    export,
    feedback,
    health,
    keys,
    messages,
    metrics,
    models,
    operations,
    pages,
    replies,
    tokens,
    turns,
    usage,
    webhooks,
    workers,
)
from shared.clock import now_ms
from shared.database.engine import open_engine, parse_url, sqlite_path
from shared.database.schema import require_head
from shared.errors import AsyncChatError, SettingsError
from shared.observability import logging as log_lines
from shared.settings import Settings, get_settings
from shared.store import keys as keys_store
from shared.version import version

# In the order in which requests look for their route: the busiest first.
_MODULES = (
    *(turns, replies, candidates, conversations, messages, tokens, export, models, feedback),
    *(openai_responses, openai_conversations, openai_chat, openai_models),
    *(end_users, keys, usage, budgets, webhooks, workers, operations, health, metrics, docs, pages),
)
EXPOSED_HEADERS = (
    *("Location", "ETag", "Link", "Retry-After", "Preference-Applied", "X-Request-ID"),
    *("X-Should-Retry", "OpenAI-Poll-After-Ms", "RateLimit", "RateLimit-Policy"),
)
CORS_SECONDS = 3600


def create_app() -> FastAPI:
    """The application, from the settings of the process.

    It is what servers call, which would show a traceback of whatever it raises: where a setting is wrong, or the
    database has not the tables of this version, it says so in one sentence and ends the process.
    """
    try:
        settings = get_settings()
        log_lines.configure(settings)
        _require_tables(settings)
    except AsyncChatError as error:
        sys.exit(f"asyncchat: {error}")
    return application(settings)


def application(settings: Settings) -> FastAPI:
    """The application with these settings; nothing is opened before its lifespan begins."""
    app = Application(
        title="Async Chat API",
        version=version(),
        description=DESCRIPTION,
        # Their routes themselves: what `include_router` makes of them is no route that could be asked.
        routes=_routes(),
        docs_url=None,
        redoc_url=None,
        openapi_url=docs.OPENAPI_PATH,
        redirect_slashes=False,
        middleware=[Middleware(Edge), *_cors(settings), Middleware(Gate, settings=settings)],
        lifespan=lifespan,
        openapi_tags=TAGS,
    )
    app.state.settings = settings
    app.openapi = lambda: openapi_document(app)  # type: ignore[method-assign]  # the way the framework documents
    return app


def _cors(settings: Settings) -> list[Middleware]:
    """For the web pages of other origins that may use the server, if any."""
    if not settings.cors_origins:
        return []
    return [
        Middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=("GET", "POST", "PUT", "PATCH", "DELETE"),
            # OpenAI's SDKs send a dozen of their own.
            allow_headers=("*",),
            expose_headers=EXPOSED_HEADERS,
            max_age=CORS_SECONDS,
        )
    ]


def _routes() -> list[BaseRoute]:
    return [route for module in _MODULES for route in module.router.routes]


def _require_tables(settings: Settings) -> None:
    url = parse_url(settings.database_url)
    path = sqlite_path(url)
    if path is not None and not path.exists():
        raise SettingsError("the database has no tables yet: run `asyncchat migrate` first")
    try:
        with open_engine(url, read_only=True).connect() as connection:
            require_head(connection)
            if not settings.is_open and not keys_store.has_any(connection, now=now_ms()):
                raise SettingsError(
                    "there is no API key yet: make one with `asyncchat keys create`, or set ASYNCCHAT_AUTH=open to let "
                    "whoever reaches the server use it"
                )
    except DBAPIError as error:
        raise SettingsError(f"cannot read the database: {error.orig}") from None
