"""`celery -A worker.app worker -P threads` as a person or a container runs it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis

from shared.database.access import Database
from shared.messaging.doorbell import QUEUE, Doorbell
from shared.reply_status import ReplyStatus
from shared.store import workers
from tests.fixtures.celery_worker import CeleryWorker
from tests.fixtures.chats import Chats
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.settings import settings_with
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until

pytestmark = pytest.mark.anyio

# Nobody says this by chance.
CANARY = "xylophone-mango-7731"

StartWorker = Callable[..., CeleryWorker]


@pytest.fixture(scope="module")
def demo() -> Iterator[DemoProcess]:
    with DemoProcess.started() as process:
        yield process


@pytest.fixture
def chats(database: Database) -> Chats:
    return Chats(database)


@pytest.fixture
def start_worker(database_url: str, valkey: Valkey, demo: DemoProcess, tmp_path: Path) -> Iterator[StartWorker]:
    """Starts a worker that has all it needs, but for what a test gives by name or takes away with None."""
    started: list[CeleryWorker] = []

    def start(*, pool: str = "threads", **environment: str | None) -> CeleryWorker:
        needed = {"DATABASE_URL": database_url, "REDIS_URL": valkey.url, "OPENAI_BASE_URL": demo.base_url}
        chosen = {name: value for name, value in {**needed, **environment}.items() if value is not None}
        worker = CeleryWorker(tmp_path, environment=chosen, pool=pool)
        started.append(worker)
        return worker

    yield start
    for worker in started:
        worker.close()


async def test_a_bell_is_taken_and_its_reply_answered(chats: Chats, valkey: Valkey, start_worker: StartWorker) -> None:
    doorbell = Doorbell(settings_with(redis_url=valkey.url))
    doorbell.start()
    reply_id = await chats.ask_anew("Hello, I am Ada", model="demo-fast")
    doorbell.ring([reply_id])
    start_worker()
    reply = await chats.until_status(reply_id, ReplyStatus.COMPLETED)
    assert reply["content"].startswith("Hello Ada")
    async with Redis.from_url(valkey.client_url) as redis:

        async def is_taken() -> bool:
            return await redis.llen(QUEUE) == 0

        await until(is_taken)
    doorbell.stop()


async def test_sigterm_lets_what_runs_finish_and_exits_with_0(chats: Chats, start_worker: StartWorker) -> None:
    reply_id = await chats.ask_anew(model="demo-3000ms")
    worker = start_worker()
    await chats.until_status(reply_id, ReplyStatus.IN_PROGRESS)
    assert worker.terminate() == 0
    reply = await chats.reply(reply_id)
    assert (reply["status"], reply["attempt"]) == (ReplyStatus.COMPLETED, 1)
    assert "Traceback" not in worker.said


async def test_sigterm_hands_back_what_does_not_finish_and_exits_with_0(
    chats: Chats, start_worker: StartWorker
) -> None:
    reply_id = await chats.ask_anew(model="demo-silent-once")
    worker = start_worker(ASYNCCHAT_DRAIN_SECONDS="0")
    await chats.until_status(reply_id, ReplyStatus.IN_PROGRESS)
    assert worker.terminate() == 0
    assert (await chats.reply(reply_id))["status"] == ReplyStatus.QUEUED
    assert "Traceback" not in worker.said


async def test_sigterm_at_rest_exits_with_0_and_signs_off(
    database: Database, chats: Chats, start_worker: StartWorker
) -> None:
    worker = start_worker()
    await chats.until_ended(await chats.ask_anew(model="demo-fast"))
    assert worker.terminate() == 0
    assert await database.read(workers.count, "worker") == 0


@pytest.mark.parametrize("pool", ["prefork", "solo"])
def test_any_pool_but_threads_is_refused(pool: str, start_worker: StartWorker) -> None:
    worker = start_worker(pool=pool)
    assert worker.wait() == 1
    assert worker.said == (
        "asyncchat worker: start the worker with the threads pool: celery -A worker.app worker -P threads\n"
    )


def test_a_worker_that_cannot_start_ends_whatever_the_reason(start_worker: StartWorker) -> None:
    """Celery alone would go on, and claim nothing."""
    worker = start_worker(OTEL_EXPORTER_OTLP_ENDPOINT="http://127.0.0.1:9", OTEL_BSP_MAX_QUEUE_SIZE="-1")
    assert worker.wait() == 1
    assert "the worker could not start" in worker.said


@pytest.mark.parametrize(
    ("variable", "value", "words"),
    [
        ("OPENAI_BASE_URL", None, "no model is configured: set OPENAI_API_KEY"),
        ("OPENAI_BASE_URL", "ftp://somewhere", "OPENAI_BASE_URL: must start with http:// or https://"),
        ("REDIS_URL", "amqp://somewhere", "REDIS_URL: must start with redis://"),
        ("DATABASE_URL", "oracle://somewhere", "DATABASE_URL"),
        ("DATABASE_URL", "sqlite:////proc/nothing/asyncchat.db", "/proc/nothing"),
        ("ASYNCCHAT_MODELS_FILE", "nowhere.toml", "cannot read the models file"),
        ("ASYNCCHAT_SLOTS", "many", "ASYNCCHAT_SLOTS"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(
    variable: str, value: str | None, words: str, start_worker: StartWorker
) -> None:
    worker = start_worker(**{variable: value})
    assert worker.wait() == 1
    (line,) = worker.said.splitlines()
    assert line.startswith("asyncchat worker: ")
    assert words in line


def test_a_database_without_tables_is_said_in_one_sentence(empty_database_url: str, start_worker: StartWorker) -> None:
    worker = start_worker(DATABASE_URL=empty_database_url)
    assert worker.wait() == 1
    assert worker.said == "asyncchat worker: the database has no tables yet: run `asyncchat migrate` first\n"


async def test_the_log_holds_nothing_that_people_or_models_say(chats: Chats, start_worker: StartWorker) -> None:
    """Also where an answer fails, is cut off, is quoted by nobody, or cannot be stored."""
    conversation = await chats.start(instructions=f"Say {CANARY}.")
    models = ("demo-echo", "demo-transcript", "demo-cut", "demo-malformed", "demo-error-event", "demo-fail-context")
    asked = [await chats.ask(conversation, f"Hello, I am {CANARY}", model=model) for model in models]
    worker = start_worker(ASYNCCHAT_LOG_LEVEL="debug")
    for (reply_id,) in asked:
        await chats.until_ended(reply_id)
    assert worker.terminate() == 0
    assert "attempt ended" in worker.said
    assert CANARY not in worker.said


async def test_a_key_is_in_no_log(chats: Chats, start_worker: StartWorker) -> None:
    worker = start_worker(OPENAI_API_KEY=f"sk-{CANARY}", ASYNCCHAT_LOG_LEVEL="debug")
    for reply_id in [await chats.ask_anew(model=model) for model in ("demo-fail-401", "demo-fail-500", "demo-reset")]:
        await chats.until_ended(reply_id)
    assert worker.terminate() == 0
    assert CANARY not in worker.said
