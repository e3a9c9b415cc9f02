"""Through nginx with its default proxy settings, in front of two gateways."""

from __future__ import annotations

from pathlib import Path

import httpx
import httpx_sse

from tests.wire.asking import Asking
from tests.wire.nginx import Nginx, running_nginx
from tests.wire.test_curl import shows_words_as_they_come

SECONDS = 60.0


def test_words_come_through_as_they_are_said(nginx: Nginx, ask: Asking) -> None:
    """The proxy goes to the gateways in turn: each of the two must pass one on."""
    shown: list[httpx_sse.ServerSentEvent] = []
    with httpx.Client(base_url=nginx.url, timeout=SECONDS) as client:
        asked = ask("demo-5000ms")
        while not shown or shown[-1].event != "reply.completed":
            headers = {"Last-Event-ID": shown[-1].id} if shown else {}
            with httpx_sse.connect_sse(client, "GET", asked.events, headers=headers) as source:
                for event in source.iter_sse():
                    if event.event == "reply.delta" and len(shown) < 4:
                        assert asked.stored()["status"] == "in_progress"
                    shown.append(event)
        assert client.get(asked.events, headers={"Last-Event-ID": shown[-1].id}).status_code == 204
    text = "".join(event.json()["text"] for event in shown if event.event == "reply.delta")
    assert text == asked.stored()["content"]
    assert len({event.id for event in shown}) == len(shown)


def test_curl_shows_words_as_they_come_through_nginx(url: str, ask: Asking, tmp_path: Path) -> None:
    with running_nginx(tmp_path, [url]) as nginx:
        shows_words_as_they_come(nginx.url, ask)


def test_the_answer_to_an_ask_comes_through(nginx: Nginx) -> None:
    with httpx.Client(base_url=nginx.url, timeout=SECONDS) as client:
        conversation = client.post("/conversations/", json={"model": "demo-500ms"}).json()
        path = f"/conversations/{conversation['id']}/ask-message/"
        key = {"Idempotency-Key": conversation["id"]}
        shown: list[httpx_sse.ServerSentEvent] = []
        while not shown or shown[-1].event != "reply.completed":
            headers = {**key, "Last-Event-ID": shown[-1].id} if shown else key
            with httpx_sse.connect_sse(client, "POST", path, json={"content": "Hello"}, headers=headers) as source:
                shown += source.iter_sse()
    assert [event.event for event in shown[:2]] == ["message.created", "reply.queued"]
