"""`asyncchat up --model local`: real weights, no network. Collected where `make install-local-model` has been run."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path
from typing import Any

from cli.local_model import LOCAL_MODEL
from tests.fixtures.up import StartUp, Up, live_processes

# The same question has the same answer, and one sentence is a whole one.
PARAMETERS = {"temperature": 0, "stop": [".", "!", "?"]}


def _ask(up: Up, path: str, body: dict[str, Any]) -> dict[str, Any]:
    """The turn's only reply, once it has ended."""
    turn = up.post(f"{path}?wait=50", body)
    [reply] = turn["replies"]
    found: dict[str, Any] = up.get(f"/replies/{reply['id']}/?wait=50")
    return found


def test_real_weights_answer_through_the_whole_path(start_up: StartUp, folder: Path) -> None:
    up = start_up("--model", LOCAL_MODEL)
    up.wait_until_ready()
    assert "A small model on this machine answers" in up.console
    assert (folder / "data" / "logs" / "local-model.log").exists()
    conversation = up.post("/conversations/", {"parameters": PARAMETERS})["id"]
    path = f"/conversations/{conversation}/ask-message/"

    first = _ask(up, path, {"content": "What is 2+2?"})
    assert (first["status"], first["model"], first["attempt"]) == ("completed", LOCAL_MODEL, 1)
    assert first["content"]
    assert first["usage"]["input_tokens"] > 10
    assert first["usage"]["output_tokens"] > 1

    second = _ask(up, path, {"content": "Thank you! I am Ada. Who are you?"})
    assert second["status"] == "completed"
    assert second["content"]
    assert second["usage"]["input_tokens"] > first["usage"]["input_tokens"], "it was told what was said before"


def test_a_question_longer_than_its_window_ends_in_the_right_code(start_up: StartUp) -> None:
    up = start_up("--model", LOCAL_MODEL)
    up.wait_until_ready()
    conversation = up.post("/conversations/", {})["id"]
    reply = _ask(up, f"/conversations/{conversation}/ask-message/", {"content": "word " * 3000})
    assert (reply["status"], reply["error"]["code"]) == ("failed", "context_length_exceeded")


def test_it_stops_within_its_bound_in_the_middle_of_an_answer(start_up: StartUp) -> None:
    up = start_up("--model", LOCAL_MODEL)
    up.wait_until_ready()
    children = up.children()
    assert set(children) == {"valkey", "worker", "api", "local-model"}
    up.post("/conversations/", {"message": {"content": "Tell me a long story."}})
    began = time.monotonic()
    os.kill(up.process.pid, signal.SIGINT)
    assert up.process.wait(30) == 0
    # Twice the bound of 4.5 s, since the model keeps a whole core busy to the end.
    assert time.monotonic() - began < 9
    assert "was killed" not in up.console
    assert not set(children.values()) & set(live_processes())
