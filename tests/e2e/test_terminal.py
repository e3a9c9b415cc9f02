"""`asyncchat chat` and `asyncchat ask` with a real server, in scripts and in a terminal."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.fixtures.terminal import CTRL_C, CTRL_D, Terminal
from tests.fixtures.up import ROOT, Up, live_processes
from tests.fixtures.waiting import BOUND_SECONDS, wait_for


@pytest.fixture(scope="module")
def up() -> Iterator[Up]:
    """One server for all tests here."""
    with tempfile.TemporaryDirectory(prefix="up-", ignore_cleanup_errors=True) as name:
        running = Up(Path(name).resolve())
        try:
            running.wait_until_ready()
            yield running
        finally:
            children = list(running.children().values())
            running.close()
            assert wait_for(lambda: not set(children) & set(live_processes()))


def start(*arguments: str, url: str, **more: str) -> subprocess.Popen[bytes]:
    """The command in a script."""
    environment = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCCHAT_")}
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "cli", *arguments],
        env={**environment, "PYTHONPATH": str(ROOT), "ASYNCCHAT_URL": url, **more},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    )


def run(*arguments: str, url: str, stdin: str = "", **more: str) -> subprocess.CompletedProcess[str]:
    """The same, to its end."""
    with start(*arguments, url=url, **more) as running:
        output, errors = running.communicate(stdin.encode(), timeout=60)
    return subprocess.CompletedProcess(arguments, running.returncode, output.decode(), errors.decode())


def test_a_question_is_answered_on_standard_output(up: Up) -> None:
    asked = run("ask", "What is", "--model", "demo-echo", url=up.url, stdin="12 * 7?\n")
    assert (asked.returncode, asked.stdout, asked.stderr) == (0, "What is\n\n12 * 7?\n", "")
    piped = run("ask", "--json", "--n", "2", "--model", "demo-fast", url=up.url, stdin="What is 12 * 7?")
    turn = json.loads(piped.stdout)
    assert [reply["status"] for reply in turn["replies"]] == ["completed"] * 2
    again = run("ask", "And what did I ask?", "-c", turn["conversation_id"], url=up.url)
    assert again.returncode == 0
    assert up.get(f"/conversations/{turn['conversation_id']}/")["messages"][-1]["content"] == again.stdout.rstrip("\n")


def test_exit_codes_and_sentences_tell_a_script_what_happened(up: Up) -> None:
    failed = run("ask", "Hi", "--model", "demo-fail-401", url=up.url)
    assert failed.returncode == 1
    assert "invalid_api_key" in failed.stderr
    slow = run("ask", "Hi", "--model", "demo-stall", "--wait", "0.5", url=up.url)
    assert slow.returncode == 3
    reply_id = slow.stdout.strip()
    assert reply_id in slow.stderr
    assert up.get(f"/replies/{reply_id}/")["status"] in {"queued", "in_progress"}
    up.post(f"/replies/{reply_id}/cancel/", {})
    assert run("ask", url=up.url).returncode == 2
    assert run("ask", "Hi", "--n", "9", url=up.url).returncode == 2
    nobody = run("ask", "Hi", url="http://127.0.0.1:9")
    assert nobody.returncode == 1
    assert nobody.stderr.startswith("asyncchat: Nothing listens at http://127.0.0.1:9: start it with `asyncchat up`")
    assert nobody.stderr.count("\n") == 1
    assert run("ask", "Hi", "-c", "../keys", url=up.url).returncode == 1
    unquoted = run("ask", "Hi", "there", url=up.url)
    assert (unquoted.returncode, 'put the message in quotes: "Hi there"' in unquoted.stderr) == (2, True)
    tls = run("ask", "Hi", url=up.url.replace("http://", "https://"))
    assert (tls.returncode, "does not speak TLS as it should (WRONG_VERSION_NUMBER)" in tls.stderr) == (1, True)
    too_long = run("ask", url=up.url, stdin="x" * 200_001)
    assert (too_long.returncode, too_long.stderr) == (1, "asyncchat: Text should have at most 200000 characters\n")


def test_a_reader_that_goes_away_is_no_accident(up: Up) -> None:
    """As `head` does; there is more than fits into a pipe."""
    with start("ask", "--model", "demo-echo", url=up.url) as asked:
        assert asked.stdin
        assert asked.stdout
        asked.stdin.write(b"x" * 150_000)
        asked.stdin.close()
        assert asked.stdout.read(10) == b"x" * 10
        asked.stdout.close()
        assert asked.stderr
        assert asked.stderr.read() == b""
        assert asked.wait(BOUND_SECONDS) == 1


def test_a_chat_in_a_script_takes_a_message_from_each_line(up: Up) -> None:
    chat = run(
        "chat",
        url=up.url,
        stdin="Hello, I am Ada\nWhat is my name?\n/nonsense\n/list\n//not a command\nexit\nnever said\n",
    )
    assert chat.returncode == 0
    assert "Hello Ada, nice to meet you!" in chat.stdout
    assert "Your name is Ada." in chat.stdout
    assert "There is no /nonsense" in chat.stdout
    assert "Hello, I am Ada" in chat.stdout
    assert "\x1b" not in chat.stdout
    last = up.get("/conversations/?limit=1")["data"][0]
    said = [message["content"] for message in up.get(f"/conversations/{last['id']}/")["messages"]]
    assert said[::2] == ["Hello, I am Ada", "What is my name?", "/not a command"]


def test_a_conversation_in_a_terminal(up: Up) -> None:
    """Streaming, another answer, the list, leaving, and going on with it."""
    with Terminal("chat", "--url", up.url) as terminal:
        terminal.wait_for("> ")
        terminal.type("Hello, I am Ada")
        terminal.wait_for("Hello Ada, nice to meet you!")
        terminal.wait_for("> ")
        terminal.type("/retry")
        terminal.wait_for("Hello Ada, nice to meet you!")
        terminal.wait_for("> ")
        terminal.type("/list")
        terminal.wait_for(r"1 +\d{4}-\d\d-\d\d \d\d:\d\d +Hello, I am Ada")
        terminal.wait_for("> ")
        terminal.type(CTRL_D)
        # The very command that leads there again.
        conversation_id = terminal.wait_for(f"asyncchat chat --url {up.url} -c conv_[0-9a-z]{{26}}")[-31:]
        assert terminal.end() == 0
    replies = up.get(f"/replies/?conversation_id={conversation_id}")["data"]
    assert sorted(reply["candidate"] for reply in replies) == [1, 2]
    with Terminal("chat", "--url", up.url, "--last") as terminal:
        terminal.wait_for("> Hello, I am Ada")
        terminal.wait_for("> ")
        terminal.type("What is my name?")
        terminal.wait_for("Your name is Ada")
        terminal.type("/new")
        terminal.wait_for("A new conversation")
        terminal.type("/open 1")
        terminal.wait_for("Your name is Ada")


def test_ctrl_c_stops_the_answer_and_not_the_chat(up: Up) -> None:
    with Terminal("chat", "--url", up.url, "--model", "demo-stall") as terminal:
        terminal.wait_for("> ")
        terminal.type("Hello, I am Ada")
        terminal.wait_for("Hello Ada")
        terminal.type(CTRL_C)
        terminal.wait_for("Stopped")
        (stopped,) = up.get("/replies/?status=cancelled&limit=1")["data"]
        assert stopped["content"].startswith("Hello Ada")
        terminal.wait_for("> ")
        terminal.interrupt(until="> ")
        terminal.type("/quit")
        assert terminal.end() == 0


def test_an_answer_in_a_terminal_comes_without_its_escape_sequences(up: Up) -> None:
    evil = "\\e[2J \x9b31m evil \x1b]0;owned\x07 words"
    conversation = up.post("/conversations/?wait=20", {"message": {"content": evil}, "model": "demo-echo"})
    with Terminal("chat", "--url", up.url, "-c", conversation["id"]) as terminal:
        terminal.wait_for("words")
        shown = terminal.wait_for("words")
        assert "\x1b]" not in shown
        assert "\x9b" not in shown


def test_a_gateway_that_dies_mid_answer_is_waited_for_and_the_answer_goes_on(up: Up) -> None:
    """The worker goes on meanwhile; what was missed comes from the log, nothing twice."""
    with Terminal("chat", "--url", up.url, "--model", "demo-load") as terminal:
        terminal.wait_for("> ")
        terminal.type("Count")
        terminal.wait_for("token03")
        os.kill(up.children()["api"], signal.SIGKILL)
        terminal.wait_for("token41")
        shown = terminal.wait_for("> ")
        assert "another try" not in shown
    (reply,) = up.get("/replies/?limit=1")["data"]
    assert (reply["status"], reply["attempt"]) == ("completed", 1)


def test_what_is_said_in_utf_8_is_understood_whatever_the_locale(up: Up) -> None:
    """As on a machine whose locale is C, where Python is kept from doing something about it."""
    locale = {"LC_ALL": "C", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0"}
    asked = run("ask", "hé 漢", url=up.url, stdin="ü", **locale)
    assert asked.returncode == 0
    last = up.get("/conversations/?limit=1")["data"][0]
    assert up.get(f"/conversations/{last['id']}/")["messages"][0]["content"] == "hé 漢\n\nü"
    assert "h? ?" in asked.stdout
    chat = run("chat", url=up.url, stdin="ñandú\n", **locale)
    assert chat.returncode == 0
    assert up.get("/conversations/?limit=1")["data"][0]["title"] == "ñandú"
