"""`asyncchat up` as a person uses it: the real command, every process real, the demo model answering."""

from __future__ import annotations

import json
import os
import shlex
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.fixtures.up import ROOT, START_SECONDS, StartUp, Up, live_processes
from tests.fixtures.waiting import wait_for


def _ask(up: Up, content: str, conversation: str | None = None) -> dict[str, Any]:
    """Ask and wait for the reply; the conversation."""
    if conversation is None:
        conversation = up.post("/conversations/?wait=40", {"message": {"content": content}})["id"]
    else:
        up.post(f"/conversations/{conversation}/ask-message/?wait=40", {"content": content})
    found = up.get(f"/conversations/{conversation}/?wait=40")
    assert not found["live_replies"]
    return found


def test_one_command_starts_everything_and_holds_a_conversation(start_up: StartUp, folder: Path) -> None:
    up = start_up("--workers", "2")
    up.wait_until_ready()
    assert up.get("/readyz")["workers"] == 2
    assert wait_for(lambda: "The demo model answers" in up.console)
    assert "Traceback" not in up.console
    assert {path.name for path in (folder / "data" / "logs").iterdir()} == {
        *("api.log", "worker-1.log", "worker-2.log", "valkey.log", "demo-model.log", "migration.log")
    }

    conversation = _ask(up, "Hello, I am Ada")
    conversation = _ask(up, "What is my name?", conversation["id"])
    assert [message["role"] for message in conversation["messages"]] == ["user", "assistant"] * 2
    assert "Ada" in conversation["messages"][-1]["content"]


def test_the_printed_command_works_when_pasted(start_up: StartUp) -> None:
    up = start_up()
    up.wait_until_ready()
    assert wait_for(lambda: "Try:" in up.console)
    command = up.console.partition("Try:")[2].splitlines()[0].strip()
    answer = subprocess.run(command, shell=True, check=True, capture_output=True, text=True)  # noqa: S602 - as pasted
    user, assistant = json.loads(answer.stdout)["messages"]
    assert user["content"] == "Hello, I am Ada"
    assert "Ada" in assistant["content"]


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_ends_all_of_it_within_five_seconds(start_up: StartUp, number: signal.Signals) -> None:
    up = start_up()
    up.wait_until_ready()
    children = up.children()
    assert set(children) == {"valkey", "worker", "api", "demo-model"}
    # It outlasts the drain, so that the worker has to hand it back.
    up.post("/conversations/", {"message": {"content": "Hello"}, "model": "demo-stall"})
    began = time.monotonic()
    up.process.send_signal(number)
    assert up.process.wait(30) == 0
    assert time.monotonic() - began < 5
    assert not set(children.values()) & set(live_processes())
    assert up.console.endswith("stopping\nstopped\n")


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child's life to its parent's")
def test_kill_9_leaves_no_orphan_and_loses_nothing(start_up: StartUp) -> None:
    up = start_up()
    up.wait_until_ready()
    conversation = up.post("/conversations/", {"message": {"content": "Hello, I am Ada"}, "model": "demo-slow"})["id"]
    children = up.children()
    up.process.kill()
    assert wait_for(lambda: not set(children.values()) & set(live_processes()))

    up = start_up()
    up.wait_until_ready()
    found = up.get(f"/conversations/{conversation}/?wait=50")
    assert [message["role"] for message in found["messages"]] == ["user", "assistant"]


def test_a_killed_child_is_restarted_and_the_conversation_goes_on(start_up: StartUp) -> None:
    up = start_up()
    up.wait_until_ready()
    conversation = _ask(up, "Hello, I am Ada")["id"]

    def has_started(times: int) -> bool:
        return (up.data / "logs" / "demo-model.log").read_text().count("demo model on ") == times

    def ready_again() -> bool:
        try:
            found = up.get("/readyz")
        except OSError:
            return False
        return bool(found["status"] == "ready" and found["workers"] >= 1)

    for turn, name in enumerate(("valkey", "worker", "api", "demo-model"), start=1):
        killed = up.children()[name]
        os.kill(killed, signal.SIGKILL)
        assert wait_for(partial(up.has_another, name, than=killed))
        assert up.console.count("ended (killed by SIGKILL), restarting in 0.5 s") == turn
        assert wait_for(ready_again, START_SECONDS)
        # A question does not wait for a model for as long as one may take to start.
        starts = 1 + (name == "demo-model")
        assert wait_for(partial(has_started, starts), START_SECONDS)
        assert "Ada" in _ask(up, "What is my name?", conversation)["messages"][-1]["content"]


def test_a_second_up_on_the_same_data_names_the_first(start_up: StartUp) -> None:
    first = start_up()
    assert wait_for(lambda: "Starting" in first.console)
    second = start_up()
    assert second.process.wait(30) == 1
    assert f"is in use by another `asyncchat up` (process {first.process.pid})" in second.console


def test_folders_of_the_same_names_where_it_is_started_do_not_matter(start_up: StartUp, folder: Path) -> None:
    for name in ("api", "worker", "shared", "cli", "demo_model"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text("raise RuntimeError('somebody else')")
    up = start_up()
    up.wait_until_ready()
    assert len(_ask(up, "Hello")["messages"]) == 2


def test_where_keys_are_asked_for_and_there_is_none_it_says_so_at_once(start_up: StartUp, folder: Path) -> None:
    """The command in the sentence makes one, and then it starts."""
    asks_for_keys = {"ASYNCCHAT_AUTH": "keys"}
    up = start_up("--data-dir", "elsewhere", environment=asks_for_keys)
    assert up.process.wait(30) == 1
    assert "restarting" not in up.console
    command = up.console.partition("make one with `")[2].partition("`")[0]
    assert command == f"DATABASE_URL=sqlite:///{folder}/elsewhere/asyncchat.db asyncchat keys create"
    program = f"{shlex.quote(sys.executable)} -P -m cli"
    subprocess.run(  # noqa: S602 - as pasted
        command.replace("asyncchat keys", f"{program} keys"),
        shell=True,
        check=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    up = start_up("--data-dir", "elsewhere", environment=asks_for_keys)
    up.wait_until_ready()
    assert wait_for(lambda: "curl -H 'Authorization: Bearer ak_…' --json" in up.console)


def test_a_database_that_cannot_be_opened_is_one_sentence(start_up: StartUp, folder: Path) -> None:
    (folder / "file").touch()
    (folder / ".env").write_text("DATABASE_URL=sqlite:///file/chat.db\n")
    up = start_up()
    assert up.process.wait(30) == 1
    *_, last = up.console.splitlines()
    assert last.startswith(f"asyncchat: cannot open the database {folder}/file/chat.db")
    assert "Traceback" not in up.console
