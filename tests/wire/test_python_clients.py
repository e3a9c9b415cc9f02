"""httpx-sse and sseclient-py read our streams."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import httpx
import httpx_sse
import sseclient

from tests.wire.asking import Asking

SECONDS = 60.0


def _shown(events: Iterable[tuple[str, dict[str, Any]]]) -> tuple[str, dict[str, Any] | None]:
    """The text, and the reply at its end."""
    text, ended = "", None
    for kind, data in events:
        text += data["text"] if kind == "reply.delta" else ""
        ended = data["reply"] if kind == "reply.completed" else ended
    return text, ended


def test_httpx_sse_reads_a_reply(url: str, ask: Asking) -> None:
    asked = ask("demo-1000ms")
    with httpx.Client(timeout=SECONDS) as client, httpx_sse.connect_sse(client, "GET", url + asked.events) as source:
        events = list(source.iter_sse())
    text, ended = _shown((event.event, event.json()) for event in events)
    assert ended == asked.stored()
    assert text == ended["content"]
    assert [event.event for event in events[:3]] == ["reply.queued", "reply.started", "reply.delta"]
    assert all(event.id and event.retry is None for event in events)


def test_httpx_sse_resumes_by_the_id_of_the_last_event(url: str, hasty_url: str, ask: Asking) -> None:
    seen: list[httpx_sse.ServerSentEvent] = []
    connections = 0
    with httpx.Client(timeout=SECONDS) as client:
        asked = ask("demo-5000ms")
        while not seen or seen[-1].event != "reply.completed":
            headers = {"Last-Event-ID": seen[-1].id} if seen else {}
            gateway = (hasty_url, url)[connections == 3]
            with httpx_sse.connect_sse(client, "GET", gateway + asked.events, headers=headers) as source:
                seen += source.iter_sse()
            connections += 1
        told = client.get(url + asked.events, headers={"Last-Event-ID": seen[-1].id})
    assert told.status_code == 204
    assert connections > 2
    text, ended = _shown((event.event, event.json()) for event in seen)
    assert ended is not None
    assert text == ended["content"]
    assert len({event.id for event in seen}) == len(seen)


def test_httpx_sse_reads_the_answer_to_an_ask(url: str) -> None:
    with httpx.Client(base_url=url, timeout=SECONDS) as client:
        conversation = client.post("/conversations/", json={"model": "demo-500ms"}).json()
        path = f"/conversations/{conversation['id']}/ask-message/"
        with httpx_sse.connect_sse(client, "POST", path, json={"content": "Hello, I am Ada", "n": 2}) as source:
            assert source.response.headers["Location"] == f"/conversations/{conversation['id']}/turns/1/"
            events = list(source.iter_sse())
    assert events[0].event == "message.created"
    ends = [event.json()["reply"] for event in events if event.event == "reply.completed"]
    assert len(ends) == 2
    for ended in ends:
        pieces = [event.json() for event in events if event.event == "reply.delta"]
        assert "".join(each["text"] for each in pieces if each["reply_id"] == ended["id"]) == ended["content"]


def test_sseclient_reads_a_reply(url: str, ask: Asking) -> None:
    asked = ask("demo-1000ms")
    headers = {"Accept": "text/event-stream"}
    with httpx.stream("GET", url + asked.events, headers=headers, timeout=SECONDS) as answer:
        events = list(sseclient.SSEClient(answer.iter_bytes()).events())
    text, ended = _shown((event.event, json.loads(event.data)) for event in events)
    assert ended == asked.stored()
    assert text == ended["content"]


def test_sseclient_reads_a_conversation_as_it_goes_on(url: str, ask: Asking) -> None:
    asked = ask("demo-fast")
    kinds: list[str] = []
    with httpx.stream("GET", f"{url}/conversations/{asked.conversation_id}/events/", timeout=SECONDS) as answer:
        for event in sseclient.SSEClient(answer.iter_bytes()).events():
            kinds.append(event.event)
            assert not event.id
            if event.event == "snapshot":
                # Perhaps the first is answered by now.
                ask.once_more(asked)
            if event.event == "reply.completed" and json.loads(event.data)["reply"]["turn"] == 2:
                break
    assert kinds[0] == "snapshot"
    assert "reply.delta" in kinds[kinds.index("message.created") :]
