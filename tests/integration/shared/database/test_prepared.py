"""A prepared statement does what Core's execute does, on the driver's own cursor."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from sqlalchemy import (
    Connection,
    String,
    Update,
    bindparam,
    column,
    event,
    insert,
    literal,
    select,
    tuple_,
    update,
    values,
)
from sqlalchemy.exc import IntegrityError, PendingRollbackError

from shared.database.engine import open_engine, parse_url
from shared.database.models import DEFAULT_TENANT, conversations, replies, workers
from shared.database.prepared import LENGTHS, Prepared, PreparedRows
from shared.store import turns
from shared.store.turns import Ask
from tests.integration.shared.rows import NOW, Tables

_ADD = Prepared(insert(workers))
_AMONG = Prepared(select(workers.c.id).where(workers.c.id.in_(bindparam("ids", expanding=True))).order_by(workers.c.id))
_ONE = Prepared(select(workers.c.id, workers.c.slots).where(workers.c.id == bindparam("of_worker")))


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    """One that finds three workers."""
    with open_engine(parse_url(database_url), read_only=False).connect() as connection:
        for beat, name in enumerate("abc", start=1):
            _ADD.run(connection, worker(name, beat=beat))
        connection.commit()
        yield connection


def worker(name: str, **more: int) -> dict[str, Any]:
    return {"id": name, "host": "here", "beat": 1, "started_at": 0, **more}


def test_an_insert_takes_the_columns_it_is_given_and_leaves_the_others_to_the_database(connection: Connection) -> None:
    _ADD.run(connection, {"slots": 7, **worker("d")})
    assert _ONE.all(connection, {"of_worker": "a"}) == [("a", None)]
    assert _ONE.all(connection, {"of_worker": "d"}) == [("d", 7)]


def test_what_a_row_holds_is_what_core_reads(tables: Tables) -> None:
    """Objects, truth values, nulls, enumerations: whatever the driver makes of them."""
    asked = Ask("Hello", 1, None, "m", 1, parameters={"temperature": 0.5, "stop": ["é"]}, metadata={"a": "b"})
    tables(turns.ask, DEFAULT_TENANT, tables.conversation(), asked=asked, now=NOW)
    query = select(replies).where(replies.c.tenant_id == bindparam("of_tenant"))
    with tables.connection.begin():
        (expected,) = tables.connection.execute(query, {"of_tenant": DEFAULT_TENANT}).mappings()
        found = Prepared(query).mapping(tables.connection, {"of_tenant": DEFAULT_TENANT})
        row = Prepared(query).one_or_none(tables.connection, {"of_tenant": DEFAULT_TENANT})
    assert found == dict(expected) == row._asdict()
    assert found is not None
    assert found["parameters"] == {"temperature": 0.5, "stop": ["é"]}
    assert found["selected"] is False


def test_what_is_written_is_what_core_writes(tables: Tables) -> None:
    conversation_id = tables.conversation()
    keep = update(conversations).where(conversations.c.id == bindparam("of")).values(metadata=bindparam("said"))
    said = {"a": "ö", "b": None}
    with tables.connection.begin():
        assert Prepared(keep).run(tables.connection, {"of": conversation_id, "said": said}) == 1
        assert Prepared(keep).run(tables.connection, {"of": "none", "said": said}) == 0
        assert tables.connection.execute(select(conversations.c.metadata)).scalar_one() == said


@pytest.mark.parametrize("length", range(10))
def test_a_list_may_have_any_length(length: int, connection: Connection) -> None:
    names = list("abcdefghijk")[:length]
    assert _AMONG.scalars(connection, {"ids": names}) == names[:3]


def test_the_texts_for_many_lengths_of_a_list_are_few(connection: Connection) -> None:
    statement = Prepared(select(workers.c.id).where(workers.c.id.in_(bindparam("ids", expanding=True))))
    for length in range(1, 129):
        statement.all(connection, {"ids": ["a"] * length})
    assert len(statement._forms) == 8


def test_a_list_may_be_of_pairs(connection: Connection) -> None:
    pairs = Prepared(
        select(workers.c.id)
        .where(tuple_(workers.c.id, workers.c.beat).not_in(bindparam("pairs", expanding=True)))
        .order_by(workers.c.id)
    )
    assert pairs.scalars(connection, {"pairs": [("a", 1), ("b", 7), ("c", 3)]}) == ["b"]


def test_a_row_that_is_not_there_is_none(connection: Connection) -> None:
    gone = {"of_worker": "x"}
    assert (_ONE.one_or_none(connection, gone), _ONE.scalar(connection, gone)) == (None, None)
    assert (_ONE.mapping(connection, gone), _ONE.all(connection, gone)) == (None, [])
    assert _ONE.one_or_none(connection, {"of_worker": "a"}).id == "a"


def test_constants_of_the_statement_and_columns_without_a_name_come_along(connection: Connection) -> None:
    query = Prepared(select(literal(7), literal("%s?:x")).where(workers.c.host == "here").limit(1))
    assert query.all(connection, {}) == [(7, "%s?:x")]


def test_a_name_that_is_missing_is_told(connection: Connection) -> None:
    with pytest.raises(Exception, match="of_worker"):
        _ONE.all(connection, {})


def test_a_broken_constraint_is_told_as_sqlalchemy_tells_it(connection: Connection) -> None:
    with (
        pytest.raises(IntegrityError) as told,
        connection.begin(),
    ):
        _ADD.run(connection, {**worker("a"), "host": "secret"})
    assert "secret" not in str(told.value)
    assert not told.value.connection_invalidated
    assert _ONE.scalar(connection, {"of_worker": "a"}) == "a"


def test_a_connection_that_was_lost_is_told_and_another_is_made(connection: Connection) -> None:
    lost: Any = connection.connection.dbapi_connection
    connection.begin()
    lost.close()
    with pytest.raises(Exception, match="closed") as told:
        _ONE.scalar(connection, {"of_worker": "a"})
    assert getattr(told.value, "connection_invalidated", False)
    with pytest.raises(PendingRollbackError):
        _ONE.scalar(connection, {"of_worker": "a"})
    connection.rollback()
    assert _ONE.scalar(connection, {"of_worker": "a"}) == "a"


def test_it_begins_a_transaction_where_there_is_none(connection: Connection) -> None:
    _ADD.run(connection, worker("d"))
    connection.rollback()
    assert _ONE.scalar(connection, {"of_worker": "d"}) is None


def test_who_listens_to_statements_hears_of_it(connection: Connection) -> None:
    heard: list[tuple[str, Any]] = []
    event.listen(connection, "before_cursor_execute", lambda *said: heard.append((said[2], said[3])))
    with connection.begin():
        heard.clear()
        _ONE.scalar(connection, {"of_worker": "a"})
    ((text, parameters),) = heard
    assert text.startswith("SELECT")
    assert parameters in (("a",), {"of_worker": "a"})


# --- many rows ---

_ADD_MANY = PreparedRows.inserting(insert(workers).returning(workers.c.id), "id", "host", "beat", "started_at")


@pytest.mark.parametrize("length", [0, 1, 2, 3, 13, LENGTHS[0], 3 * LENGTHS[0] + 5])
def test_any_number_of_rows_is_inserted(length: int, connection: Connection) -> None:
    rows = [worker(f"w{number:03}", beat=number) for number in range(length)]
    assert sorted(_ADD_MANY.all(connection, rows)) == [(row["id"],) for row in rows]
    query = select(workers.c.id, workers.c.beat).where(workers.c.id.like("w%")).order_by(workers.c.id)
    assert [tuple(row) for row in connection.execute(query)] == [(row["id"], row["beat"]) for row in rows]


def test_the_statements_for_any_number_of_rows_are_few(connection: Connection) -> None:
    add, heard = PreparedRows.inserting(insert(workers), "id", "host", "beat", "started_at"), set[str]()
    event.listen(connection, "before_cursor_execute", lambda *said: heard.add(said[2]))
    for length in range(1, 2 * LENGTHS[0]):
        add.run(connection, [worker(f"w{length}_{number}") for number in range(length)])
    assert sum(text.startswith("INSERT") for text in heard) == len(LENGTHS)


def _touching(length: int) -> Update:
    """So many workers, each of which gets a beat more."""
    names = (
        values(column("name", String)).data([(bindparam(f"name_{number}"),) for number in range(length)]).cte("names")
    )
    return update(workers).where(workers.c.id == names.c.name).values(beat=workers.c.beat + 1).returning(workers.c.id)


@pytest.mark.parametrize("length", [0, 1, 5, 13, LENGTHS[0], LENGTHS[0] + 7])
def test_rows_that_may_repeat_fill_one_statement_and_count_once(length: int, connection: Connection) -> None:
    names = [f"w{number:03}" for number in range(length)]
    for name in names:
        _ADD.run(connection, worker(name))
    heard: list[str] = []
    event.listen(connection, "before_cursor_execute", lambda *said: heard.append(said[2]))
    touched = PreparedRows(_touching, may_repeat=True).all(connection, [{"name": name} for name in names])
    assert len(heard) == -(-length // LENGTHS[0])
    assert sorted(touched) == [(name,) for name in names]
    beats = connection.execute(select(workers.c.beat).where(workers.c.id.like("w%"))).scalars()
    assert list(beats) == [2] * length


def test_rows_of_any_kind_are_inserted_as_core_does(tables: Tables) -> None:
    """Objects, nulls and enumerations, also in the rows behind the first."""
    asked = Ask("Hello", 5, None, "m", 1, parameters={"stop": ["é"]}, metadata={"a": "b"}, request={"x": None})
    tables(turns.ask, DEFAULT_TENANT, tables.conversation(), asked=asked, now=NOW)
    with tables.connection.begin():
        found = tables.connection.execute(select(replies.c.parameters, replies.c.metadata, replies.c.request)).all()
        nulls = tables.connection.execute(select(replies.c.id).where(replies.c.key_id.is_(None))).all()
    assert [tuple(row) for row in found] == [({"stop": ["é"]}, {"a": "b"}, {"x": None, "first_turn": 1})] * 5
    assert len(nulls) == 5
