"""Reads replies for whoever waits: those that are asked for in one moment with one statement.

A thousand replies may end in a second, each with somebody to be told. One at a time, a way to a thread and back and a
statement of its own is most of what that costs.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any

from shared.database.access import Database
from shared.errors import NotFound
from shared.store import replies

# The last of a statement waits for the first; this many take a few milliseconds.
MOST_AT_ONCE = 100

_Asked = tuple[str, asyncio.Future[Mapping[str, Any] | None]]


class ReplyReader:
    """One statement at a time. What is asked for meanwhile is read by the next: never before it was asked for."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._asked: list[_Asked] = []
        self._task: asyncio.Task[None] | None = None

    async def read(self, tenant_id: str, reply_id: str) -> Mapping[str, Any]:
        """The reply as it is now, with the `version` of its conversation.

        Raises:
            NotFound: the tenant has no such reply.
            StorageUnavailable: the database did not answer.
        """
        found: asyncio.Future[Mapping[str, Any] | None] = asyncio.get_running_loop().create_future()
        self._asked.append((reply_id, found))
        if self._task is None:
            self._task = asyncio.create_task(self._read_all(), name="replies that are asked for")
        row = await found
        if row is None or row["tenant_id"] != tenant_id:
            raise NotFound("There is no such reply.")
        return row

    async def _read_all(self) -> None:
        try:
            while self._asked:
                some, self._asked = self._asked[:MOST_AT_ONCE], self._asked[MOST_AT_ONCE:]
                await self._read(some)
        finally:
            self._task = None

    async def _read(self, asked: list[_Asked]) -> None:
        try:
            rows = await self._database.read(replies.by_ids, {reply_id for reply_id, _ in asked})
        except Exception as error:  # noqa: BLE001  it is for those who asked
            for _, found in asked:
                if not found.done():
                    found.set_exception(error)
        else:
            for reply_id, found in asked:
                # It may have been given up meanwhile.
                if not found.done():
                    found.set_result(rows.get(reply_id))
