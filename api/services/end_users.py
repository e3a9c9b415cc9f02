"""End users: finding what there is of one, and erasing it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Sequence

from api.dependencies import Resources
from api.rendering import Row
from api.services import exports
from shared.clock import now_ms
from shared.errors import NotFound, StorageError
from shared.store import erasure_receipts, usage

log = logging.getLogger(__name__)

# Those that go on after their client was answered, so that nobody collects them.
_under_way: set[asyncio.Task[None]] = set()


async def first(resources: Resources, tenant_id: str, end_user: str) -> Sequence[Row]:
    """The first conversations of the end user; none are left where there is only what was used.

    Raises:
        NotFound: there is nothing at all.
    """
    found = await exports.next_of(resources, tenant_id, end_user, after=None)
    if not found and not await resources.database.read(usage.knows_end_user, tenant_id, end_user):
        raise NotFound("There is nothing of this end user.")
    return found


async def erase(resources: Resources, tenant_id: str, end_user: str) -> Row:
    """Erases all of the end user; the receipt, finished if that took no longer than a client may wait.

    Raises:
        NotFound: there is nothing.
        StorageError: some of it is left. Asking again, or upkeep a minute later, goes on with it.
    """
    row = await resources.database.write(erasure_receipts.begin, tenant_id, end_user, now=now_ms())
    task = asyncio.create_task(resources.eraser.finish(row["id"]), name=row["id"])
    _under_way.add(task)
    task.add_done_callback(_ended)
    await asyncio.wait([task], timeout=resources.settings.max_wait_seconds)
    if task.done():
        await task
    return await receipt(resources, tenant_id, row["id"])


def _ended(task: asyncio.Task[None]) -> None:
    _under_way.discard(task)
    if not task.cancelled() and isinstance(error := task.exception(), StorageError):
        log.warning("an erasure is left for upkeep to finish: %s", error, extra={"erasure_id": task.get_name()})


async def receipt(resources: Resources, tenant_id: str, erasure_id: str) -> Row:
    """The receipt as it is now.

    Raises:
        NotFound: the tenant has no such one.
    """
    return await resources.database.read(erasure_receipts.get, tenant_id, erasure_id)
