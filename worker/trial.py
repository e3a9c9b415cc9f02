"""A reply that may have killed its worker is tried alone.

Who holds what when it dies cannot say which of it was the reason. Of those that began last the first words of the
model, or an end, are awaited before the worker takes anything else: what kills, kills one worker more and nothing that
stood beside it for the second time (decision 23).
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from typing import Any, Protocol

from shared.store.claims import Claim

# A model that says nothing for so long does not keep a worker from all other work.
TRIAL_SECONDS = 5.0


class Speech(Protocol):
    """What a model says, as far as a trial cares."""

    @property
    def is_empty(self) -> bool:
        """Whether it has said nothing yet."""
        ...


class Trial:
    """Whether a worker has a suspect under way that has not shown yet that it does no harm."""

    def __init__(self) -> None:
        self._task: asyncio.Task[Any] | None = None
        self._said: Speech | None = None
        self._until = 0.0

    def begin(self, task: asyncio.Task[Any], said: Speech) -> None:
        """A suspect is answered by this task."""
        self._task, self._said = task, said
        self._until = time.monotonic() + TRIAL_SECONDS

    @property
    def is_on(self) -> bool:
        """While it is, its worker takes nothing else."""
        if self._task is None or self._said is None:
            return False
        if self._task.done() or not self._said.is_empty or time.monotonic() >= self._until:
            self._task = self._said = None
        return self._task is not None


def may_try(held: Iterable[Claim], *, max_model_calls: int) -> bool:
    """Whether a worker that holds these replies may take a suspect: none of them would end by its death."""
    return all(claim.model_calls < max_model_calls for claim in held)
