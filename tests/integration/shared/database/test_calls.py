"""The calls of a batch: what can be made together is, and each hears of its own failure alone."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import pytest
from sqlalchemy import Connection, event, insert, select

from shared.database.calls import APART, Call, run_all
from shared.database.engine import open_engine, parse_url
from shared.database.models import workers
from shared.errors import NotFound


def worker(name: str) -> dict[str, Any]:
    return {"id": name, "host": "here", "beat": 1, "started_at": 0}


class Add:
    """Adds a worker, or many; those with a name in capitals only by themselves."""

    def __init__(self) -> None:
        self.together: list[Sequence[str]] = []
        self.alone: list[str] = []

    def __call__(self, connection: Connection, name: str) -> str:
        self.alone.append(name)
        if name == "?":
            raise NotFound(name)
        connection.execute(insert(workers), worker(name))
        return name

    def many(self, connection: Connection, calls: Sequence[tuple[str]]) -> list[Any]:
        names = [name for (name,) in calls]
        self.together.append(names)
        connection.execute(insert(workers), [worker(name) for name in names if name.islower()])
        if "?" in names:
            raise NotFound("?")
        return [name if name.islower() else APART for name in names]


@pytest.fixture
def connection(database_url: str) -> Iterator[Connection]:
    with open_engine(parse_url(database_url), read_only=False).connect() as connection:
        yield connection


@pytest.fixture
def run(connection: Connection) -> Callable[..., list[Any]]:
    """Makes the calls in one transaction; returns how each ended."""
    loop = asyncio.new_event_loop()

    def run(*calls: tuple[Callable[..., Any], str]) -> list[Any]:
        made = [Call(function, (name,), {}, loop.create_future()) for function, name in calls]
        with connection.begin():
            run_all(connection, made)
        return [str(call.error) if call.error else call.result for call in made]

    loop.close()
    return run


def stored(connection: Connection) -> list[str]:
    with connection.begin():
        return list(connection.execute(select(workers.c.id).order_by(workers.c.id)).scalars())


def test_calls_of_one_function_are_made_together(run: Callable[..., list[Any]], connection: Connection) -> None:
    add = Add()
    assert run((add, "a"), (add, "b"), (add, "c")) == ["a", "b", "c"]
    assert (add.together, add.alone) == ([["a", "b", "c"]], [])
    assert stored(connection) == ["a", "b", "c"]


def test_a_single_one_is_made_by_itself(run: Callable[..., list[Any]]) -> None:
    first, second = Add(), Add()
    assert run((first, "a"), (second, "b")) == ["a", "b"]
    assert (first.alone, second.alone) == (["a"], ["b"])


def test_what_is_left_out_is_made_by_itself(run: Callable[..., list[Any]], connection: Connection) -> None:
    add = Add()
    assert run((add, "a"), (add, "B"), (add, "c")) == ["a", "B", "c"]
    assert (add.together, add.alone) == ([["a", "B", "c"]], ["B"])
    assert sorted(stored(connection)) == ["B", "a", "c"]


def test_where_they_fail_together_each_is_made_by_itself(run: Callable[..., list[Any]], connection: Connection) -> None:
    """Nothing is kept of what they did together, and only who is at fault hears of it."""
    add = Add()
    assert run((add, "a"), (add, "?"), (add, "c")) == ["a", "?", "c"]
    assert add.alone == ["a", "?", "c"]
    assert stored(connection) == ["a", "c"]


def test_where_the_database_refuses_them_together_each_is_made_by_itself(
    run: Callable[..., list[Any]], connection: Connection
) -> None:
    add = Add()
    ended = run((add, "a"), (add, "a"), (add, "b"))
    assert (ended[0], ended[2]) == ("a", "b")
    assert "constraint" in ended[1].lower()
    assert stored(connection) == ["a", "b"]


def test_others_of_the_batch_are_made_beside_them(run: Callable[..., list[Any]], connection: Connection) -> None:
    def plain(connection: Connection, name: str) -> str:
        connection.execute(insert(workers), worker(name))
        return name

    add = Add()
    assert run((plain, "a"), (add, "b"), (plain, "b"), (add, "c"))[:2] == ["a", "b"]
    assert stored(connection) == ["a", "b", "c"]


def test_one_savepoint_is_enough_for_those_together(run: Callable[..., list[Any]], connection: Connection) -> None:
    heard: list[str] = []
    event.listen(connection, "before_cursor_execute", lambda *said: heard.append(said[2]))
    add = Add()
    run(*((add, f"w{number}") for number in range(20)))
    assert heard[-2].endswith("SAVEPOINT call")
    assert heard[-1].startswith("INSERT")
    assert sum("SAVEPOINT" in text for text in heard) == 1
