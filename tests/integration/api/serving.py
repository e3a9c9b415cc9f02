"""A gateway as a process of its own: `asyncchat api`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx2

START_SECONDS = 30.0


class Served:
    """The process and where it listens."""

    def __init__(self, process: subprocess.Popen[bytes], port: int, log: Path) -> None:
        self.process = process
        self.port = port
        self.url = f"http://127.0.0.1:{port}"
        self._log = log

    def log(self) -> str:
        """All it has said so far."""
        return self._log.read_text()

    def exchange(self, request: bytes) -> bytes:
        """Sends raw bytes and returns all that comes back until the server closes or falls silent for a second."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=1) as connection:
            connection.sendall(request)
            received = b""
            try:
                while piece := connection.recv(65_536):
                    received += piece
            except TimeoutError:
                pass
            return received


def command(port: int) -> list[str]:
    """How to serve it."""
    return [sys.executable, "-m", "cli", "api", "--host", "127.0.0.1", "--port", str(port)]


@contextmanager
def served_gateway(database_url: str, redis_url: str, log: Path, **settings: str) -> Iterator[Served]:
    """One process for the block; it is killed at the end if it still runs."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("ASYNCCHAT_", "OPENAI_"))}
    environment |= {"DATABASE_URL": database_url, "REDIS_URL": redis_url, **settings}
    with log.open("wb") as output:
        process = subprocess.Popen(command(port), env=environment, stdout=output, stderr=output)
    served = Served(process, port, log)
    try:
        _wait_until_it_answers(served)
        yield served
    finally:
        process.kill()
        process.wait()


def _wait_until_it_answers(served: Served) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            httpx2.get(f"{served.url}/healthz")
            return
        except httpx2.TransportError:
            assert served.process.poll() is None, served.log()
            assert time.monotonic() < deadline, "the gateway does not answer"
