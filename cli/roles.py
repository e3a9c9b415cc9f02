"""The single roles: one process each, configured by the settings alone."""

from __future__ import annotations

import os
from importlib import import_module

from cli.file_limit import raise_file_limit
from cli.ports import check_can_listen
from cli.start_gate import pass_gate
from shared.errors import SettingsError
from shared.interpreter import loading
from shared.settings import get_settings

# Waiting clients are answered or cut off within this when the gateway is stopped.
MAX_GRACEFUL_SECONDS = 5
BACKLOG = 2048
# What a gateway opens beside its connections: databases, Redis, pages.
OTHER_FILES = 200


def run_api(host: str | None, port: int | None, *, gate_fd: int | None) -> None:
    """Serve the gateway until stopped. With `gate_fd`, load the code and wait for that gate to open first.

    Raises:
        AddressError: the port is taken.
        SettingsError: a setting is wrong.
    """
    settings = get_settings()
    host = host or settings.host
    port = settings.port if port is None else port
    check_can_listen(host, port)
    # Who may use the server depends on who can reach it.
    os.environ["ASYNCCHAT_HOST"] = host
    get_settings.cache_clear()
    with loading():
        import uvicorn

        from api.http_protocol import bounded_http

        import_module("api.app")
    if gate_fd is not None:
        pass_gate(gate_fd)
    uvicorn.run(
        "api.app:create_app",
        factory=True,
        host=host,
        port=port,
        loop="uvloop",
        http=bounded_http(max(1, min(settings.max_connections, raise_file_limit() - OTHER_FILES))),
        ws="none",
        # The app writes its own lines, with the request's id.
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, int(min(MAX_GRACEFUL_SECONDS, settings.drain_seconds))),
    )


def run_worker(slots: int | None) -> None:
    """Be a Celery worker until stopped.

    Raises:
        SettingsError: a setting is wrong, or none says which model service to ask.
    """
    settings = get_settings()
    if settings.models_path is None and settings.openai_api_key is None and settings.openai_base_url is None:
        raise SettingsError(
            "no model service is configured: set OPENAI_API_KEY (or OPENAI_BASE_URL for another service) in the "
            "environment or in .env, or write a models.toml; `asyncchat up` runs a demo model that needs neither"
        )
    from cli import celery_worker

    celery_worker.run(slots)
