"""A browser's EventSource, as Node.js has it: it reconnects by itself, and stops when there is nothing more."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from tests.wire.asking import NODE_FOLDER, Asking

SECONDS = 90

Listen = Callable[[str], list[dict[str, Any]]]


@pytest.fixture
def listen() -> Iterator[Listen]:
    """Listens to a URL, and returns all it saw until it gave up by itself. It is loaded before anything is asked."""
    command = ["node", str(NODE_FOLDER / "listen.mjs")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True) as listening:

        def to(url: str) -> list[dict[str, Any]]:
            seen, errors = listening.communicate(url + "\n", timeout=SECONDS)
            assert (listening.returncode, errors) == (0, "")
            return [json.loads(line) for line in seen.splitlines()]

        try:
            assert listening.stdout
            assert json.loads(listening.stdout.readline()) == {"loaded": True}
            yield to
        finally:
            listening.kill()


def _events(seen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert seen[-1] == {"closed": True, "code": 204}
    return [each for each in seen if "kind" in each]


def _text(events: list[dict[str, Any]]) -> str:
    return "".join(each["data"]["text"] for each in events if each["kind"] == "reply.delta")


def test_it_reads_a_reply_and_stops(url: str, listen: Listen, ask: Asking) -> None:
    asked = ask("demo-1000ms")
    events = _events(listen(url + asked.events))
    assert [each["kind"] for each in events[:3]] == ["reply.queued", "reply.started", "reply.delta"]
    assert events[-1]["data"]["reply"] == asked.stored()
    assert _text(events) == asked.stored()["content"]


def test_it_comes_back_after_every_connection_and_misses_nothing(hasty_url: str, listen: Listen, ask: Asking) -> None:
    asked = ask("demo-8000ms")
    seen = listen(hasty_url + asked.events)
    events = _events(seen)
    assert seen.count({"open": True}) > 2
    assert _text(events) == asked.stored()["content"]
    assert len({each["id"] for each in events}) == len(events)


def test_it_reads_a_turn_and_stops(hasty_url: str, listen: Listen, ask: Asking) -> None:
    asked = ask("demo-3000ms")
    events = _events(listen(f"{hasty_url}/conversations/{asked.conversation_id}/turns/1/events/"))
    assert events[0]["kind"] == "message.created"
    assert _text(events) == asked.stored()["content"]
