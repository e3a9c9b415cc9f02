"""A worker with a models file: who is asked if an upstream fails, how many at once, and how long it is left alone."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import RowMapping

from shared.reply_status import ReplyError, ReplyStatus
from tests.fixtures.chats import Chats
from tests.fixtures.demo_counts import requests_of
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.fault_proxy import FaultProxy, fault_proxy
from tests.fixtures.waiting import until
from tests.fixtures.workers import BELL, running_worker
from worker import breaker, slots
from worker.breaker import FAILURES_TO_OPEN
from worker.process import WorkerProcess

pytestmark = pytest.mark.anyio

# No test lasts as long: what is tried again within it was not made to wait.
LONG_SECONDS = 600.0

StartWorker = Callable[..., AbstractContextManager[WorkerProcess]]


@pytest.fixture(scope="module")
def other() -> Iterator[DemoProcess]:
    with DemoProcess.started() as process:
        yield process


@pytest.fixture
def proxy(demo: DemoProcess) -> Iterator[FaultProxy]:
    """The way to the demo model."""
    with fault_proxy(("127.0.0.1", demo.port)) as proxy:
        yield proxy


@pytest.fixture
def worker(database_url: str, tmp_path: Path) -> StartWorker:
    """Starts a worker with the models of a file."""

    def start(text: str, **settings: Any) -> AbstractContextManager[WorkerProcess]:
        path = tmp_path / "models.toml"
        path.write_text(text)
        return running_worker(database_url, base_url="http://127.0.0.1:1/v1", models_file=str(path), **settings)

    return start


def upstream(name: str, port: int, *more: str) -> str:
    return "\n".join([f"[upstreams.{name}]", f'base_url = "http://127.0.0.1:{port}/v1"', *more, ""])


def model(name: str, at: str, there: str, *fallbacks: str, more: str = "") -> str:
    return f'[models.{name}]\nupstream = "{at}"\nmodel = "{there}"\nfallbacks = {list(fallbacks)}\n{more}\n'


def asked(attempts: Sequence[RowMapping]) -> list[tuple[str | None, str | None, str | None]]:
    """Whom each attempt asked, and why it gave nothing."""
    return [(each["upstream"], each["upstream_model"], each["error_code"]) for each in attempts]


async def answered(process: WorkerProcess, chats: Chats, *, model: str) -> Sequence[RowMapping]:
    """The attempts at a reply, once it is completed."""
    reply_id = await chats.ask_anew(model=model)
    await asyncio.to_thread(process.answer, BELL)
    await chats.until_status(reply_id, ReplyStatus.COMPLETED)
    return await chats.attempts(reply_id)


def most_at_once(attempts: Sequence[RowMapping]) -> int:
    """The largest number of attempts that ran at one moment; one that begins as another ends is not beside it."""
    moments = [(attempt["ended_at"], -1) for attempt in attempts] + [(attempt["started_at"], 1) for attempt in attempts]
    return max(itertools.accumulate(step for _, step in sorted(moments)))


UPSTREAMS_FAULTS = {
    "demo-fail-500": ReplyError.UPSTREAM_ERROR,
    "demo-fail-503": ReplyError.UPSTREAM_ERROR,
    "demo-fail-429": ReplyError.RATE_LIMITED,
    "demo-fail-quota": ReplyError.RATE_LIMITED,
    "demo-fail-401": ReplyError.INVALID_API_KEY,
    "demo-fail-404": ReplyError.MODEL_NOT_FOUND,
    "demo-cut": ReplyError.UPSTREAM_CUT_OFF,
    "demo-malformed": ReplyError.UPSTREAM_MALFORMED,
    "demo-error-event": ReplyError.UPSTREAM_ERROR,
    "demo-silent": ReplyError.UPSTREAM_TIMEOUT,
    "demo-stall": ReplyError.UPSTREAM_TIMEOUT,
    "demo-empty": ReplyError.UPSTREAM_EMPTY,
}
REQUESTS_FAULTS = {
    "demo-fail-400": ReplyError.UPSTREAM_ERROR,
    "demo-fail-context": ReplyError.CONTEXT_LENGTH_EXCEEDED,
    "demo-fail-filter": ReplyError.CONTENT_FILTERED,
}


async def ended_with_a_fallback(
    faults: Mapping[str, ReplyError], chats: Chats, demo: DemoProcess, worker: StartWorker
) -> dict[str, tuple[Mapping[str, Any], Sequence[RowMapping]]]:
    """What becomes of replies whose model has each of the faults and a sound fallback, with all their attempts."""
    text = upstream("well", demo.port) + model("spare", "well", "demo-fast")
    for fault, code in faults.items():
        # Of the others nobody expects that they are quick.
        bounds = ["first_byte_seconds = 0.3", "chunk_seconds = 0.3"] if code is ReplyError.UPSTREAM_TIMEOUT else []
        text += upstream(fault, demo.port, *bounds)
        text += model(f"chat-{fault}", fault, fault, "spare")
    with worker(text, retry_base_seconds=LONG_SECONDS):
        asked = {fault: await chats.ask_anew("Hello, I am Ada", model=f"chat-{fault}") for fault in faults}
        return {fault: (await chats.until_ended(id_), await chats.attempts(id_)) for fault, id_ in asked.items()}


async def test_what_the_upstream_does_wrong_its_fallback_makes_good_at_once(
    chats: Chats, demo: DemoProcess, worker: StartWorker
) -> None:
    ended = await ended_with_a_fallback(UPSTREAMS_FAULTS, chats, demo, worker)
    for fault, code in UPSTREAMS_FAULTS.items():
        reply, attempts = ended[fault]
        assert asked(attempts) == [(fault, fault, code), ("well", "demo-fast", None)]
        assert (reply["status"], reply["model"]) == (ReplyStatus.COMPLETED, f"chat-{fault}")
        assert reply["content"].count("Hello") == 1, "what the first one had said is not kept"


async def test_what_the_request_does_wrong_is_not_asked_of_another(
    chats: Chats, demo: DemoProcess, worker: StartWorker
) -> None:
    ended = await ended_with_a_fallback(REQUESTS_FAULTS, chats, demo, worker)
    for fault, code in REQUESTS_FAULTS.items():
        reply, attempts = ended[fault]
        assert asked(attempts) == [(fault, fault, code)]
        assert (reply["status"], reply["error_code"]) == (ReplyStatus.FAILED, code)


async def test_the_caps_hold_across_upstreams_and_the_last_is_followed_by_the_first(
    chats: Chats, demo: DemoProcess, other: DemoProcess, worker: StartWorker
) -> None:
    text = upstream("one", demo.port) + upstream("two", other.port)
    text += model("dear", "one", "demo-fail-500", "dear-too", "dear-three")
    text += model("dear-too", "two", "demo-fail-500") + model("dear-three", "one", "demo-fail-500")
    text += model("busy", "one", "demo-fail-503", "busy-too") + model("busy-too", "two", "demo-fail-503")
    with worker(text):
        dear, busy = await chats.ask_anew(model="dear"), await chats.ask_anew(model="busy")
        ended = [await chats.until_ended(reply_id) for reply_id in (dear, busy)]
    assert [reply["status"] for reply in ended] == [ReplyStatus.FAILED] * 2
    assert [each["upstream"] for each in await chats.attempts(dear)] == ["one", "two"], "two have reached a model"
    assert len(await chats.attempts(busy)) == 4, "a 503 has reached none"
    assert {each["upstream"] for each in await chats.attempts(busy)} == {"one", "two"}


async def test_a_failing_upstream_is_left_alone_and_comes_back_when_it_heals(
    monkeypatch: pytest.MonkeyPatch, chats: Chats, proxy: FaultProxy, other: DemoProcess, worker: StartWorker
) -> None:
    monkeypatch.setattr(breaker, "OPEN_SECONDS", 0.5)
    text = upstream("first", proxy.port) + upstream("second", other.port)
    text += model("chat", "first", "demo-fast", "spare") + model("spare", "second", "demo-fast")
    proxy.refuse()

    async def first_asked(process: WorkerProcess) -> str:
        attempts = await answered(process, chats, model="chat")
        return str(attempts[0]["upstream"])

    with worker(text) as process:

        async def is_back() -> bool:
            return [await first_asked(process) for _ in range(2)] == ["first"] * 2

        before = [await first_asked(process) for _ in range(FAILURES_TO_OPEN)]
        monkeypatch.setattr(breaker.Breaker, "admits_trial", False)  # For as long as this looks.
        open_now = [await first_asked(process) for _ in range(5)]
        monkeypatch.undo()
        proxy.heal()
        await until(is_back)
    assert before == ["first"] * FAILURES_TO_OPEN
    assert open_now == ["second"] * 5


async def test_with_nowhere_else_to_go_replies_wait_until_it_heals(
    monkeypatch: pytest.MonkeyPatch, chats: Chats, proxy: FaultProxy, worker: StartWorker
) -> None:
    """The first few wait for their next try, all others without any; none is lost or failed."""
    monkeypatch.setattr(breaker, "OPEN_SECONDS", 0.5)
    proxy.refuse()
    with worker(upstream("only", proxy.port) + model("chat", "only", "demo-fast"), slots=4):
        early = [await chats.ask_anew(model="chat") for _ in range(FAILURES_TO_OPEN)]

        async def all_tried() -> bool:
            return all([await chats.attempts(reply_id) for reply_id in early])

        await until(all_tried)
        # For as long as it takes to ask.
        with pytest.MonkeyPatch.context() as shut:
            shut.setattr(breaker.Breaker, "admits_trial", False)
            late = [await chats.ask_anew(model="chat") for _ in range(20)]
            proxy.heal()
        for reply_id in early + late:
            await chats.until_status(reply_id, ReplyStatus.COMPLETED)
    assert [len(await chats.attempts(reply_id)) for reply_id in late] == [1] * 20


async def test_after_a_429_it_is_asked_again_when_it_said(
    chats: Chats, demo: DemoProcess, other: DemoProcess, worker: StartWorker
) -> None:
    """The demo model asks for a second."""
    text = upstream("first", demo.port) + upstream("second", other.port)
    text += model("limited", "first", "demo-fail-429", "spare") + model("spare", "second", "demo-fast")
    text += model("chat", "first", "demo-fast", "spare")

    with worker(text) as process:

        async def asks_the_first() -> Sequence[RowMapping] | None:
            attempts = await answered(process, chats, model="chat")
            return attempts if attempts[0]["upstream"] == "first" else None

        limited, _ = await answered(process, chats, model="limited")
        again = await until(asks_the_first)
    assert again is not None
    assert again[0]["started_at"] - limited["ended_at"] >= 950


async def test_no_upstream_is_asked_more_at_once_than_it_takes_also_as_a_fallback(
    chats: Chats, demo: DemoProcess, other: DemoProcess, worker: StartWorker
) -> None:
    text = upstream("narrow", demo.port, "max_concurrent = 2") + upstream("sick", other.port, "max_concurrent = 3")
    text += model("own", "narrow", "demo-100ms") + model("sent", "sick", "demo-fail-503", "own")
    with worker(text) as process:
        reply_ids = [await chats.ask_anew(model=name) for name in ("own", "sent") * 6]
        await asyncio.gather(*(asyncio.to_thread(process.answer, 8 * BELL) for _ in range(3)))
        for reply_id in reply_ids:
            await chats.until_status(reply_id, ReplyStatus.COMPLETED)
    attempts = [attempt for reply_id in reply_ids for attempt in await chats.attempts(reply_id)]
    by_upstream = {name: [each for each in attempts if each["upstream"] == name] for name in ("narrow", "sick")}
    assert most_at_once(by_upstream["narrow"]) == 2
    assert most_at_once(by_upstream["sick"]) <= 3


async def test_one_for_another_model_starts_at_once_behind_a_thousand_for_a_full_one(
    monkeypatch: pytest.MonkeyPatch, chats: Chats, demo: DemoProcess, worker: StartWorker
) -> None:
    """One bell and no tick: no look later on can have found it."""
    monkeypatch.setattr(slots, "TICK_SECONDS", LONG_SECONDS)
    text = upstream("full", demo.port, "max_concurrent = 1") + upstream("free", demo.port)
    text += model("full", "full", "demo-drip") + model("free", "free", "demo-fast")
    waiting = await asyncio.gather(*(chats.ask_anew(model="full", deadline_seconds=LONG_SECONDS) for _ in range(1000)))
    with worker(text, slots=3) as process:
        held = asyncio.create_task(asyncio.to_thread(process.answer, BELL))
        await until(lambda: requests_of(demo, "demo-drip"))
        reply_id = await chats.ask_anew(model="free")
        await asyncio.to_thread(process.answer, BELL)
        assert (await chats.reply(reply_id))["status"] == ReplyStatus.COMPLETED
        statuses = [(await chats.reply(reply_id))["status"] for reply_id in waiting]
        assert statuses.count(ReplyStatus.IN_PROGRESS) == 1
    await held


async def test_a_fallback_is_shown_as_much_of_the_history_as_it_reads(
    chats: Chats, demo: DemoProcess, worker: StartWorker
) -> None:
    text = upstream("one", demo.port)
    text += model("chat", "one", "demo-fail-500", "small")
    text += model("small", "one", "demo-transcript", more="prompt_tokens = 100")
    conversation = await chats.start()
    await chats.append(conversation, "user", "long ago " * 100)
    (reply_id,) = await chats.ask(conversation, "now", model="chat")
    with worker(text):
        reply = await chats.until_status(reply_id, ReplyStatus.COMPLETED)
    assert "now" in reply["content"]
    assert "long ago" not in reply["content"]


async def test_a_model_that_is_on_offer_no_more_says_so_and_asks_nobody(
    chats: Chats, demo: DemoProcess, worker: StartWorker
) -> None:
    reply_id = await chats.ask_anew(model="demo-of-old")
    with worker(upstream("one", demo.port) + model("chat", "one", "demo-fast")):
        reply = await chats.until_ended(reply_id)
    assert (reply["status"], reply["error_code"]) == (ReplyStatus.FAILED, ReplyError.MODEL_NOT_FOUND)
    assert reply["error_message"].startswith("This server does not offer the model 'demo-of-old'")
    assert asked(await chats.attempts(reply_id)) == [(None, None, ReplyError.MODEL_NOT_FOUND)]
    assert await requests_of(demo, "demo-of-old") == 0
