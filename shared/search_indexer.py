"""Indexing beside everything else: what was said is put into the index a moment later, in every gateway.

Searching looks at what is not indexed yet too, so nobody waits for this, and several at once share the work.
"""

from __future__ import annotations

import asyncio
import time

from shared.database.access import Database
from shared.store import search_index

# Of the writing thread's time others are left so many times what this takes.
OTHERS_SHARE = 4
# Between two helpings of what nobody waits for, so that what people wait for is written first.
PAUSE_SECONDS = 0.05


async def index_all(database: Database) -> None:
    """Indexes all there is, a little at a time, and leaves most of the time to others.

    Raises:
        StorageError: some of it is left.
    """
    if not await database.read(search_index.has_pending):
        return
    began_at = time.monotonic()
    while await database.write(search_index.index_some):
        await asyncio.sleep(OTHERS_SHARE * (time.monotonic() - began_at))
        began_at = time.monotonic()


async def forget_removed(database: Database) -> None:
    """Writes SQLite's index anew if it still has trigrams of what was erased, a little at a time.

    Raises:
        StorageError: it is not done. Whoever begins again does all of it.
    """
    found = await database.read(search_index.removals)
    if not found:
        return
    goes_on = await database.write(search_index.rewrite_some, is_first=True)
    while goes_on:
        await asyncio.sleep(PAUSE_SECONDS)
        goes_on = await database.write(search_index.rewrite_some, is_first=False)
    await database.write(search_index.note_rewritten, found)
