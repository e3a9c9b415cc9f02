"""Uvicorn, set up to start fast, to stop at once, and to let the application break a connection on purpose."""

import socket
from typing import TextIO

import uvicorn
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from demo_model.app import DemoModel

BACKLOG = 2048
KEEP_ALIVE_SECONDS = 75  # longer than any client keeps a connection, so that the client is the one to close it
GRACE_SECONDS = 1


class TransportInScope(HttpToolsProtocol):
    """Hands the application the connection's transport, which ASGI itself has no way to reset."""

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self.scope["state"]["transport"] = self.transport


class DemoServer(uvicorn.Server):
    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or ():
            print(f"demo model on {base_url(listener)}", flush=True)  # noqa: T201 - whoever chose port 0 reads it here

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Drop open connections first: an answer may otherwise take an hour."""
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await super().shutdown(sockets)


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises OSError where the address cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    return socket.create_server((host, port), family=family, backlog=BACKLOG)


def base_url(listener: socket.socket) -> str:
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}/v1" if ":" in host else f"http://{host}:{port}/v1"


def serve(listener: socket.socket, *, journal: TextIO | None = None) -> None:
    """Serve until SIGTERM or SIGINT, which uvicorn raises again once it has stopped."""
    config = uvicorn.Config(
        DemoModel(journal),
        http=TransportInScope,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE_SECONDS,
        timeout_graceful_shutdown=GRACE_SECONDS,
    )
    DemoServer(config).run(sockets=[listener])
