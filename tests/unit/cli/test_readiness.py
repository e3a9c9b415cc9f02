"""What `asyncchat up` makes of the gateway's answers, with a real HTTP server."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cli.ports import free_port
from cli.readiness import Readiness, ask_readiness

Answer = Callable[[int, bytes], int]


@pytest.fixture
def answer() -> Iterator[Answer]:
    """Starts a gateway that always gives one answer; its port."""
    servers: list[HTTPServer] = []

    def start(status: int, body: bytes) -> int:
        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(status if self.path == "/readyz" else 404)
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class names it
                """Say nothing."""

        server = HTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        servers.append(server)
        return server.server_address[1]

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def test_a_ready_gateway_tells_its_workers(answer: Answer) -> None:
    port = answer(200, b'{"status": "ready", "redis": "ok", "workers": 2}')
    assert ask_readiness("127.0.0.1", port) == Readiness(2, redis_answers=True)


def test_a_degraded_gateway_is_ready_without_redis(answer: Answer) -> None:
    port = answer(200, b'{"status": "degraded", "redis": "does not answer", "workers": 1}')
    assert ask_readiness("127.0.0.1", port) == Readiness(1, redis_answers=False)


@pytest.mark.parametrize(("status", "body"), [(503, b'{"status": "unready"}'), (200, b"<html>"), (200, b"[]")])
def test_any_other_answer_is_not_ready(answer: Answer, status: int, *, body: bytes) -> None:
    assert ask_readiness("127.0.0.1", answer(status, body)) is None


def test_no_server_is_not_ready() -> None:
    assert ask_readiness("127.0.0.1", free_port()) is None
