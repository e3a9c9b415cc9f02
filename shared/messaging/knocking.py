"""Knocking: one worker is told at once of a reply, ahead of the bell that would ring for it alone (decision 28)."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence

from shared.messaging.notices import Notifier


class Knocker:
    """Knocks at one of the `workers()`, given by their process ids: any, so that none gets all that is lone."""

    def __init__(self, notifier: Notifier, workers: Callable[[], Sequence[str]]) -> None:
        self._notifier = notifier
        self._workers = workers

    def knock(self, count: int) -> bool:
        """Tells one worker of so many due replies. False: there is none that is known to live."""
        workers = self._workers()
        if workers:
            self._notifier.knock(random.choice(workers), count)
        return bool(workers)
