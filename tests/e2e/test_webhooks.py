"""A webhook of a real installation whose worker is killed while it sends."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from standardwebhooks import Webhook

from tests.fixtures.up import StartUp
from tests.fixtures.waiting import wait_for

# Far more than a take-over takes.
BOUND_SECONDS = 60.0


class _Server(ThreadingHTTPServer):
    """Keeps what it hears. The first request gets no answer until `let_go`."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.heard: list[tuple[dict[str, str], bytes]] = []
        self.let_go = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        self.server.heard.append((dict(self.headers), body))
        if len(self.server.heard) == 1:
            self.server.let_go.wait(BOUND_SECONDS)
            return
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def receiver() -> Iterator[_Server]:
    with _Server() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.let_go.set()
        server.shutdown()
        thread.join()


def test_what_a_killed_worker_was_sending_is_sent_again_under_the_same_id(
    receiver: _Server, database_url: str, start_up: StartUp
) -> None:
    up = start_up(environment={"DATABASE_URL": database_url})
    up.wait_until_ready()
    webhook = up.post("/webhooks/", {"url": f"http://127.0.0.1:{receiver.server_port}/"})
    asked = up.post("/conversations/", {"model": "demo-fast", "message": {"content": "Hello"}})
    assert wait_for(lambda: receiver.heard)
    os.kill(up.worker(1), signal.SIGKILL)
    assert wait_for(lambda: len(receiver.heard) == 2, BOUND_SECONDS)
    (headers, body), (again, same) = receiver.heard
    assert (again["webhook-id"], same) == (headers["webhook-id"], body)
    said = Webhook(webhook["secret"]).verify(same, again)
    assert said["data"]["reply"]["id"] == asked["turn"]["replies"][0]["id"]

    def is_delivered() -> bool:
        (delivery,) = up.get(f"/webhooks/{webhook['id']}/deliveries/")["data"]
        return bool(delivery["status"] == "delivered" and delivery["tries"] == 2)

    assert wait_for(is_delivered)
