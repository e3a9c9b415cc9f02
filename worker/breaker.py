"""The breaker of one upstream: after several failures in a row it is left alone for a while, then tried with one reply.

It belongs to one process, which learns for itself: nothing is stored, and nobody has to be asked.
"""

from __future__ import annotations

import time
from collections.abc import Callable

# One failure may be chance, and each more is a reply that had to go elsewhere.
FAILURES_TO_OPEN = 3
# How long an upstream is left alone; twice as long each time that the reply it was then tried with failed, too.
OPEN_SECONDS = 5.0
MAX_OPEN_SECONDS = 60.0
# Whoever says when to come back is believed up to this: the word of a server that is out of order may be wrong.
MAX_RETRY_AFTER_SECONDS = 300.0


class Breaker:
    """Closed, all replies go to the upstream; open, none; after that, one at a time until one tells how it is."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._failures = 0
        self._seconds = OPEN_SECONDS
        self._open_until: float | None = None
        self._trial: object | None = None

    @property
    def is_closed(self) -> bool:
        """Whether the upstream is taken for sound."""
        return self._open_until is None

    @property
    def admits_trial(self) -> bool:
        """Whether one reply may find out if it is sound again."""
        return self._is_due and self._trial is None

    @property
    def _is_due(self) -> bool:
        return self._open_until is not None and self._clock() >= self._open_until

    def begin(self, reply: object) -> None:
        """The reply goes there."""
        if self.admits_trial:
            self._trial = reply

    def leave(self, reply: object) -> None:
        """It is done there, whether or not that told anything."""
        if self._trial is reply:
            self._trial = None

    def hear(self) -> bool:
        """The upstream says something: nobody need wait for the end of a long answer. True if this closes it.

        It is on trial until it has done its work: the next failure opens it again, for longer.
        """
        # While it is to be left alone, this is an answer that had begun before.
        if not self._is_due:
            return False
        self._open_until = None
        self._failures = FAILURES_TO_OPEN - 1
        self._seconds = min(2 * self._seconds, MAX_OPEN_SECONDS)
        return True

    def succeed(self) -> bool:
        """The upstream did its work. True if this closes it."""
        closes = self.hear()
        self._failures = 0
        if self.is_closed:
            self._seconds = OPEN_SECONDS
        return closes

    def fail(self, *, retry_after: float | None = None) -> float | None:
        """The upstream did not do its work. The seconds for which it is left alone from now on, if that is news."""
        if self.is_closed:
            self._failures += 1
            if self._failures < FAILURES_TO_OPEN and not retry_after:
                return None
        elif self._is_due:
            self._seconds = min(2 * self._seconds, MAX_OPEN_SECONDS)
        elif not retry_after:
            return None
        seconds = min(retry_after, MAX_RETRY_AFTER_SECONDS) if retry_after else self._seconds
        self._open_until = max(self._open_until or 0.0, self._clock() + seconds)
        return seconds
