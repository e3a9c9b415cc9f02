"""What the gateway says of itself and of the workers it sees."""

from __future__ import annotations

import http.client
import json
from dataclasses import dataclass

from cli.ports import local_address

# A gateway that is up answers this at once; a slow one is asked again.
ANSWER_SECONDS = 2.0


@dataclass(frozen=True)
class Readiness:
    """The answer of a ready gateway."""

    workers: int
    redis_answers: bool
    seconds_since_sweep: float = 0.0


def ask_readiness(host: str, port: int) -> Readiness | None:
    """None while the gateway is not ready or not there."""
    connection = http.client.HTTPConnection(local_address(host), port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        found = json.loads(answer.read())
    except (OSError, http.client.HTTPException, ValueError):
        return None
    finally:
        connection.close()
    if answer.status != http.client.OK or not isinstance(found, dict):
        return None
    sweeper = found.get("sweeper") or {}
    return Readiness(
        int(found.get("workers", 0)),
        redis_answers=found.get("redis") == "ok",
        seconds_since_sweep=float(sweeper.get("seconds_since_sweep", 0)),
    )
