"""The single roles: one process each, configured by the settings alone."""

from __future__ import annotations

import os
import sys
from urllib.parse import urlsplit

from cli.child_commands import celery_worker_command, child_python_path
from cli.ports import check_can_listen
from shared.errors import AsyncChatError, SettingsError
from shared.settings import get_settings

# Waiting clients are answered or cut off within this when the gateway is stopped.
MAX_GRACEFUL_SECONDS = 5
BACKLOG = 2048


def run_api(host: str | None, port: int | None) -> None:
    """Serve the gateway until stopped.

    Raises:
        AddressError: the port is taken.
        SettingsError: a setting is wrong.
    """
    settings = get_settings()
    host = host or settings.host
    port = settings.port if port is None else port
    check_can_listen(host, port)
    import uvicorn

    uvicorn.run(
        "api.app:create_app",
        factory=True,
        host=host,
        port=port,
        loop="uvloop",
        http="httptools",
        # The app writes its own lines, with the request's id.
        access_log=False,
        log_config=None,
        server_header=False,
        backlog=BACKLOG,
        timeout_graceful_shutdown=max(1, int(min(MAX_GRACEFUL_SECONDS, settings.drain_seconds))),
    )


def run_worker(slots: int | None) -> None:
    """Become a stock Celery worker.

    Raises:
        SettingsError: a setting is wrong, or none says which model service to ask.
    """
    settings = get_settings()
    if settings.openai_api_key is None and settings.openai_base_url is None:
        raise SettingsError(
            "no model service is configured: set OPENAI_API_KEY (or OPENAI_BASE_URL for another service) in the "
            "environment or in .env; `asyncchat up` runs a demo model that needs neither"
        )
    command = celery_worker_command(slots)
    os.environ["PYTHONPATH"] = child_python_path()
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - our own interpreter


def run_migrate() -> str:
    """Bring the database up to date; what was done, in one line.

    Raises:
        AsyncChatError: the database cannot be opened or migrated.
    """
    url = get_settings().database_url
    from shared.database.schema import migrate

    try:
        migrate(url)
    except AsyncChatError:
        raise
    except Exception as error:  # whatever a driver or the disk raises becomes a sentence
        first_line = str(error).partition("\n")[0]
        raise AsyncChatError(f"cannot use the database {without_password(url)} (DATABASE_URL): {first_line}") from error
    return f"The database {without_password(url)} is up to date."


def without_password(url: str) -> str:
    """The URL as it may be shown."""
    parts = urlsplit(url)
    if parts.password is None:
        return url
    return url.replace(f":{parts.password}@", ":***@", 1)
