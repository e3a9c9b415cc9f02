"""The textbook service of bench/processes/textbook: an API and a Celery worker, whose clients poll."""

from __future__ import annotations

import asyncio
import time

import httpx2

from bench.asking import QUESTION, Ask
from bench.contenders import FAST_MODEL, SLOTS, Contender, client
from bench.event_reader import Told
from bench.installation import Installation, Served, fresh_database
from cli.child_commands import python_module
from shared.database.engine import parse_url

NAME = "textbook"
# Between two looks at the one reply that is waited for.
LOOK_SECONDS = 0.02
_DRIVERS = {"sqlite": "sqlite+aiosqlite", "postgresql": "postgresql+asyncpg"}


def environment_of(installation: Installation, database_url: str | None) -> dict[str, str]:
    """What both of its processes are given, a new database of its own among it."""
    folder = installation.folder / NAME
    folder.mkdir()
    url = parse_url(installation.stack.enter_context(fresh_database(folder, database_url)))
    return {
        "TEXTBOOK_DATABASE_URL": url.set(drivername=_DRIVERS[url.get_backend_name()]).render_as_string(
            hide_password=False
        ),
        # Beside what this project keeps in the same Redis.
        "TEXTBOOK_BROKER_URL": f"{installation.valkey.redis_url}?virtual_host=1",
        "OPENAI_API_KEY": "none",
    }


async def start_api(installation: Installation, environment: dict[str, str]) -> Served:
    """Its API, once it is ready."""
    return await installation.start_app("textbook.app:app", **environment)


async def contender(
    installation: Installation, base_url: str, http: httpx2.AsyncClient, database_url: str | None
) -> Contender:
    """The API and a worker. `http` is what its clients poll with, and is told where."""
    environment = environment_of(installation, database_url)
    served = await start_api(installation, environment)
    http.base_url = httpx2.URL(served.url)
    command = python_module("celery", "-A", "bench.processes.textbook.tasks", "worker", "-P", "threads")
    worker = installation.start(
        *command, "-c", str(SLOTS), name="textbook-worker", **environment, OPENAI_BASE_URL=base_url
    )

    async def asks(model: str, times: int, poll_seconds: float) -> Ask:
        ids = iter([await _conversation(http) for _ in range(times)])

        async def ask(_tokens: int | None) -> Told:
            began = time.perf_counter()
            text = await _polled(http, await _asked(http, next(ids), model), poll_seconds)
            took_ms = 1000 * (time.perf_counter() - began)
            # The first words come with the last.
            return Told(took_ms, took_ms, text)

        return ask

    async def answers(count: int) -> None:
        async with client(served.url) as many:

            async def ask() -> int:
                return await _asked(many, await _conversation(many), FAST_MODEL)

            for reply_id in await asyncio.gather(*(ask() for _ in range(count))):
                await _polled(many, reply_id, LOOK_SECONDS)

    return Contender(NAME, (served.pid, worker.pid), asks, answers)


async def _conversation(http: httpx2.AsyncClient) -> int:
    return int((await http.post("/conversations/")).raise_for_status().json()["id"])


async def _asked(http: httpx2.AsyncClient, conversation_id: int, model: str) -> int:
    body = {"content": QUESTION, "model": model}
    asked = await http.post(f"/conversations/{conversation_id}/ask-message/", json=body)
    return int(asked.raise_for_status().json()["id"])


async def _polled(http: httpx2.AsyncClient, reply_id: int, seconds: float) -> str:
    while True:
        reply = (await http.get(f"/replies/{reply_id}/")).raise_for_status().json()
        if reply["status"] != "pending":
            return str(reply["content"])
        await asyncio.sleep(seconds)
