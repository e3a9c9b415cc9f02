"""`asyncchat health`: whether this machine's gateway or worker does its work, for whatever watches containers."""

from __future__ import annotations

import socket
import time
from collections.abc import Callable

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from cli.readiness import ask_readiness
from shared.database.engine import open_engine, parse_url
from shared.errors import AsyncChatError
from shared.settings import get_settings
from shared.store import workers

# A gateway sweeps after each of its beats, every 1.5 s; a busy database may hold one up for ten.
MAX_SWEEP_AGE_SECONDS = 15.0
# Three beats.
BEAT_BOUND_SECONDS = 4.5
LOOK_AGAIN_SECONDS = 0.25


class Unhealthy(AsyncChatError):
    """The role does not do its work. The message says what is missing."""


def check_api() -> str:
    """Asks this machine's gateway; what it found, in one line.

    Raises:
        Unhealthy: it does not answer, has no database to write to, or has stopped sweeping.
    """
    settings = get_settings()
    found = ask_readiness(settings.host, settings.port)
    if found is None:
        raise Unhealthy(f"no gateway is ready on port {settings.port}")
    if found.seconds_since_sweep > MAX_SWEEP_AGE_SECONDS:
        raise Unhealthy(f"the gateway has not swept for {found.seconds_since_sweep:.0f} s")
    return f"The gateway is ready and swept {found.seconds_since_sweep:.1f} s ago."


def check_worker() -> str:
    """Watches the beats of this machine's workers in the database until one moves; which one, in one line.

    A beat moves only while the worker's event loop turns and its writes are committed.

    Raises:
        Unhealthy: no worker of this machine beats, or the database does not answer.
    """
    engine = open_engine(parse_url(get_settings().database_url), read_only=True)
    try:
        with engine.connect() as connection:
            return _until_one_moves(lambda: _beats_here(connection))
    except DBAPIError as error:
        raise Unhealthy(f"cannot read the workers' beats: {error.orig}") from None


def _beats_here(connection: Connection) -> dict[str, int]:
    with connection.begin():
        return workers.beats_on(connection, socket.gethostname(), role="worker")


def _until_one_moves(beats: Callable[[], dict[str, int]]) -> str:
    first = beats()
    deadline = time.monotonic() + BEAT_BOUND_SECONDS
    while time.monotonic() < deadline:
        time.sleep(LOOK_AGAIN_SECONDS)
        for process_id, beat in beats().items():
            if beat != first.setdefault(process_id, beat):
                return f"{process_id} beats."
    raise Unhealthy(f"no beat of {', '.join(first) or 'any worker on this machine'} in {BEAT_BOUND_SECONDS} s")
