"""What a gateway process runs on, from its start to its end."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Protocol, TypeVar

from fastapi import FastAPI
from redis.asyncio import Redis

from api.dependencies import Resources
from api.entry.admission import Admission
from api.entry.auth import Authenticator
from api.entry.open_requests import OpenRequests
from api.entry.rates import Rates
from api.live.hub import Hub
from api.live.reply_reader import ReplyReader
from api.live.shutdown import told_of_shutdown
from api.live.sse import OpenStreams
from api.services.asks import Asks
from api.services.backlog import Backlog
from api.services.operations import OperationsReader
from shared.background import Rounds
from shared.budgets import Budgets
from shared.database.access import Database
from shared.eraser import Eraser
from shared.interpreter import collect_rarely, hand_over_quickly
from shared.liveness.aftermath import Aftermath
from shared.liveness.heartbeat import Heartbeat
from shared.liveness.sweeper import Sweeper
from shared.messaging.doorbell import Doorbell
from shared.messaging.knocking import Knocker
from shared.messaging.notices import Notifier
from shared.messaging.redis_client import connect
from shared.messaging.reply_events import LogBounds
from shared.observability import tracing
from shared.observability.metrics import tell_build
from shared.search_indexer import index_all
from shared.settings import Settings
from shared.store.takeovers import Caps
from shared.upkeep import Upkeep
from shared.version import version

log = logging.getLogger(__name__)

# How long Redis is waited for at the end.
STOP_SECONDS = 1.0
# How often a gateway does upkeep, and puts what was said into the index.
UPKEEP_SECONDS = 60.0
INDEX_SECONDS = 1.0
# So that a database that is away is not asked, and the log not filled, every second.
INDEX_AFTER_FAILURE_SECONDS = 15.0


class _Part(Protocol):
    def start(self) -> None: ...
    async def stop(self) -> None: ...


class _Service(Protocol):
    def start(self) -> None: ...
    def stop(self) -> None: ...


P = TypeVar("P", bound=_Part)
S = TypeVar("S", bound=_Service)


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """From the first request to the last everything runs that the gateway stands on."""
    async with AsyncExitStack() as stack:
        settings: Settings = app.state.settings
        app.state.resources = resources = await _start(settings, stack)
        log.info("started", extra={"version": version(), "auth": "open" if settings.is_open else "keys"})
        with told_of_shutdown(resources.hub.release):
            yield


async def _start(settings: Settings, stack: AsyncExitStack) -> Resources:
    """Starts everything, each part after what it leans on; the stack stops them in reverse."""
    _prepare_process(settings, stack)
    database = _kept_open(Database(settings.database_url), stack)
    redis, notifier = _speaking(settings, stack)
    knocker = Knocker(notifier, workers=lambda: sweeper.living("worker"))
    doorbell = _kept_open(Doorbell(settings, knock=knocker.knock), stack)
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
    log_seconds, prompt_tokens = settings.events_seconds, settings.prompt_tokens
    eraser = Eraser(database, redis, notifier, log_seconds=log_seconds, prompt_tokens=prompt_tokens, on_gone=hub.wake)
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


def _prepare_process(settings: Settings, stack: AsyncExitStack) -> None:
    """What holds for the interpreter, and what is told of the process."""
    hand_over_quickly()
    collect_rarely()
    tell_build("api")
    tracing.start(settings, "api")
    stack.callback(tracing.stop)


def _speaking(settings: Settings, stack: AsyncExitStack) -> tuple[Redis, Notifier]:
    """A connection to Redis, and what is told through it."""
    redis = connect(settings.client_redis_url)
    stack.push_async_callback(redis.aclose)
    notifier = Notifier(redis, bounds=LogBounds(settings.events_max, settings.events_seconds))
    notifier.start()
    stack.push_async_callback(_stop_soon, notifier.stop)
    return redis, notifier


def _kept_open(part: S, stack: AsyncExitStack) -> S:
    """Starts a part with a thread of its own, which the stack stops."""
    part.start()
    stack.callback(part.stop)
    return part


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
