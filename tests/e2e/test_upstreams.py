"""`asyncchat up` with a `models.toml` that names two demo models, one of which is killed and comes back."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.up import StartUp, Up
from tests.fixtures.waiting import wait_for
from worker.breaker import FAILURES_TO_OPEN

ASKED_WHILE_IT_IS_DOWN = 6


def models(first_port: int, second_url: str) -> str:
    return f"""
[upstreams.first]
base_url = "http://127.0.0.1:{first_port}/v1"
key_variable = "FIRST_KEY"

[upstreams.second]
base_url = "{second_url}"

[models.chat]
upstream = "first"
model = "demo-fast"
fallbacks = ["spare"]

[models.spare]
upstream = "second"
model = "demo-fast"
"""


def attempts_of_one_more(up: Up) -> list[dict[str, Any]]:
    """Asks, waits for the answer, and returns the attempts that it took."""
    turn = up.post("/conversations/?wait=40", {"message": {"content": "Hello, I am Ada"}})["turn"]
    (reply,) = turn["replies"]
    assert reply["status"] == "completed"
    assert (reply["model"], reply["content"].startswith("Hello Ada")) == ("chat", True)
    attempts: list[dict[str, Any]] = up.get(f"/replies/{reply['id']}/attempts/")["data"]
    return attempts


def told(attempts: list[dict[str, Any]]) -> list[tuple[str, str]]:
    assert {attempt["upstream_model"] for attempt in attempts} == {"demo-fast"}
    return [(attempt["upstream"], attempt["outcome"]) for attempt in attempts]


def requests_in(journal: Path) -> int:
    return len(journal.read_text().splitlines()) if journal.exists() else 0


def test_a_killed_upstream_is_passed_by_and_comes_back(start_up: StartUp, folder: Path) -> None:
    journal = folder / "second.jsonl"
    with DemoProcess.started("--journal", str(journal)) as second:
        with DemoProcess.started() as first:
            (folder / "models.toml").write_text(models(first.port, second.base_url))
            (folder / ".env").write_text("FIRST_KEY=any\n")
            up = start_up()
            up.wait_until_ready()
            assert [model["id"] for model in up.get("/models/")["data"]] == ["chat", "spare"]
            assert told(attempts_of_one_more(up)) == [("first", "completed")]
            assert requests_in(journal) == 0

        # It was killed just now.
        down = [told(attempts_of_one_more(up)) for _ in range(ASKED_WHILE_IT_IS_DOWN)]
        assert down[:FAILURES_TO_OPEN] == [[("first", "retried"), ("second", "completed")]] * FAILURES_TO_OPEN
        assert [("second", "completed")] in down, "it is left alone"
        assert {attempts[-1] for attempts in down} == {("second", "completed")}
        assert requests_in(journal) == ASKED_WHILE_IT_IS_DOWN

        with DemoProcess.started("--port", str(first.port)):
            assert wait_for(lambda: told(attempts_of_one_more(up)) == [("first", "completed")])
