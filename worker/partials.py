"""The text so far of all that a worker says, stored once a second for whoever reads it, in one write for all."""

from __future__ import annotations

import logging
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from shared.database.access import Database
from shared.errors import StorageError
from shared.messaging.reply_events import Cursor
from shared.store import moves
from shared.store.claims import Claim
from shared.store.moves import Lost
from worker.reply_stream import ReplyStream

log = logging.getLogger(__name__)


class Talking(Protocol):
    """A reply that is being answered. `saved` is up to where its text is stored."""

    claim: Claim
    stream: ReplyStream
    saved: Cursor


T = TypeVar("T", bound=Talking)


@dataclass(frozen=True, slots=True)
class _Partial:
    """What went out of one reply, up to the cursor."""

    claim: Claim
    text: str
    cursor: Cursor
    lengths: Sequence[int]


async def save(database: Database, answered: Collection[T]) -> Sequence[T]:
    """Stores what there is more of than before. Returns those whose reply is somebody else's now."""
    talking = [each for each in answered if each.stream.cursor != each.saved]
    if not talking:
        return []
    partials = [
        _Partial(each.claim, each.stream.sent_text, each.stream.cursor, list(each.stream.lengths)) for each in talking
    ]
    try:
        kept = await database.write(_store, partials)
    except StorageError as error:
        log.warning("the text so far of %d replies was not stored: %s", len(partials), error)
        return []
    for each, partial, is_mine in zip(talking, partials, kept, strict=True):
        if is_mine:
            each.saved = partial.cursor
    return [each for each, is_mine in zip(talking, kept, strict=True) if not is_mine]


def _store(connection: Connection, partials: Sequence[_Partial]) -> list[bool]:
    return [_is_stored(connection, partial) for partial in partials]


def _is_stored(connection: Connection, partial: _Partial) -> bool:
    cursor, lengths = str(partial.cursor), partial.lengths
    try:
        moves.save_partial(connection, partial.claim, partial.text, cursor=cursor, lengths=lengths)
    except Lost:
        return False  # Nothing was written, so that nothing is to be undone.
    return True
