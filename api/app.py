"""The gateway, wired together."""

from __future__ import annotations

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol, TypeVar

from fastapi import FastAPI
from sqlalchemy.exc import DBAPIError
from starlette.middleware import Middleware
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import BaseRoute

from api.dependencies import Resources
from api.edge import Edge
from api.entry.admission import Admission
from api.entry.auth import Authenticator
from api.entry.gate import Gate
from api.entry.open_requests import OpenRequests
from api.entry.rates import Rates
from api.layers import Application
from api.live.hub import Hub
from api.live.reply_reader import ReplyReader
from api.live.shutdown import told_of_shutdown
from api.live.sse import OpenStreams
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
from api.services.asks import Asks
from api.services.backlog import Backlog
from api.services.operations import OperationsReader
from shared.background import Rounds
from shared.budgets import Budgets
from shared.clock import now_ms
from shared.database.access import Database
from shared.database.engine import open_engine, parse_url, sqlite_path
from shared.database.schema import require_head
from shared.eraser import Eraser
from shared.errors import AsyncChatError, SettingsError
from shared.interpreter import collect_rarely, hand_over_quickly
from shared.liveness.aftermath import Aftermath
from shared.liveness.heartbeat import Heartbeat
from shared.liveness.sweeper import Sweeper
from shared.messaging.doorbell import Doorbell
from shared.messaging.knocking import Knocker
from shared.messaging.notices import Notifier
from shared.messaging.redis_client import connect
from shared.messaging.reply_events import LogBounds
from shared.observability import logging as log_lines
from shared.observability import tracing
from shared.observability.metrics import tell_build
from shared.search_indexer import index_all
from shared.settings import Settings, get_settings
from shared.store import keys as keys_store
from shared.store.takeovers import Caps
from shared.upkeep import Upkeep
from shared.version import version

# In the order in which requests look for their route: the busiest first.
_MODULES = (
    *(turns, replies, candidates, conversations, messages, tokens, export, models, feedback),
    *(openai_responses, openai_conversations, openai_chat, openai_models),
    *(end_users, keys, usage, budgets, webhooks, workers, operations, health, metrics, docs, pages),
)
# How long Redis is waited for at the end.
STOP_SECONDS = 1.0
# How often a gateway does upkeep, and puts what was said into the index.
UPKEEP_SECONDS = 60.0
INDEX_SECONDS = 1.0
# So that a database that is away is not asked, and the log not filled, every second.
INDEX_AFTER_FAILURE_SECONDS = 15.0
EXPOSED_HEADERS = (
    *("Location", "ETag", "Link", "Retry-After", "Preference-Applied", "X-Request-ID"),
    *("X-Should-Retry", "OpenAI-Poll-After-Ms", "RateLimit", "RateLimit-Policy"),
)
CORS_SECONDS = 3600


class _Part(Protocol):
    def start(self) -> None: ...
    async def stop(self) -> None: ...


P = TypeVar("P", bound=_Part)


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
        lifespan=_lifespan,
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


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    async with AsyncExitStack() as stack:
        app.state.resources = resources = await _start(app.state.settings, stack)
        with told_of_shutdown(resources.hub.release):
            yield


async def _start(settings: Settings, stack: AsyncExitStack) -> Resources:
    """Starts everything, each part after what it leans on; the stack stops them in reverse."""
    hand_over_quickly()
    collect_rarely()
    tell_build("api")
    tracing.start(settings, "api")
    stack.callback(tracing.stop)
    database = Database(settings.database_url)
    database.start()
    stack.callback(database.stop)
    redis = connect(settings.client_redis_url)
    stack.push_async_callback(redis.aclose)
    notifier = Notifier(redis, bounds=LogBounds(settings.events_max, settings.events_seconds))
    notifier.start()
    stack.push_async_callback(_stop_soon, notifier.stop)
    knocker = Knocker(notifier, workers=lambda: sweeper.living("worker"))
    doorbell = Doorbell(settings, knock=knocker.knock)
    doorbell.start()
    stack.callback(doorbell.stop)
    hub = _kept_running(Hub(database, settings.client_redis_url), stack)
    heartbeat = Heartbeat(database, "api")
    await heartbeat.start()
    stack.push_async_callback(heartbeat.stop)
    rates = _kept_running(Rates(redis, settings), stack)
    open_requests = _kept_running(OpenRequests(database, settings), stack)
    aftermath = Aftermath(database, redis, notifier, on_queued=doorbell.ring)
    stack.push_async_callback(aftermath.stop)
    caps = Caps(settings.max_tries, settings.max_model_calls, settings.prompt_tokens)
    sweeper = _kept_running(Sweeper(database, heartbeat, caps=caps, on_moved=aftermath.follow), stack)
    eraser = Eraser(
        database,
        redis,
        notifier,
        log_seconds=settings.events_seconds,
        prompt_tokens=settings.prompt_tokens,
        on_gone=hub.wake,
    )
    for rounds in _rounds(database, eraser, settings):
        _kept_running(rounds, stack)
    admission, spending = Admission(database, settings), Budgets()
    return Resources(
        settings,
        database,
        redis,
        notifier,
        doorbell,
        hub,
        ReplyReader(database),
        heartbeat,
        sweeper,
        OpenStreams(settings.max_streams),
        Authenticator(database, settings),
        admission,
        spending,
        Asks(spending, admission),
        rates,
        open_requests,
        eraser,
        Backlog(database),
        OperationsReader(database, deadline_ms=int(1000 * settings.deadline_seconds)),
    )


def _kept_running(part: P, stack: AsyncExitStack) -> P:
    """Starts a part that the stack stops."""
    part.start()
    stack.push_async_callback(part.stop)
    return part


def _rounds(database: Database, eraser: Eraser, settings: Settings) -> tuple[Rounds, ...]:
    upkeep = Upkeep(database, eraser, settings)
    return (
        Rounds("upkeep", upkeep.run, every_seconds=UPKEEP_SECONDS),
        Rounds(
            "indexing",
            lambda: index_all(database),
            every_seconds=INDEX_SECONDS,
            after_failure_seconds=INDEX_AFTER_FAILURE_SECONDS,
        ),
    )


async def _stop_soon(stop: Callable[[], Awaitable[None]]) -> None:
    """Redis may be gone, and nobody should wait for it at the end."""
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(STOP_SECONDS):
            await stop()
