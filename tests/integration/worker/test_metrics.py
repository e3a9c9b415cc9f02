"""What a worker counts, and its port."""

from __future__ import annotations

from collections.abc import Iterator

import httpx2
import pytest

from cli.ports import free_port
from shared.errors import SettingsError
from shared.reply_status import ReplyStatus
from tests.fixtures.chats import Chats
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.scrape import Scrape
from tests.fixtures.settings import settings_with
from tests.fixtures.workers import running_worker
from worker.metrics_server import MetricsServer

pytestmark = pytest.mark.anyio

TOKEN = "scrape-me-7731"


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def worker(database_url: str, demo: DemoProcess, port: int) -> Iterator[None]:
    with running_worker(database_url, base_url=demo.base_url, worker_metrics_port=port, model="demo-fast", slots=7):
        yield


async def _scrape(port: int) -> Scrape:
    async with httpx2.AsyncClient() as http:
        answer = await http.get(f"http://127.0.0.1:{port}/metrics")
    assert answer.status_code == 200
    return Scrape(answer.text)


@pytest.mark.usefixtures("worker")
async def test_an_answer_and_one_that_needed_a_second_try_and_one_that_failed(chats: Chats, port: int) -> None:
    before = await _scrape(port)
    for model in ("demo-fast", "demo-cut-once", "demo-fail-401"):
        await chats.until_ended(await chats.ask_anew(model=model))

    async def count(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    after = await _scrape(port)
    assert await count("asyncchat_attempts_total", outcome="completed", code="") == 2
    assert await count("asyncchat_attempts_total", outcome="retried", code="upstream_cut_off") == 1
    assert await count("asyncchat_attempts_total", outcome="failed", code="invalid_api_key") == 1
    assert await count("asyncchat_replies_finished_total", status="completed") == 2
    assert await count("asyncchat_replies_finished_total", status="failed", code="invalid_api_key") == 1
    assert await count("asyncchat_queue_wait_seconds_count") == 4
    assert await count("asyncchat_attempt_seconds_count") == 4
    assert await count("asyncchat_first_token_seconds_count", model="demo-fast") == 1
    assert await count("asyncchat_first_token_seconds_count", model="other") >= 1
    assert await count("asyncchat_tokens_total", model="demo-fast", direction="output") > 1
    assert await count("asyncchat_output_tokens_per_second_count", model="demo-fast") == 1
    assert after.value("asyncchat_slots", state="free") == 7


@pytest.mark.usefixtures("worker")
async def test_what_is_being_answered_takes_a_slot(chats: Chats, port: int) -> None:
    reply_id = await chats.ask_anew(model="demo-silent-once")
    await chats.until_status(reply_id, ReplyStatus.IN_PROGRESS)
    after = await _scrape(port)
    assert (after.value("asyncchat_slots", state="used"), after.value("asyncchat_slots", state="free")) == (1, 6)


@pytest.fixture
def guarded(port: int) -> Iterator[str]:
    server = MetricsServer(settings_with(worker_metrics_port=port, metrics_token=TOKEN))
    server.start()
    yield f"http://127.0.0.1:{port}"
    server.stop()


def test_its_port_serves_the_metrics_to_who_has_the_token_and_nothing_else(guarded: str) -> None:
    good = {"Authorization": f"Bearer {TOKEN}"}
    found = httpx2.get(f"{guarded}/metrics", headers=good)
    assert (found.status_code, found.headers["server"]) == (200, "asyncchat")
    bad = {"Authorization": "Bearer x"}
    for path, headers, status in (("/metrics", {}, 401), ("/metrics", bad, 401), ("/", good, 404)):
        refused = httpx2.get(guarded + path, headers=headers)
        assert refused.status_code == status
        assert "asyncchat_" not in refused.text
    assert httpx2.post(f"{guarded}/metrics", headers=good).status_code == 501


def test_a_port_that_is_taken_is_said_in_one_sentence(guarded: str, port: int) -> None:
    del guarded
    sentence = f"cannot serve metrics on 127.0.0.1:{port}: Address already in use; give each worker"
    with pytest.raises(SettingsError, match=sentence):
        MetricsServer(settings_with(worker_metrics_port=port))


def test_without_a_port_there_is_nothing_to_start_or_stop() -> None:
    server = MetricsServer(settings_with())
    server.start()
    server.stop()
