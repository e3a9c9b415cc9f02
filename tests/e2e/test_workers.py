"""Two real workers, of which one dies, freezes or is told to stop in the middle of its answers."""

from __future__ import annotations

import os
import signal

import pytest

from tests.fixtures.up import StartUp, Up
from tests.fixtures.waiting import wait_for

# Far more than a take-over takes: a test judges whether it happens.
BOUND_SECONDS = 60.0
CONVERSATIONS = 12
HALF = str(CONVERSATIONS // 2)
# Far longer than asking for all of them takes, and than finding out that all are under way.
MODEL = "demo-7000ms"


@pytest.fixture
def up(database_url: str, start_up: StartUp) -> Up:
    """Two workers of which each has half of the answers: it has room for no more."""
    up = start_up("--workers", "2", environment={"DATABASE_URL": database_url, "ASYNCCHAT_SLOTS": HALF})
    up.wait_until_ready()
    return up


@pytest.fixture
def asked(up: Up) -> list[str]:
    """Conversations in each of which an answer is under way."""
    return _ask(up)


def _ask(up: Up) -> list[str]:
    conversation_ids = [
        up.post("/conversations/", {"model": MODEL, "message": {"content": "Hello, I am Ada"}})["id"]
        for _ in range(CONVERSATIONS)
    ]
    assert wait_for(lambda: len(up.get("/replies/?status=in_progress&limit=100")["data"]) == CONVERSATIONS)
    return conversation_ids


def _are_answered(up: Up) -> bool:
    return len(up.get("/replies/?status=completed&limit=100")["data"]) == CONVERSATIONS


def _attempts(up: Up, conversation_ids: list[str]) -> list[int]:
    """How often each answer was tried; each is there once."""
    attempts = []
    for conversation_id in conversation_ids:
        found = up.get(f"/conversations/{conversation_id}/")
        assert [message["role"] for message in found["messages"]] == ["user", "assistant"]
        assert "Ada" in found["messages"][1]["content"]
        (reply,) = up.get(f"/conversations/{conversation_id}/turns/1/")["replies"]
        attempts.append(reply["attempt"])
    return attempts


def test_what_a_killed_worker_was_answering_is_answered_by_another(up: Up, asked: list[str]) -> None:
    os.kill(up.worker(1), signal.SIGKILL)
    assert wait_for(lambda: _are_answered(up), BOUND_SECONDS)
    attempts = _attempts(up, asked)
    assert set(attempts) == {1, 2}, "the other worker went on with its own, and took over the rest"
    (used,) = up.get("/usage/")["data"]
    assert (used["attempts"], used["replies"]["completed"]) == (sum(attempts), CONVERSATIONS)
    # The demo model takes eight tokens for this question, and so does the estimate of what the dead one was asked.
    assert used["input_tokens"] == 8 * sum(attempts)
    assert used["estimated_tokens"] >= 8 * (sum(attempts) - CONVERSATIONS)


def test_a_frozen_worker_that_wakes_after_it_was_replaced_changes_nothing(up: Up, asked: list[str]) -> None:
    frozen = up.worker(1)
    os.kill(frozen, signal.SIGSTOP)
    assert wait_for(lambda: _are_answered(up), BOUND_SECONDS)
    assert wait_for(lambda: up.get("/readyz")["workers"] == 1, BOUND_SECONDS)
    versions = {each: up.get(f"/conversations/{each}/")["version"] for each in asked}
    os.kill(frozen, signal.SIGCONT)
    # It learns that it was replaced, and goes on under a new name.
    assert wait_for(lambda: up.get("/readyz")["workers"] == 2, BOUND_SECONDS)
    assert up.worker(1) == frozen
    assert {each: up.get(f"/conversations/{each}/")["version"] for each in asked} == versions
    assert set(_attempts(up, asked)) == {1, 2}
    later = up.post("/conversations/?wait=40", {"model": "demo-fast", "message": {"content": "Hello, I am Ada"}})
    assert later["live_replies"] == []


def test_a_worker_that_is_told_to_stop_hands_back_what_it_cannot_finish(database_url: str, start_up: StartUp) -> None:
    settings = {"DATABASE_URL": database_url, "ASYNCCHAT_SLOTS": HALF, "ASYNCCHAT_DRAIN_SECONDS": "0"}
    up = start_up("--workers", "2", environment=settings)
    up.wait_until_ready()
    conversation_ids = _ask(up)
    os.kill(up.worker(1), signal.SIGTERM)
    assert wait_for(lambda: "worker-1 ended (exit code 0)" in up.console, BOUND_SECONDS), up.console
    assert wait_for(lambda: _are_answered(up), BOUND_SECONDS)
    assert set(_attempts(up, conversation_ids)) == {1, 2}
