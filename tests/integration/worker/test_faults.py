"""Every fault of a model ends a reply with its public code, a sentence and no more calls than allowed.

All of them are asked at once, since most spend their time waiting for the next try; each test then looks at one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from sqlalchemy import RowMapping

from shared.database.access import Database
from shared.reply_status import IncompleteReason, ReplyError, ReplyStatus
from tests.fixtures.chats import Chats
from tests.fixtures.databases import Databases
from tests.fixtures.demo_counts import requests_of
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.workers import running_worker

MAX_TRIES = 4
MAX_MODEL_CALLS = 2
SETTINGS: dict[str, Any] = {
    # Of all that are asked at once none but the silent ones may be so for this long.
    "first_byte_seconds": 2.0,
    "chunk_seconds": 2.0,
    "max_tries": MAX_TRIES,
    "max_model_calls": MAX_MODEL_CALLS,
}


@dataclass(frozen=True)
class Fault:
    """A name of the demo model, and what comes of a reply that it answers."""

    model: str
    status: ReplyStatus
    code: ReplyError | None
    requests: int
    attempts: int
    deadline_seconds: float = 60.0


def _fails(model: str, code: ReplyError, *, requests: int, attempts: int | None = None) -> Fault:
    return Fault(model, ReplyStatus.FAILED, code, requests, attempts or requests)


def _heals(model: str) -> Fault:
    return Fault(model, ReplyStatus.COMPLETED, None, requests=2, attempts=2)


# What may be tried again is, as often as the caps allow; what would only fail again is not.
FAULTS = (
    _fails("demo-fail-400", ReplyError.UPSTREAM_ERROR, requests=1),
    _fails("demo-fail-401", ReplyError.INVALID_API_KEY, requests=1),
    _fails("demo-fail-403", ReplyError.INVALID_API_KEY, requests=1),
    _fails("demo-fail-404", ReplyError.MODEL_NOT_FOUND, requests=1),
    _fails("no-such-model", ReplyError.MODEL_NOT_FOUND, requests=1),
    _fails("demo-fail-quota", ReplyError.RATE_LIMITED, requests=1),
    _fails("demo-fail-context", ReplyError.CONTEXT_LENGTH_EXCEEDED, requests=1),
    _fails("demo-fail-filter", ReplyError.CONTENT_FILTERED, requests=1),
    _fails("demo-filtered-empty", ReplyError.CONTENT_FILTERED, requests=1),
    _fails("demo-fail-429", ReplyError.RATE_LIMITED, requests=MAX_TRIES),
    _fails("demo-fail-503", ReplyError.UPSTREAM_ERROR, requests=MAX_TRIES),
    _fails("demo-fail-500", ReplyError.UPSTREAM_ERROR, requests=MAX_MODEL_CALLS),
    _fails("demo-silent", ReplyError.UPSTREAM_TIMEOUT, requests=MAX_MODEL_CALLS),
    _fails("demo-stall", ReplyError.UPSTREAM_TIMEOUT, requests=MAX_MODEL_CALLS),
    _fails("demo-cut", ReplyError.UPSTREAM_CUT_OFF, requests=MAX_MODEL_CALLS),
    _fails("demo-reset", ReplyError.UPSTREAM_CUT_OFF, requests=MAX_MODEL_CALLS),
    _fails("demo-malformed", ReplyError.UPSTREAM_MALFORMED, requests=MAX_MODEL_CALLS),
    _fails("demo-html", ReplyError.UPSTREAM_MALFORMED, requests=MAX_MODEL_CALLS),
    _fails("demo-empty", ReplyError.UPSTREAM_EMPTY, requests=MAX_MODEL_CALLS),
    _fails("demo-no-choices", ReplyError.UPSTREAM_EMPTY, requests=MAX_MODEL_CALLS),
    _fails("demo-error-event", ReplyError.UPSTREAM_ERROR, requests=MAX_MODEL_CALLS),
    # Late enough for a busy machine to have come to the first words, and before the last.
    Fault("demo-8000ms", ReplyStatus.FAILED, ReplyError.DEADLINE_EXCEEDED, 1, 1, deadline_seconds=6.0),
    Fault("demo-length", ReplyStatus.INCOMPLETE, None, requests=1, attempts=1),
    Fault("demo-filtered", ReplyStatus.INCOMPLETE, None, requests=1, attempts=1),
    _heals("demo-fail-429-once"),
    _heals("demo-fail-500-once"),
    _heals("demo-fail-503-once"),
    _heals("demo-silent-once"),
    _heals("demo-stall-once"),
    _heals("demo-cut-once"),
    _heals("demo-reset-once"),
    _heals("demo-malformed-once"),
    _heals("demo-html-once"),
    _heals("demo-empty-once"),
    _heals("demo-no-choices-once"),
    _heals("demo-error-event-once"),
)
each_fault = pytest.mark.parametrize("fault", FAULTS, ids=[fault.model for fault in FAULTS])


@dataclass(frozen=True)
class Outcome:
    reply: Mapping[str, Any]
    attempts: Sequence[RowMapping]
    requests: int
    messages: list[tuple[str, str]]


async def _outcome(chats: Chats, demo: DemoProcess, fault: Fault) -> Outcome:
    conversation = await chats.start()
    (reply_id,) = await chats.ask(conversation, model=fault.model, deadline_seconds=fault.deadline_seconds)
    reply = await chats.until_ended(reply_id)
    return Outcome(
        reply,
        await chats.attempts(reply_id),
        await requests_of(demo, fault.model),
        await chats.messages(conversation),
    )


async def _all_outcomes(database_url: str, demo: DemoProcess) -> dict[str, Outcome]:
    database = Database(database_url)
    database.start()
    try:
        chats = Chats(database)
        outcomes = await asyncio.gather(*(_outcome(chats, demo, fault) for fault in FAULTS))
    finally:
        database.stop()
    return {fault.model: outcome for fault, outcome in zip(FAULTS, outcomes, strict=True)}


@pytest.fixture(scope="module")
def outcomes(databases: Databases, tmp_path_factory: pytest.TempPathFactory, demo: DemoProcess) -> dict[str, Outcome]:
    url = databases.new(tmp_path_factory.mktemp("faults"))
    with running_worker(url, base_url=demo.base_url, **SETTINGS):
        return asyncio.run(_all_outcomes(url, demo))


@each_fault
def test_it_ends_with_its_status_and_code(fault: Fault, outcomes: dict[str, Outcome]) -> None:
    reply = outcomes[fault.model].reply
    assert (reply["status"], reply["error_code"]) == (fault.status, fault.code)


@each_fault
def test_the_model_is_called_as_often_as_that_may_help_and_the_caps_allow(
    fault: Fault, outcomes: dict[str, Outcome]
) -> None:
    outcome = outcomes[fault.model]
    assert (outcome.requests, len(outcome.attempts)) == (fault.requests, fault.attempts)


@each_fault
def test_an_error_is_a_sentence_for_a_person(fault: Fault, outcomes: dict[str, Outcome]) -> None:
    message = outcomes[fault.model].reply["error_message"]
    if fault.code is None:
        assert message is None
        return
    assert message[0].isupper()
    assert message.endswith(".")
    assert not any(word in message for word in ("Exception", "Traceback", "Error code", "{", "aiohttp", "openai."))


@each_fault
def test_only_an_answer_becomes_a_message(fault: Fault, outcomes: dict[str, Outcome]) -> None:
    roles = [role for role, _ in outcomes[fault.model].messages]
    assert roles == (["user"] if fault.status is ReplyStatus.FAILED else ["user", "assistant"])


@each_fault
def test_every_attempt_is_closed_with_what_became_of_it(fault: Fault, outcomes: dict[str, Outcome]) -> None:
    *earlier, last = outcomes[fault.model].attempts
    assert last["outcome"] == fault.status
    assert all(attempt["ended_at"] is not None for attempt in (*earlier, last))
    assert {(attempt["outcome"], attempt["error_code"] is None) for attempt in earlier} <= {("retried", False)}


@pytest.mark.parametrize(
    ("model", "reason"),
    [("demo-length", IncompleteReason.MAX_OUTPUT_TOKENS), ("demo-filtered", IncompleteReason.CONTENT_FILTER)],
)
def test_an_answer_that_ended_early_is_kept_with_its_reason(
    model: str, reason: IncompleteReason, outcomes: dict[str, Outcome]
) -> None:
    reply = outcomes[model].reply
    assert reply["incomplete_reason"] == reason
    assert reply["content"] == outcomes[model].messages[-1][1] != ""


@pytest.mark.parametrize("model", ["demo-stall", "demo-cut", "demo-error-event", "demo-8000ms"])
def test_a_failed_reply_shows_the_text_it_had(model: str, outcomes: dict[str, Outcome]) -> None:
    assert outcomes[model].reply["content"].startswith("Hello")


@pytest.mark.parametrize("model", ["demo-stall-once", "demo-cut-once", "demo-malformed-once"])
def test_a_second_attempt_starts_the_text_anew(model: str, outcomes: dict[str, Outcome]) -> None:
    assert outcomes[model].reply["content"].count("Hello") == 1


def test_a_failure_after_several_tries_says_how_many(outcomes: dict[str, Outcome]) -> None:
    assert outcomes["demo-fail-429"].reply["error_message"].endswith("It was tried 4 times.")


def test_counts_are_stored_with_the_answer(outcomes: dict[str, Outcome]) -> None:
    reply = outcomes["demo-length"].reply
    assert reply["input_tokens"] > 0
    assert reply["output_tokens"] > 0


@pytest.mark.anyio
async def test_a_server_that_refuses_connections_is_tried_as_often_as_tries_allow(
    database_url: str, chats: Chats
) -> None:
    """A refused connection costs nothing, so the cap on model calls does not end it earlier."""
    with DemoProcess.started() as gone:
        pass
    with running_worker(database_url, base_url=gone.base_url, max_tries=3, max_model_calls=1):
        reply = await chats.until_ended(await chats.ask_anew(model="demo"))
    assert (reply["error_code"], reply["attempt"]) == (ReplyError.UPSTREAM_UNREACHABLE, 3)
