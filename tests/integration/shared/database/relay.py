"""A relay between a client and a PostgreSQL server, which loses the connection at a statement of the test's choice."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# How a client says it outside of the extended protocol: psycopg ends its transactions so.
COMMIT = b"COMMIT"


class Relay:
    """Listens in a folder as the server does. It loses one connection after `lose_at_commit`, then works again."""

    def __init__(self, folder: Path, server: str) -> None:
        self._server = server
        self._reaches_server: bool | None = None
        self.lost = threading.Event()
        self._listener = socket.socket(socket.AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        threading.Thread(target=self._accept, daemon=True).start()

    def lose_at_commit(self, *, reaches_server: bool) -> None:
        """The next COMMIT goes to the server or not; its answer goes nowhere."""
        self._reaches_server = reaches_server

    def close(self) -> None:
        """Takes no more connections."""
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            server = socket.socket(socket.AF_UNIX)
            server.connect(self._server)
            threading.Thread(target=self._carry, args=(client, server), daemon=True).start()
            threading.Thread(target=self._back, args=(server, client), daemon=True).start()

    def _carry(self, client: socket.socket, server: socket.socket) -> None:
        with contextlib.suppress(OSError):  # The server may have ended the connection first.
            self._forward(client, server)

    def _forward(self, client: socket.socket, server: socket.socket) -> None:
        while data := _received(client):
            if self._reaches_server is not None and COMMIT in data:
                # Nobody hears the answer; the client sees the end of the connection.
                client.shutdown(socket.SHUT_RDWR)
                if self._reaches_server:
                    server.sendall(data)
                self._reaches_server = None
                self.lost.set()
                break
            server.sendall(data)
        server.shutdown(socket.SHUT_WR)

    def _back(self, server: socket.socket, client: socket.socket) -> None:
        while data := _received(server):
            try:
                client.sendall(data)
            except OSError:
                continue  # What was lost is read all the same, so that the server can go on.
        for each in (server, client):
            each.close()


def _received(connection: socket.socket) -> bytes:
    try:
        return connection.recv(65_536)
    except OSError:
        return b""


@contextmanager
def relayed(folder: Path, server: str) -> Iterator[Relay]:
    """A relay for the block."""
    relay = Relay(folder, server)
    try:
        yield relay
    finally:
        relay.close()
