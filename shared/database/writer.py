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
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

from sqlalchemy import Connection, Engine
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
# A call that loses against other transactions so often, alone, is refused.
TRIES = 3


class Writer:
    """The writing thread of a process. `write` is awaited on any event loop."""

    def __init__(self, engine: Engine, *, file_lock: FileLock | None) -> None:
        self._engine = engine
        self._file_lock = file_lock
        self._calls: Gathering[Call] = Gathering()
        self._guard = threading.Lock()  # between a batch that begins and a caller that gives up
        self._thread = threading.Thread(target=self._run, name="writer", daemon=True)
        self._connection: Connection | None = None

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
        while running:
            first = self._calls.get()
            if first is None:
                break
            batch = [first]
            while len(batch) < MAX_BATCH:
                try:
                    call = self._calls.get_nowait()
                except queue.Empty:
                    break
                if call is None:
                    running = False
                    break
                batch.append(call)
            self._write_batch(batch)
        if self._connection is not None:
            self._connection.close()

    def _write_batch(self, batch: list[Call]) -> None:
        """Writes the batch and answers its calls, those that have to be written alone last. Raises nothing."""
        began = time.perf_counter()
        again = self._try(batch, may_repeat=True)
        metrics.WRITER_COMMIT.observe(time.perf_counter() - began)
        metrics.WRITER_BATCH.observe(len(batch))
        answer([call for call in batch if call not in again])
        for call in again:
            self._write_alone(call)
            answer([call])

    def _write_alone(self, call: Call) -> None:
        for tries_left in reversed(range(TRIES)):
            call.error = None
            if not self._try([call], may_repeat=tries_left > 0):
                return

    def _try(self, batch: list[Call], *, may_repeat: bool) -> list[Call]:
        """One transaction. Returns the calls that lost against another transaction and may do as well alone."""
        try:
            with self._file_lock.held() if self._file_lock else nullcontext(), self._transaction() as connection:
                begun = self._begin(batch)
                if len(begun) == 1:
                    call = begun[0]
                    call.result = call.function(connection, *call.arguments, **call.keywords)
                else:
                    run_all(connection, begun)
        except BaseException as error:  # noqa: BLE001  A dead writer would take the whole process with it.
            if may_repeat and postgresql.is_conflict(error):
                return batch
            translated = translate(error)
            if translated is not error:
                log.warning("a batch of %d writes failed: %s", len(batch), error)
            for call in batch:
                call.error = translated
            return []
        return [call for call in batch if call.error is PUT_ASIDE]

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
