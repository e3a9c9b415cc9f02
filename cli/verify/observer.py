"""What the database of the installation under test says, read beside its processes and never written."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import Connection, RowMapping
from sqlalchemy.exc import DBAPIError

from cli.verify.stored import Attempt, Message, Reply, Stored
from shared.database.engine import first_line, open_engine, parse_url
from shared.errors import StorageUnavailable
from shared.store import census, workers

T = TypeVar("T")

WORKER_ROLE = "worker_"


class Observer:
    """Short reads on connections of their own. Call it from the event loop: they take milliseconds."""

    def __init__(self, database_url: str) -> None:
        self._engine = open_engine(parse_url(database_url), read_only=True)

    def worker_beats(self) -> dict[str, int]:
        """The beat of every worker that has a row. None have while the database does not answer."""
        try:
            beats = self._read(workers.beats)
        except DBAPIError:
            return {}
        return {name: beat for name, beat in beats.items() if name.startswith(WORKER_ROLE)}

    def stored(self) -> Stored:
        """Everything.

        Raises:
            StorageUnavailable: the database does not answer.
        """
        try:
            return self._read(_stored)
        except DBAPIError as error:
            raise StorageUnavailable(f"cannot read what is stored: {first_line(error)}") from None

    def damage(self) -> str | None:
        """What is wrong with the file itself."""
        return self._read(census.damage)

    def _read(self, read: Callable[[Connection], T]) -> T:
        with self._engine.begin() as connection:
            return read(connection)


def _stored(connection: Connection) -> Stored:
    messages = [Message(**row) for row in census.all_messages(connection)]
    texts = {message.reply_id: message.content for message in messages if message.reply_id}
    return Stored(
        messages=messages,
        replies=[_reply(row, texts.get(row["id"])) for row in census.all_replies(connection)],
        attempts=[Attempt(**row) for row in census.all_attempts(connection)],
    )


def _reply(row: RowMapping, text: str | None) -> Reply:
    """As the API shows it: the text is in the message where there is one."""
    values = dict(row)
    partial = values.pop("partial")
    return Reply(**values, content=text if text is not None else partial or "")
