"""A database on which anything may happen, one step after another, and a judge who looks after each."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import count
from typing import Any, Concatenate, ParamSpec, TypeVar
from unittest.mock import patch

import pytest
from hypothesis import note
from hypothesis.stateful import RuleBasedStateMachine, invariant
from sqlalchemy import Row, text

from shared import ids
from shared.database.models import metadata
from shared.reply_status import ReplyStatus
from shared.store import takeovers, workers
from shared.store.claims import Claim
from tests.integration.shared.rows import CAPS, MINUTE, Tables
from tests.integration.shared.store.promises import Promises, Step, World, check_tokens

P = ParamSpec("P")
T = TypeVar("T")

# Far from zero, so that a clock may be set back.
START = 10**12
HOUR = 60 * MINUTE


@dataclass(frozen=True)
class Hold:
    """A claim that a worker got once. Nobody tells it when it loses one."""

    worker_id: str
    claim: Claim


class Scene(RuleBasedStateMachine):
    """What the rules stand on: the clock, what was seen last, and what workers believe that they hold."""

    def __init__(self, tables: Tables, outcomes: Counter[str]) -> None:
        super().__init__()
        self.tables = tables
        self.outcomes = outcomes
        self.now = START
        self.step = Step()
        self.holds: list[Hold] = []
        self.workers: list[str] = []
        self._numbers = count(1)
        # The order of claims depends on ids: chance must not choose them if a run is to be repeated.
        self._ids = patch.object(ids, "_ulid", lambda: f"{next(self._numbers):06}")
        self._ids.start()
        self._empty()
        tables.listen()
        self.promises = Promises(tables(World.look))

    def _empty(self) -> None:
        names = ["moves_seen", *metadata.tables]
        with self.tables.connection.begin():
            if self.tables.connection.dialect.name == "postgresql":
                self.tables.connection.execute(text(f"truncate {', '.join(names)}"))
                return
            for table in ["moves_seen", *(table.name for table in reversed(metadata.sorted_tables))]:
                self.tables.connection.exec_driver_sql(f"delete from {table}")  # noqa: S608  Names of our own.

    @property
    def world(self) -> World:
        """What the last look showed."""
        return self.promises.before

    @invariant()
    def what_is_promised_holds(self) -> None:
        """After every step."""
        step, self.step = self.step, Step()
        self.promises.judge(self.tables(World.look), step)

    def do(self, function: Callable[Concatenate[Any, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """One transaction that is to succeed."""
        self.outcomes[function.__name__] += 1
        return self.tables(function, *args, **kwargs)

    def refused(
        self, error: type[Exception], function: Callable[Concatenate[Any, P], Any], *args: P.args, **kwargs: P.kwargs
    ) -> None:
        """One transaction that is to be refused, and to leave everything as it was."""
        self.outcomes[f"{function.__name__}: {error.__name__}"] += 1
        note(f"  refused with {error.__name__}")
        with pytest.raises(error):
            self.tables(function, *args, **kwargs)
        assert self.tables(World.look) == self.world

    def attempt(
        self,
        error: type[Exception] | None,
        function: Callable[Concatenate[Any, P], T],
        *args: P.args,
        **kwargs: P.kwargs,
    ) -> T | None:
        """Either of them."""
        if error is None:
            return self.do(function, *args, **kwargs)
        self.refused(error, function, *args, **kwargs)
        return None

    def about(self, *conversation_ids: str) -> None:
        """What the step may change."""
        note(f"  at {self.now - START}: {', '.join(conversation_ids)}")
        self.step.conversations |= set(conversation_ids)

    @staticmethod
    def pick(choices: Sequence[T], number: int) -> T:
        """One of them. The number is Hypothesis' to choose, and a small one is simple."""
        return choices[number % len(choices)]

    def of_dead(self, worker_id: str) -> list[Row[Any]]:
        """The replies that the worker holds, as the tables have it."""
        return [row for row in self.world.replies.values() if row.worker_id == worker_id]

    def teardown(self) -> None:
        """In the end nobody works any more, and the sweeper alone ends everything."""
        try:
            if sys.exc_info()[0] is None:
                self._end_of_days()
        finally:
            self._ids.stop()

    def _end_of_days(self) -> None:
        tables = self.tables
        self.what_is_promised_holds()
        for worker_id, beat in tables(workers.beats).items():
            tables(takeovers.take_over, worker_id, last_beat=beat, caps=CAPS, now=self.now)
        for worker_id in tables(takeovers.ownerless):
            tables(takeovers.take_over, worker_id, last_beat=None, caps=CAPS, now=self.now)
        tables(takeovers.stamp_again, now=self.now)
        late = self.now + 10 * HOUR
        for row in tables(takeovers.overdue, now=late, limit=1000):
            tables(takeovers.expire, row, caps=CAPS, now=late)
        self.step.conversations |= self.world.conversations.keys()
        self.what_is_promised_holds()
        for row in self.world.replies.values():
            assert ReplyStatus(row.status).is_terminal
            self.outcomes[row.status] += 1
        assert self.world.beats == {}
        with tables.connection.begin():
            check_tokens(tables.connection.execute(text("select * from moves_seen")).all())
