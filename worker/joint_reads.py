"""Reads that many replies want in the same moment, as their prompts after a claim: a few trips for all of them."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from shared.database.access import Database

P = ParamSpec("P")
T = TypeVar("T")

# The first of a trip waits for the last, and other reading threads are to have something to do.
AT_ONCE = 16


@dataclass(frozen=True, slots=True, eq=False)
class _Want:
    read: Callable[[Connection], Any]
    answer: asyncio.Future[Any]


@dataclass(frozen=True, slots=True)
class _Failed:
    error: Exception


class JointReads:
    """`read` is that of `Database`; what is asked for in one turn of the event loop shares trips to its threads."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._wanted: list[_Want] = []
        self._trips: set[asyncio.Task[None]] = set()

    async def read(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """See `Database.read`.

        Raises:
            StorageUnavailable: the database did not answer.
            Exception: whatever `function` raised.
        """
        loop = asyncio.get_running_loop()
        if not self._wanted:
            loop.call_soon(self._set_out)
        want = _Want(lambda connection: function(connection, *args, **kwargs), loop.create_future())
        self._wanted.append(want)
        return cast(T, await want.answer)

    async def stop(self) -> None:
        """Waits for the trips that are under way, also those of which nobody wants anything any more."""
        if self._trips:
            await asyncio.wait(list(self._trips))

    def _set_out(self) -> None:
        wanted, self._wanted = self._wanted, []
        for start in range(0, len(wanted), AT_ONCE):
            trip = asyncio.create_task(self._fetch(wanted[start : start + AT_ONCE]))
            self._trips.add(trip)
            trip.add_done_callback(self._trips.discard)

    async def _fetch(self, wanted: Sequence[_Want]) -> None:
        try:
            found = await self._database.read(_all, wanted)
        except Exception as error:  # noqa: BLE001  It is theirs who wanted something.
            found = [_Failed(error)] * len(wanted)
        for want, answer in zip(wanted, found, strict=True):
            if want.answer.done():  # its task was cancelled
                continue
            if isinstance(answer, _Failed):
                want.answer.set_exception(answer.error)
            else:
                want.answer.set_result(answer)


def _all(connection: Connection, wanted: Sequence[_Want]) -> list[Any]:
    return [_one(connection, want) for want in wanted]


def _one(connection: Connection, want: _Want) -> Any:
    try:
        return want.read(connection)
    except DBAPIError:
        raise  # There is nothing to be read for the others, either.
    except Exception as error:  # noqa: BLE001  It is about this one alone.
        return _Failed(error)
