"""Is the gateway ready, and how many workers does it see?"""

from __future__ import annotations

import http.client
import json

from cli.ports import local_address

# A gateway that is up answers this at once; a slow one is asked again.
ANSWER_SECONDS = 2.0


def live_workers(host: str, port: int) -> int:
    """How many workers a ready gateway sees; -1 while it is not ready or not there."""
    connection = http.client.HTTPConnection(local_address(host), port, timeout=ANSWER_SECONDS)
    try:
        connection.request("GET", "/readyz")
        answer = connection.getresponse()
        body = answer.read()
        if answer.status != 200:
            return -1
        workers = json.loads(body).get("workers")
    except (OSError, http.client.HTTPException, ValueError, AttributeError):
        return -1
    finally:
        connection.close()
    return workers if isinstance(workers, int) else 0
