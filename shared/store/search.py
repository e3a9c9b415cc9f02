"""Finding conversations by what was said in them, or by their titles.

The index narrows by trigrams, the folded text decides, and what is not indexed yet is looked at as it is. Words that
are too common or too short for the index (fewer than three characters) are looked for conversation by conversation,
for so long; the page then ends where the looking did, and its cursor goes on from there.
"""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Integer,
    RowMapping,
    Select,
    column,
    func,
    literal,
    select,
    table,
    tuple_,
)
from sqlalchemy.dialects.postgresql import ARRAY

from shared.database.models import conversations, in_no_index, messages, search_documents, search_pending
from shared.search_text import fold, grams_to_ask, has_all, numbers_of, snippet
from shared.store.conversations import Order

# With more matches than this, looking at the last changed conversations finds a page sooner.
COMMON = 1000
# How many conversations are looked through at once where no index helps, and for how long a page goes on with it.
WINDOW = 50
PATIENCE_SECONDS = 0.5
# How much of what is not indexed yet is looked at, newest first. It is indexed within seconds, except right after an
# upgrade or a copy of a large database.
PENDING_ROWS = 1000
PENDING_CHARS = 4_000_000

_d = search_documents.c
_c = conversations.c
_IN_TITLE = "title"
# SQLite's FTS5 table, whose own name is the column that is matched.
_fts = table("search_index", column("rowid"), column("search_index"))


@dataclass(frozen=True, slots=True)
class Search:
    """What is looked for, whose, and from where on. `words` are folded and not empty."""

    tenant_id: str
    words: Sequence[str]
    limit: int
    after: tuple[int, str] | None = None
    order: Order = "desc"
    end_user: str | None = None


@dataclass(frozen=True, slots=True)
class Match:
    """Where in a conversation it was found first: in its title, or in this message."""

    snippet: str
    message_id: str | None = None
    turn: int | None = None


@dataclass(frozen=True, slots=True)
class FoundPage:
    """Conversations with their matches. `following` is the position to go on after, None at the end."""

    rows: Sequence[tuple[RowMapping, Match]]
    following: tuple[int, str] | None


@dataclass(order=True, slots=True)
class _Hit:
    """A conversation in which it was found: in that message, the newest one, or in its title."""

    position: tuple[int, str]
    message_id: str | None = field(compare=False)


def find(connection: Connection, search: Search) -> FoundPage:
    """A page of the conversations that have all words in their title, or in one message, by last change.

    It may be shorter than the limit although there are more to come: only `following` says that.
    """
    end = None
    hits = _by_index(connection, search)
    if hits is None:
        hits, end = _by_looking_through(connection, search)
    # Of what is found in one conversation, what was said last.
    found = {hit.position: hit for hit in [*hits, *reversed(list(_pending(connection, search, until=end)))]}
    ordered = sorted(found.values(), reverse=search.order == "desc")
    if len(ordered) > search.limit:
        ordered = ordered[: search.limit]
        end = ordered[-1].position
    return FoundPage(list(_shown(connection, ordered, search.words)), end)


def _has_index(connection: Connection) -> bool:
    if connection.dialect.name == "postgresql":
        return True
    known = connection.info.get("has_search_index")
    if known is None:
        made = connection.exec_driver_sql("select count(*) from sqlite_master where name = 'search_index'")
        known = connection.info["has_search_index"] = bool(made.scalar_one())
    return bool(known)


def _is_between(search: Search, position: tuple[int, str], until: tuple[int, str] | None) -> bool:
    """Whether a position is after that of the search, and not after the other."""
    if search.order == "desc":
        return (search.after is None or position < search.after) and (until is None or position >= until)
    return (search.after is None or position > search.after) and (until is None or position <= until)


def _visible(search: Search, query: Select[Any], *, tenant_id: ColumnElement[str] = _c.tenant_id) -> Select[Any]:
    """Only the conversations that the search may find."""
    query = query.where(tenant_id == search.tenant_id, _c.kind == "chat")
    return query if search.end_user is None else query.where(_c.end_user == search.end_user)


def _of(search: Search, query: Select[Any]) -> Select[Any]:
    """Only the conversations that the search may find, in order, from its position on."""
    query = _visible(search, query)
    key = tuple_(_c.updated_at, _c.id)
    descending = search.order == "desc"
    if search.after is not None:
        query = query.where(key < tuple_(*search.after) if descending else key > tuple_(*search.after))
    return query.order_by(*((_c.updated_at.desc(), _c.id.desc()) if descending else (_c.updated_at, _c.id)))


def _has_words(connection: Connection, words: Iterable[str]) -> list[ColumnElement[bool]]:
    place = func.strpos if connection.dialect.name == "postgresql" else func.instr
    return [place(_d.text, word) > 0 for word in words]


def _by_index(connection: Connection, search: Search) -> list[_Hit] | None:
    """What the index finds, or None if it cannot help."""
    grams = grams_to_ask(search.words)
    if not grams or not _has_index(connection):
        return None
    query = select(_d.id, _d.conversation_id, _d.message_id)
    if connection.dialect.name == "postgresql":
        query = query.where(_d.grams.op("@>")(literal(numbers_of(grams), ARRAY(Integer))))
    else:
        phrases = " AND ".join('"' + gram.replace('"', '""') + '"' for gram in grams)
        query = query.join_from(_fts, search_documents, _d.id == _fts.c.rowid)
        query = query.where(_fts.c.search_index.op("MATCH")(phrases))
    query = query.where(_d.tenant_id == search.tenant_id, *_has_words(connection, search.words))
    rows = connection.execute(query.limit(COMMON + 1)).all()
    if len(rows) > COMMON:
        return None
    newest = {row.conversation_id: row for row in sorted(rows, key=lambda row: row.id)}
    if not newest:
        # To learn that none of these is among none, a database reads them all.
        return []
    # Ordered here: SQLite would read all conversations in order, and look for each of them in the list.
    places = connection.execute(_visible(search, select(_c.id, _c.updated_at).where(_c.id.in_(list(newest)))))
    hits = [_Hit((row.updated_at, row.id), newest[row.id].message_id) for row in places]
    return [hit for hit in hits if _is_between(search, hit.position, None)]


def _by_looking_through(connection: Connection, search: Search) -> tuple[list[_Hit], tuple[int, str] | None]:
    """What is found in the next conversations, and the last one that was looked at, unless there are no more."""
    newest = (
        select(func.coalesce(_d.message_id, _IN_TITLE))
        .where(_d.conversation_id == _c.id, *_has_words(connection, search.words))
        .order_by(_d.id.desc())
        .limit(1)
        .correlate(conversations)
        .scalar_subquery()
    )
    hits: list[_Hit] = []
    give_up_at = time.monotonic() + PATIENCE_SECONDS
    while True:
        query = _of(search, select(_c.id, _c.updated_at, newest.label("found_in"))).limit(WINDOW)
        rows = connection.execute(query).all()
        for row in rows:
            if row.found_in is not None:
                message_id = None if row.found_in == _IN_TITLE else row.found_in
                hits.append(_Hit((row.updated_at, row.id), message_id))
        if len(rows) < WINDOW:
            return hits, None
        search = replace(search, after=(rows[-1].updated_at, rows[-1].id))
        if len(hits) > search.limit or time.monotonic() > give_up_at:
            return hits, search.after


def _pending(connection: Connection, search: Search, *, until: tuple[int, str] | None) -> Iterator[_Hit]:
    """What is found in that which is not indexed yet."""
    newest = select(search_pending).order_by(search_pending.c.id.desc()).limit(PENDING_ROWS).subquery()
    query = _visible(
        search,
        select(_c.id, _c.updated_at, _c.title, newest.c.message_id, messages.c.content)
        .join_from(newest, conversations, _c.id == newest.c.conversation_id)
        .outerjoin(messages, messages.c.id == newest.c.message_id),
        tenant_id=in_no_index(_c.tenant_id),
    ).order_by(newest.c.id.desc())
    chars = 0
    with connection.execute(query.execution_options(yield_per=50)) as rows:
        for row in rows:
            text = (row.title if row.message_id is None else row.content) or ""
            position = (row.updated_at, row.id)
            chars += len(text)
            if chars > PENDING_CHARS:
                return
            if _is_between(search, position, until) and has_all(fold(text), search.words):
                yield _Hit(position, row.message_id)


def _shown(connection: Connection, hits: Sequence[_Hit], words: Sequence[str]) -> Iterator[tuple[RowMapping, Match]]:
    heads = _rows_by_id(connection, select(conversations).where(_c.id.in_([hit.position[1] for hit in hits])))
    said = _rows_by_id(
        connection,
        select(messages.c.id, messages.c.turn, messages.c.content).where(
            messages.c.id.in_([hit.message_id for hit in hits if hit.message_id is not None])
        ),
    )
    for hit in hits:
        head = heads[hit.position[1]]
        # The title tells most.
        if hit.message_id is None or has_all(fold(head["title"] or ""), words):
            yield head, Match(snippet(head["title"] or "", words))
        else:
            message = said[hit.message_id]
            yield head, Match(snippet(message["content"], words), hit.message_id, message["turn"])


def _rows_by_id(connection: Connection, query: Select[Any]) -> Mapping[str, RowMapping]:
    return {row["id"]: row for row in connection.execute(query).mappings()}
