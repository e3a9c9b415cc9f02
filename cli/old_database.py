"""Another chat program's SQLite file: which tables and columns mean what, and what was said."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from shared.errors import AsyncChatError

_CONVERSATIONS = ("conversations", "conversation", "chats", "threads")
_MESSAGES = ("messages", "message")
# What columns may be called, the likeliest first.
_PARENT = ("conversation_id", "chat_id", "thread_id")
_ROLE = ("sender", "role", "author")
_CONTENT = ("content", "text", "message", "body")
_TITLE = ("title", "name")
_TIME = ("created_at", "timestamp", "created", "time")
_ROLES = {
    **dict.fromkeys(("user", "human", "me"), "user"),
    **dict.fromkeys(("assistant", "chatbot", "bot", "ai", "gpt", "model"), "assistant"),
    "system": "system",
}
# Instants larger than this are milliseconds: as seconds they would be after the year 5000.
_MILLISECONDS_FROM = 100_000_000_000


class NotUnderstood(AsyncChatError):
    """The file is none that can be imported. The message says what was seen in it."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Which table and column means what. What is None is not there."""

    conversations: str
    messages: str
    parent: str
    role: str
    content: str
    title: str | None
    said_at: str | None

    def __str__(self) -> str:
        title = f", titles from {self.conversations}.{self.title}" if self.title else ""
        times = f", times from {self.messages}.{self.said_at}" if self.said_at else ", no times"
        return (
            f"conversations from the table {self.conversations}{title}; messages from {self.messages}, "
            f"who said it from {self.role}, what from {self.content}, where from {self.parent}{times}"
        )


@dataclass(frozen=True, slots=True)
class OldMessage:
    """What was said, by `user`, `assistant` or `system`; when, in milliseconds, where that is known."""

    role: str
    content: str
    said_at: int | None


@dataclass(frozen=True, slots=True)
class OldConversation:
    """A conversation with its id there, and its place among the others: the id where that is a number, else 0."""

    old_id: str
    place: int
    title: str | None
    messages: Sequence[OldMessage]
    # Messages in which nothing was said.
    blank: int


class OldDatabase:
    """The file, opened for reading."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.layout = _understand(_tables(connection))

    def conversations(self) -> Iterator[OldConversation]:
        """All of them, in order of their ids."""
        layout = self.layout
        title = _quoted(layout.title) if layout.title else "null"
        query = f"select id, {title} from {_quoted(layout.conversations)} order by id"  # noqa: S608  Quoted names.
        for old_id, name in self._connection.execute(query):
            yield self._conversation(old_id, title=str(name) if name else None)

    def _conversation(self, old_id: object, *, title: str | None) -> OldConversation:
        layout = self.layout
        said_at = _quoted(layout.said_at) if layout.said_at else "null"
        query = (
            f"select {_quoted(layout.role)}, {_quoted(layout.content)}, {said_at} from {_quoted(layout.messages)} "  # noqa: S608
            f"where {_quoted(layout.parent)} = ? order by id"
        )
        found = [
            OldMessage(self._role(role), _text(content), _instant(when))
            for role, content, when in self._connection.execute(query, (old_id,))
        ]
        said = [message for message in found if message.content.strip()]
        if all(message.said_at is not None for message in said):
            said.sort(key=lambda message: message.said_at or 0)
        place = old_id if isinstance(old_id, int) and old_id >= 0 else 0
        return OldConversation(str(old_id), place, title and _text(title), said, len(found) - len(said))

    def _role(self, role: object) -> str:
        known = _ROLES.get(str(role).strip().lower())
        if known is None:
            column = f"{self.layout.messages}.{self.layout.role}"
            raise NotUnderstood(
                f"{column} has {role!r:.40}, and what is understood there is {', '.join(sorted(_ROLES))}"
            )
        return known


@contextmanager
def opened(file: Path) -> Iterator[OldDatabase]:
    """The file for the block, read as it is at the beginning.

    Raises:
        NotUnderstood: it is no SQLite file, or of a layout that is not known.
    """
    try:
        connection = sqlite3.connect(f"{file.resolve().as_uri()}?mode=ro", uri=True)
        try:
            connection.execute("begin")
            yield OldDatabase(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise NotUnderstood(f"cannot read {file}: {error}") from None


def _tables(connection: sqlite3.Connection) -> Mapping[str, Sequence[str]]:
    """The columns of each table."""
    names = connection.execute("select name from sqlite_master where type = 'table' and name not like 'sqlite%'")
    return {
        name: [row[0] for row in connection.execute("select name from pragma_table_info(?)", (name,))]
        for (name,) in names.fetchall()
    }


def _understand(tables: Mapping[str, Sequence[str]]) -> Layout:
    if "alembic_version" in tables and "replies" in tables:
        raise NotUnderstood("this is a database of Async Chat API itself: `asyncchat copy` moves it to another one")
    conversations, messages = _first(_CONVERSATIONS, tables), _first(_MESSAGES, tables)
    has = tables.get(messages or "", ())
    parent, role, content = _first(_PARENT, has), _first(_ROLE, has), _first(_CONTENT, has)
    if not (conversations and messages and parent and role and content):
        raise NotUnderstood(_what_was_seen(tables))
    head = tables[conversations]
    if "id" not in head or "id" not in has:
        raise NotUnderstood(_what_was_seen(tables))
    return Layout(
        conversations,
        messages,
        parent=parent,
        role=role,
        content=content,
        title=_first(_TITLE, head),
        said_at=_first(_TIME, has),
    )


def _what_was_seen(tables: Mapping[str, Sequence[str]]) -> str:
    seen = "; ".join(f"{name} ({', '.join(columns)})" for name, columns in tables.items()) or "no tables at all"
    return (
        "this file is not understood: it should have a table conversations (id) and a table messages (id, "
        f"conversation_id, sender or role, content), and it has {seen:.800}"
    )


def _first(names: Sequence[str], present: Mapping[str, object] | Sequence[str]) -> str | None:
    """The first of the names that is there, spelled as it is there."""
    spelled = {name.lower(): name for name in present}
    return next((spelled[name] for name in names if name in spelled), None)


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'


def _text(value: object) -> str:
    """As text that every database takes."""
    text = value.decode(errors="replace") if isinstance(value, bytes) else "" if value is None else str(value)
    return text.replace("\0", "")


def _instant(value: object) -> int | None:
    """Milliseconds, from a number of seconds or milliseconds or from ISO 8601; what says no zone is UTC."""
    with contextlib.suppress(TypeError, ValueError):
        number = float(value)  # type: ignore[arg-type]  # what is none raises
        return int(number if number >= _MILLISECONDS_FROM else number * 1000)
    try:
        moment = datetime.fromisoformat(str(value))
    except ValueError:
        return None
    return int((moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() * 1000)
