"""Writing what must be written, however long the database is away."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from typing import Any, TypeVar

from shared.clock import now_ms
from shared.database.access import Database
from shared.errors import StorageError

log = logging.getLogger(__name__)

T = TypeVar("T")

# How long to wait before a write that failed is tried again; what it is about is held meanwhile.
STORE_AGAIN_SECONDS = 0.5


async def store(database: Database, move: Callable[..., T], *args: Any, **kwargs: Any) -> T:
    """Writes until the database has it. The move carries a token, so that a repeat of a write of unknown outcome is
    harmless.

    Raises:
        Lost: what it is about is somebody else's now.
    """
    while True:
        try:
            return await database.write(move, *args, **kwargs, now=now_ms())
        except StorageError as error:
            log.warning("will store this again: %s", error)
            await asyncio.sleep(STORE_AGAIN_SECONDS)
