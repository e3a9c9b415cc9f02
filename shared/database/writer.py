"""Group commit: one thread a process writes for everybody in it.

It drains the waiting calls into one transaction, a savepoint each, commits once and then answers them all, so that
many callers share one fsync and one trip through the lock.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from typing import Any

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from shared.database import postgresql
from shared.database.calls import PUT_ASIDE, Call, State, answer, run_all, translate
from shared.database.file_lock import FileLock
from shared.database.gathering import Gathering
from shared.errors import OutcomeUnknown, StorageBusy
from shared.observability import metrics

log = logging.getLogger(__name__)

# More would make the first caller of a batch wait for too many others.
MAX_BATCH = 256
# A call that has not begun by then is withdrawn: its caller hears "try again" and nothing is stored.
BEGIN_WITHIN_SECONDS = 10.0


class Writer:
    """The writing thread of a process. `write` is awaited on any event loop."""

    def __init__(self, engine: Engine, *, file_lock: FileLock | None) -> None:
        self._engine = engine
        if engine.dialect.name == "postgresql":
            event.listen(engine, "connect", postgresql.wait_briefly)
        self._file_lock = file_lock
        self._calls: Gathering[Call] = Gathering()
        self._guard = threading.Lock()  # between a batch that begins and a caller that gives up
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._connection: Connection | None = None
        # What lost against other transactions, each with until when it is tried again.
        self._aside: deque[tuple[float, Call]] = deque()

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Ends the thread after what was already asked for is written."""
        self._calls.end()
        self._thread.join()

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    @property
    def waiting(self) -> int:
        """How many calls wait for the next transaction."""
        return len(self._calls)

    async def write(self, function: Callable[..., Any], *arguments: Any, **keywords: Any) -> Any:
        """Runs `function(connection, …)` in a transaction and returns its result once it is committed.

        Raises:
            StorageBusy: it did not begin within ten seconds and never will.
            StorageUnavailable: the database failed; nothing was stored.
            OutcomeUnknown: the connection was lost while committing.
            Exception: whatever `function` raised; what it did is rolled back.
        """
        loop = asyncio.get_running_loop()
        call = Call(function, arguments, keywords, loop.create_future())
        withdrawal = loop.call_later(BEGIN_WITHIN_SECONDS, self._withdraw, call)
        self._calls.put(call, loop)
        try:
            return await call.future
        finally:
            withdrawal.cancel()

    def _withdraw(self, call: Call) -> None:
        with self._guard:
            if call.state is not State.WAITING:
                return
            call.state = State.WITHDRAWN
        if not call.future.done():
            call.future.set_exception(StorageBusy("the database is busy; nothing was stored"))

    def _run(self) -> None:
        running = True
        while running or self._aside:
            batch = self._next_batch()
            running = running and None not in batch
            if calls := [call for call in batch if call is not None]:
                self._write_batch(calls)
            self._write_aside()
        if self._connection is not None:
            self._connection.close()

    def _next_batch(self) -> list[Call | None]:
        """What waits, and at the end None; waits for something unless a call was put aside."""
        batch = [] if self._aside else [self._calls.get()]
        with suppress(queue.Empty):
            while len(batch) < MAX_BATCH and None not in batch[-1:]:
                batch.append(self._calls.get_nowait())
        return batch

    def _write_batch(self, batch: list[Call]) -> None:
        """Writes the batch and answers its calls, but for those that have to be written alone. Raises nothing."""
        began = time.perf_counter()
        self._try(batch)
        metrics.WRITER_COMMIT.observe(time.perf_counter() - began)
        metrics.WRITER_BATCH.observe(len(batch))
        until = time.monotonic() + postgresql.LOCK_SECONDS
        self._aside += [(until, call) for call in batch if call.error is PUT_ASIDE]
        answer([call for call in batch if call.error is not PUT_ASIDE])

    def _write_aside(self) -> None:
        """Writes what was put aside, each alone, up to the first that loses again: others wait meanwhile."""
        for _ in range(len(self._aside)):
            until, call = self._aside.popleft()
            call.error = None
            self._try([call])
            if call.error is PUT_ASIDE:
                self._aside.append((until, call))
                self._give_up()
                break
            answer([call])

    def _give_up(self) -> None:
        """Refuses what has waited for long enough."""
        now = time.monotonic()
        late = [call for until, call in self._aside if until <= now]
        if late:
            log.warning("%d writes were given up: others hold the rows that they want", len(late))
            self._aside = deque(each for each in self._aside if each[0] > now)
            for call in late:
                call.error = StorageBusy("others keep writing to the same rows; nothing was stored")
            answer(late)

    def _try(self, batch: list[Call]) -> None:
        """One transaction. Those that lost against another one and may do as well alone have the error PUT_ASIDE."""
        try:
            with self._file_lock.held() if self._file_lock else nullcontext(), self._transaction() as connection:
                begun = self._begin(batch)
                if len(begun) == 1:
                    call = begun[0]
                    call.result = call.function(connection, *call.arguments, **call.keywords)
                else:
                    run_all(connection, begun)
        except BaseException as error:  # noqa: BLE001  A dead writer would take the whole process with it.
            translated = translate(error)
            if translated not in (error, PUT_ASIDE):
                log.warning("a batch of %d writes failed: %s", len(batch), error)
            for call in batch:
                call.error = translated

    def _begin(self, batch: list[Call]) -> list[Call]:
        with self._guard:
            begun = [call for call in batch if call.state is not State.WITHDRAWN]
            for call in begun:
                call.state = State.BEGUN
        return begun

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        if self._connection is None:
            self._connection = self._engine.connect()
        connection = self._connection
        transaction = connection.begin()
        try:
            yield connection
        except BaseException:
            self._roll_back(connection)
            raise
        try:
            transaction.commit()
        except SQLAlchemyError as error:
            self._discard(connection)
            if isinstance(error, DBAPIError) and error.connection_invalidated:
                raise OutcomeUnknown("the connection was lost while committing") from error
            raise

    def _roll_back(self, connection: Connection) -> None:
        """Leaves a connection that can begin again, or none, so that the next batch opens another."""
        try:
            connection.rollback()
        except SQLAlchemyError:
            self._discard(connection)

    def _discard(self, connection: Connection) -> None:
        """Closes the connection, and with it a transaction that a failed commit may have left open and locked."""
        self._connection = None
        connection.invalidate()
        connection.close()
