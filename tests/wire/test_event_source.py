"""A browser's EventSource, as Node.js has it: it reconnects by itself, and stops when there is nothing more."""

from __future__ import annotations

import json
import subprocess
from typing import Any

from tests.wire.asking import NODE_FOLDER, Asking

SECONDS = 90


def _listen(url: str) -> list[dict[str, Any]]:
    """All it saw, until it gave up by itself."""
    listening = subprocess.run(
        ["node", str(NODE_FOLDER / "listen.mjs"), url], capture_output=True, text=True, timeout=SECONDS, check=True
    )
    assert listening.stderr == ""
    return [json.loads(line) for line in listening.stdout.splitlines()]


def _events(seen: list[dict[str, Any]]) -> list[dict[str, Any]]:
    assert seen[-1] == {"closed": True, "code": 204}
    return [each for each in seen if "kind" in each]


def _text(events: list[dict[str, Any]]) -> str:
    return "".join(each["data"]["text"] for each in events if each["kind"] == "reply.delta")


def test_it_reads_a_reply_and_stops(url: str, ask: Asking) -> None:
    asked = ask("demo-1000ms")
    events = _events(_listen(url + asked.events))
    assert [each["kind"] for each in events[:3]] == ["reply.queued", "reply.started", "reply.delta"]
    assert events[-1]["data"]["reply"] == asked.stored()
    assert _text(events) == asked.stored()["content"]


def test_it_comes_back_after_every_connection_and_misses_nothing(hasty_url: str, ask: Asking) -> None:
    asked = ask("demo-8000ms")
    seen = _listen(hasty_url + asked.events)
    events = _events(seen)
    assert seen.count({"open": True}) > 2
    assert _text(events) == asked.stored()["content"]
    assert len({each["id"] for each in events}) == len(events)


def test_it_reads_a_turn_and_stops(hasty_url: str, ask: Asking) -> None:
    asked = ask("demo-3000ms")
    events = _events(_listen(f"{hasty_url}/conversations/{asked.conversation_id}/turns/1/events/"))
    assert events[0]["kind"] == "message.created"
    assert _text(events) == asked.stored()["content"]
