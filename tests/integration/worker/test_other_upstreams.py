"""The worker against a model server that nobody here wrote: `llmock`, which breaks on demand and judges its clients.

All of its faults are asked for at once, each under a model name of its own; each test then looks at one.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from llmock.chaos import StreamChaos
from llmock.scenarios import Behavior, Delay, Fail, Match, Reply, SlowFirstToken, StreamFault, ToolCall
from llmock.testing import LLMockServer
from llmock.verdict import Verdict, judge
from sqlalchemy import RowMapping

from shared.database.access import Database
from shared.reply_status import ReplyError, ReplyStatus
from tests.fixtures.chats import Chats
from tests.fixtures.databases import Databases
from tests.fixtures.workers import running_worker

ANSWER = "One, two, three, four, five, six, seven."
MAX_TRIES = 4
MAX_MODEL_CALLS = 2
# A model is silent for longer than the worker waits.
SILENCE_SECONDS = 7.0
# Without a pace the server has often sent all of a broken stream before it sees that its client has left, and then
# takes the client for one that read on. What follows a malformed chunk takes far longer than to leave.
PACE_MS = 50
LONG_ANSWER = "On and on. " * 200
SETTINGS: dict[str, Any] = {
    # The server takes a try for a new question unless it has seen the one before end, for which it needs a moment.
    "retry_base_seconds": 0.5,
    # Of all that are asked at once none but the silent ones may be so for this long.
    "first_byte_seconds": 3.0,
    "chunk_seconds": 3.0,
    "max_tries": MAX_TRIES,
    "max_model_calls": MAX_MODEL_CALLS,
}
COMPLETED, INCOMPLETE, FAILED = ReplyStatus.COMPLETED, ReplyStatus.INCOMPLETE, ReplyStatus.FAILED


@dataclass(frozen=True)
class Case:
    """What the server does under this model name, and what the reply and each try at it must come to."""

    model: str
    behavior: Behavior | None
    status: ReplyStatus
    codes: tuple[ReplyError | None, ...]


def _only(model: str) -> Match:
    return Match(model=model)


def _passes(model: str, behavior: Behavior, code: ReplyError) -> Case:
    """A fault of the first try; the second is answered."""
    return Case(model, behavior, COMPLETED, (code, None))


def _refused(status: int, code: ReplyError, *, said: str | None = None) -> Case:
    """A refusal that would only come again is asked for once."""
    model = said or f"always-{status}"
    return Case(model, Fail(status, code=said, times=None, match=_only(model)), FAILED, (code,))


def _broken(kind: Any, code: ReplyError) -> Case:
    """A stream that breaks in its middle."""
    behavior = StreamFault(kind, after_chunks=3, stall_seconds=SILENCE_SECONDS, match=_only(kind))
    return _passes(kind, behavior, code)


CASES = (
    Case("sound", None, COMPLETED, (None,)),
    Case("length", Reply(text=ANSWER, finish_reason="length", match=_only("length")), INCOMPLETE, (None,)),
    Case("filter", Reply(text=ANSWER, finish_reason="content_filter", match=_only("filter")), INCOMPLETE, (None,)),
    _broken("disconnect", ReplyError.UPSTREAM_CUT_OFF),
    _broken("truncate", ReplyError.UPSTREAM_CUT_OFF),
    _broken("malformed", ReplyError.UPSTREAM_MALFORMED),
    _broken("stall", ReplyError.UPSTREAM_TIMEOUT),
    _passes("silent", Delay(SILENCE_SECONDS, match=_only("silent")), ReplyError.UPSTREAM_TIMEOUT),
    _passes("slow", SlowFirstToken(SILENCE_SECONDS, match=_only("slow")), ReplyError.UPSTREAM_TIMEOUT),
    _passes("tool", Reply(tool_calls=(ToolCall("search"),), match=_only("tool")), ReplyError.UPSTREAM_EMPTY),
    _passes("429", Fail(429, retry_after=0.5, match=_only("429")), ReplyError.RATE_LIMITED),
    _passes("500", Fail(500, match=_only("500")), ReplyError.UPSTREAM_ERROR),
    _passes("503", Fail(503, retry_after=0.5, match=_only("503")), ReplyError.UPSTREAM_ERROR),
    _passes("529", Fail(529, match=_only("529")), ReplyError.UPSTREAM_ERROR),
    _refused(400, ReplyError.UPSTREAM_ERROR),
    _refused(401, ReplyError.INVALID_API_KEY),
    _refused(403, ReplyError.INVALID_API_KEY),
    _refused(404, ReplyError.MODEL_NOT_FOUND),
    _refused(400, ReplyError.CONTEXT_LENGTH_EXCEEDED, said="context_length_exceeded"),
    Case("down-429", Fail(429, times=None, match=_only("down-429")), FAILED, (ReplyError.RATE_LIMITED,) * MAX_TRIES),
    Case(
        "down-500",
        Fail(500, times=None, match=_only("down-500")),
        FAILED,
        (ReplyError.UPSTREAM_ERROR,) * MAX_MODEL_CALLS,
    ),
)
each_case = pytest.mark.parametrize("case", CASES, ids=[case.model for case in CASES])


@dataclass(frozen=True)
class Outcome:
    reply: Mapping[str, Any]
    attempts: Sequence[RowMapping]
    requests: int
    verdict: Verdict


@pytest.fixture(scope="module")
def server() -> Iterator[LLMockServer]:
    with LLMockServer() as server:
        server.state.stream_chaos = StreamChaos(chunk_delay_ms=PACE_MS)
        for case in CASES:
            if case.behavior is not None:
                server.state.scenarios.add(case.behavior)
            if case.codes[0] == ReplyError.UPSTREAM_MALFORMED:
                server.state.scenarios.add(Reply(text=LONG_ANSWER, match=_only(case.model)))
            server.state.scenarios.add(Reply(text=ANSWER, times=None, match=_only(case.model)))
        yield server


async def _ended(database_url: str) -> dict[str, tuple[Mapping[str, Any], Sequence[RowMapping]]]:
    """Each reply once it has ended, with its tries."""
    database = Database(database_url)
    database.start()
    try:
        chats = Chats(database)
        ids = {case.model: await chats.ask_anew(case.model, model=case.model) for case in CASES}
        return {model: (await chats.until_ended(id_), await chats.attempts(id_)) for model, id_ in ids.items()}
    finally:
        database.stop()


@pytest.fixture(scope="module")
def outcomes(
    databases: Databases, tmp_path_factory: pytest.TempPathFactory, server: LLMockServer
) -> dict[str, Outcome]:
    url = databases.new(tmp_path_factory.mktemp("upstreams"))
    with running_worker(url, base_url=server.base_url(), **SETTINGS):
        ended = asyncio.run(_ended(url))
    # A stream that its client has left is over once its silence is.
    records = server.state.journal.records(wait=2 * SILENCE_SECONDS)
    outcomes = {}
    for model, (reply, attempts) in ended.items():
        own = [record for record in records if record.model == model]
        outcomes[model] = Outcome(reply, attempts, len(own), judge(own))
    return outcomes


@each_case
def test_each_try_and_the_reply_come_to_the_right_end(case: Case, outcomes: dict[str, Outcome]) -> None:
    outcome = outcomes[case.model]
    assert tuple(attempt["error_code"] for attempt in outcome.attempts) == case.codes
    assert (outcome.reply["status"], outcome.reply["error_code"]) == (
        case.status,
        case.codes[-1] if case.status == FAILED else None,
    )


@each_case
def test_an_answer_is_whole_and_its_tokens_are_counted(case: Case, outcomes: dict[str, Outcome]) -> None:
    reply = outcomes[case.model].reply
    assert reply["content"] == ("" if case.status == FAILED else ANSWER)
    assert bool(reply["output_tokens"]) == (case.status != FAILED)


@each_case
def test_the_server_finds_no_fault_with_its_client(case: Case, outcomes: dict[str, Outcome]) -> None:
    """It looks for retries that come too early, too often or in vain, and for broken streams taken for whole ones."""
    outcome = outcomes[case.model]
    assert outcome.requests == len(case.codes)
    assert outcome.verdict.findings == (), outcome.verdict.render()
