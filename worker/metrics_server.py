"""A worker's metrics over HTTP, on a port of their own: a worker serves nothing else."""

from __future__ import annotations

import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from shared.errors import SettingsError
from shared.observability.metrics import CONTENT_TYPE, exposition, is_metrics_token
from shared.settings import Settings

PATH = "/metrics"
# Whoever connects and says nothing, or does not listen, is cut off.
SILENT_SECONDS = 5.0


class MetricsServer:
    """Answers `GET /metrics` from threads of its own, so that a busy event loop can be looked at."""

    def __init__(self, settings: Settings) -> None:
        self._server: ThreadingHTTPServer | None = None
        if settings.worker_metrics_port is None:
            return
        address = (settings.worker_metrics_host, settings.worker_metrics_port)
        try:
            self._server = _Server(address, _handler(settings.metrics_token))
        except OSError as error:
            raise SettingsError(
                f"cannot serve metrics on {address[0]}:{address[1]}: {error.strerror}; give each worker of a machine "
                "an ASYNCCHAT_WORKER_METRICS_PORT of its own, or none"
            ) from None

    def start(self) -> None:
        """Starts answering, if a port is set."""
        if self._server is not None:
            threading.Thread(target=self._server.serve_forever, name="metrics", daemon=True).start()

    def stop(self) -> None:
        """Answers no more."""
        if self._server is not None:
            self._server.shutdown()
            self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, address: tuple[str, int], handler: type[BaseHTTPRequestHandler]) -> None:
        self.address_family = socket.getaddrinfo(*address, type=socket.SOCK_STREAM)[0][0]
        super().__init__(address, handler)


def _handler(token: str | None) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = SILENT_SECONDS

        def do_GET(self) -> None:
            if self.path.partition("?")[0].rstrip("/") != PATH:
                self.send_error(404)
            elif token and not is_metrics_token(self.headers.get("Authorization", ""), token):
                self.send_error(401)
            else:
                body = exposition()
                self.send_response(200)
                self.send_header("Content-Type", CONTENT_TYPE)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

        def version_string(self) -> str:
            """Nobody's business."""
            return "asyncchat"

        def log_message(self, *_: object) -> None:
            """Scrapes are of no interest."""

    return Handler
