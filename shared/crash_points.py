"""Places where a process may be made to die, so that tests can show what is left then.

`ASYNCCHAT_FAULT=worker.finish.before:2` kills the process, as `kill -9` would, the second time it gets there. It is
for tests alone; without it a crash point costs one comparison.
"""

from __future__ import annotations

import logging
import os
import signal

VARIABLE = "ASYNCCHAT_FAULT"

NAMES = frozenset(
    {
        "worker.claim.before",
        "worker.claim.committed",  # claimed, and the model not yet asked
        "worker.text.received",  # at each piece of text
        "worker.finish.before",  # the model is done, and nothing is written
        "worker.finish.committed",  # ended in the database, and nobody told
        "worker.requeue.committed",
        "worker.delivery.answered",  # a webhook was sent, and nothing is written
        "api.ask.committed",  # accepted, and neither answered nor rung for
        "eraser.helping.committed",  # some is erased, and the event logs are still there
        "sweeper.take_over.committed",  # taken over, and nobody told
    }
)

log = logging.getLogger(__name__)

_wanted, _, _nth = os.environ.get(VARIABLE, "").partition(":")
_left = int(_nth) if _nth.isdecimal() else 1


def crash_point(name: str) -> None:
    """Marks a place in the code by one of NAMES."""
    if name == _wanted:
        _count_down()


def _count_down() -> None:
    global _left
    _left -= 1
    if _left == 0:
        log.warning("%s: this process is killed at %s", VARIABLE, _wanted)
        os.kill(os.getpid(), signal.SIGKILL)
