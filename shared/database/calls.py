"""The calls of a batch: each behind a savepoint of its own, and those that do the same for many behind one."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError, IntegrityError, PendingRollbackError, SQLAlchemyError

from shared.database import driver, postgresql
from shared.database.engine import first_line
from shared.errors import StorageBusy, StorageError, StorageUnavailable

log = logging.getLogger(__name__)

# Marks a call that lost against another transaction: what it did is undone, and it is run alone afterwards.
PUT_ASIDE = StorageBusy("put aside")

# What `Joint.many` gives for a call that is to be made by itself: nothing was done for it.
APART = object()


class Joint(Protocol):
    """A function that can do for many calls at once what it does for one, in fewer statements."""

    def __call__(self, connection: Connection, /, *arguments: Any) -> Any:
        """Does it for one call."""
        ...

    def many(self, connection: Connection, calls: Sequence[tuple[Any, ...]]) -> Sequence[Any]:
        """Does it for calls with these arguments; returns what each would have returned, or APART.

        Whatever it raises, nothing of it is kept, and each call is made by itself.
        """
        ...


class State(Enum):
    WAITING = auto()
    BEGUN = auto()
    WITHDRAWN = auto()


@dataclass(slots=True, eq=False)
class Call:
    function: Callable[..., Any]
    arguments: tuple[Any, ...]
    keywords: dict[str, Any]
    future: asyncio.Future[Any]
    state: State = State.WAITING
    result: Any = APART  # until it is made
    error: BaseException | None = None


def run_all(connection: Connection, calls: list[Call]) -> None:
    """Those that can be made together behind one savepoint, then each of the others behind its own."""
    savepoints = _savepoints(connection)
    for part in _joint_parts(calls):
        next(savepoints)
        _run_together(connection, part)
    for call in calls:
        if call.result is APART:
            next(savepoints)
            _run_in_savepoint(connection, call)


def _savepoints(connection: Connection) -> Iterator[None]:
    """Sets one after the other, each in place of that of the call before; the commit lets go of the last one.

    On PostgreSQL both go in one text: one way there and back, and one wait for the interpreter, less for each call.
    """
    driver.execute(connection, "SAVEPOINT call")
    while True:
        yield
        if connection.dialect.name == "postgresql":
            driver.execute(connection, "RELEASE SAVEPOINT call; SAVEPOINT call")
        else:
            driver.execute(connection, "RELEASE SAVEPOINT call")
            driver.execute(connection, "SAVEPOINT call")


def _joint_parts(calls: list[Call]) -> list[list[Call]]:
    """Those of the calls that can be made together: the same function, for several."""
    by_function: dict[int, list[Call]] = {}
    for call in calls:
        if hasattr(call.function, "many"):
            by_function.setdefault(id(call.function), []).append(call)
    return [part for part in by_function.values() if len(part) > 1]


def _run_together(connection: Connection, calls: list[Call]) -> None:
    """Makes the calls together, or none of them: then each is made by itself, and whoever is at fault hears of it."""
    try:
        results = calls[0].function.many(connection, [call.arguments for call in calls])  # type: ignore[attr-defined]
    except Exception as error:  # noqa: BLE001  Made by itself, a call raises it again if it is its own fault.
        _go_back(connection, error)
        log.debug("%d writes are made one by one: %s", len(calls), error)
        return
    for call, result in zip(calls, results, strict=True):
        call.result = result


def _run_in_savepoint(connection: Connection, call: Call) -> None:
    """Runs one call so that its failure undoes only itself."""
    try:
        call.result = call.function(connection, *call.arguments, **call.keywords)
    except Exception as error:  # noqa: BLE001  It is its caller's.
        _go_back(connection, error)
        call.error = translate(error)


def _go_back(connection: Connection, error: Exception) -> None:
    """Undoes what was done behind the savepoint, since that happened.

    A database that has thrown away the whole transaction (a full disk, a lost connection) has no savepoint to go back
    to: that error leaves here and fails the batch, by its own name.
    """
    try:
        driver.execute(connection, "ROLLBACK TO SAVEPOINT call")
    except SQLAlchemyError as gone:
        raise (error if isinstance(error, DBAPIError) else gone) from None
    if postgresql.is_conflict(error):
        raise error  # The whole transaction is lost.
    if postgresql.is_lock_timeout(error):
        postgresql.hardly_wait_for_locks(connection)


def translate(error: BaseException) -> BaseException:
    """A driver's failure as one of ours; what a caller's function raised stays what it is."""
    if isinstance(error, PendingRollbackError):
        return StorageUnavailable("the connection to the database was lost")
    if isinstance(error, StorageError | IntegrityError) or not isinstance(error, DBAPIError):
        return error
    if postgresql.is_lock_timeout(error) or postgresql.is_conflict(error):
        return PUT_ASIDE
    return StorageUnavailable(f"the database failed: {first_line(error)}")


def answer(batch: list[Call]) -> None:
    """Wakes each event loop once for all of its calls in the batch."""
    by_loop: dict[asyncio.AbstractEventLoop, list[Call]] = {}
    for call in batch:
        if call.state is not State.WITHDRAWN:
            by_loop.setdefault(call.future.get_loop(), []).append(call)
    for loop, calls in by_loop.items():
        try:
            loop.call_soon_threadsafe(_settle, calls)
        except RuntimeError:
            log.warning("%d writes were answered after their event loop had closed", len(calls))


def _settle(calls: list[Call]) -> None:
    for call in calls:
        if call.future.done():  # its task was cancelled
            continue
        if call.error is not None:
            call.future.set_exception(call.error)
        else:
            call.future.set_result(call.result)
