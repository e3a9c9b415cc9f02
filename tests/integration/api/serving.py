"""A gateway as a process of its own: `asyncchat api`."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import httpx2

from cli.ports import lasting_ports
from tests.fixtures.waiting import BOUND_SECONDS, wait_for

# It loads most of what is installed, on a machine that may have other things to do.
START_SECONDS = 60.0


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

    def client(self) -> httpx2.Client:
        """One that is as patient as every test."""
        return httpx2.Client(base_url=self.url, timeout=BOUND_SECONDS)

    def is_well(self) -> bool:
        """Whether it answers."""
        with self.client() as client:
            return client.get("/healthz").status_code == 200

    def answer_to(self, request: bytes, *, is_cut: bool = False) -> bytes:
        """The head of the first answer to raw bytes, or nothing if the connection was closed.

        With `is_cut` no more bytes will come.

        Raises:
            TimeoutError: it neither answers nor closes.
        """
        with socket.create_connection(("127.0.0.1", self.port), timeout=BOUND_SECONDS) as connection:
            received = b""
            # It may be closed before all was sent, and have been answered all the same.
            with suppress(ConnectionError):
                connection.sendall(request)
                if is_cut:
                    connection.shutdown(socket.SHUT_WR)
            with suppress(ConnectionError):
                while b"\r\n\r\n" not in received and (piece := connection.recv(65_536)):
                    received += piece
            return received


def command(port: int) -> list[str]:
    """How to serve it."""
    return [sys.executable, "-m", "cli", "api", "--host", "127.0.0.1", "--port", str(port)]


@contextmanager
def served_gateway(database_url: str, redis_url: str, log: Path, **settings: str) -> Iterator[Served]:
    """One process for the block; it is killed at the end if it still runs."""
    (port,) = lasting_ports(1)
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
    with served.client() as client:

        def answers() -> bool:
            assert served.process.poll() is None, served.log()
            try:
                return client.get("/healthz").is_success
            except httpx2.TransportError:
                return False

        assert wait_for(answers, START_SECONDS), "the gateway does not answer"
