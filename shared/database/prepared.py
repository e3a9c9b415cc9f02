"""Statements that run all the time: written as Core, compiled once, run on the driver's cursor.

SQLAlchemy's execute finds out anew each time what is the same each time: which text, which parameters, how rows are
read. On SQLite that takes ten times what the statement itself takes.
"""

from __future__ import annotations

from collections import namedtuple
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BindParameter,
    Connection,
    Delete,
    Dialect,
    Insert,
    Select,
    Update,
    bindparam,
)
from sqlalchemy.sql import visitors

from shared.database import driver

Values = Mapping[str, Any]
Statement = Select[*tuple[Any, ...]] | Insert | Update | Delete

# Over so many rows a statement is written. Most batches are two portions, and all texts together are few enough for
# a connection to keep them ready.
LENGTHS = (64, 48, 32, 24, 16, 12, 8, 6, 4, 3, 2, 1)


class Prepared:
    """One statement of SQLAlchemy Core, for every database, and from any thread.

    Values are given by the names of its `bindparam`s, and to an insert also by those of columns. Rows are named tuples.
    """

    def __init__(self, statement: Statement) -> None:
        self._statement = statement
        self._is_insert = isinstance(statement, Insert)
        self._lists = tuple(
            part.key for part in visitors.iterate(statement) if isinstance(part, BindParameter) and part.expanding
        )
        self._forms: dict[Any, _Form] = {}

    def all(self, connection: Connection, values: Values) -> list[Any]:
        """Its rows."""
        form, values = self._form(connection, values)
        return list(map(form.row, form.fetch(connection, values)))

    def one_or_none(self, connection: Connection, values: Values) -> Any:
        """Its row, or None; there may not be more."""
        form, values = self._form(connection, values)
        found = form.fetch_one(connection, values)
        return None if found is None else form.row(found)

    def scalars(self, connection: Connection, values: Values) -> list[Any]:
        """The first column of its rows."""
        form, values = self._form(connection, values)
        return [row[0] for row in form.fetch(connection, values)]

    def scalar(self, connection: Connection, values: Values) -> Any:
        """The first column of its row, or None where there is no row."""
        form, values = self._form(connection, values)
        found = form.fetch_one(connection, values)
        return None if found is None else found[0]

    def mappings(self, connection: Connection, values: Values) -> list[dict[str, Any]]:
        """Its rows by the names of the columns."""
        form, values = self._form(connection, values)
        return [dict(zip(form.names, row, strict=True)) for row in form.fetch(connection, values)]

    def mapping(self, connection: Connection, values: Values) -> dict[str, Any] | None:
        """Its row by the names of the columns, or None."""
        form, values = self._form(connection, values)
        found = form.fetch_one(connection, values)
        return None if found is None else dict(zip(form.names, found, strict=True))

    def run(self, connection: Connection, values: Values) -> int:
        """Runs a statement that returns no rows. Returns how many it has changed."""
        form, values = self._form(connection, values)
        return int(form.run(connection, values).rowcount)

    def _form(self, connection: Connection, values: Values) -> tuple[_Form, Values]:
        if not connection.in_transaction():
            connection.begin()
        shape: Any = connection.dialect.name
        if self._is_insert:
            shape = (shape, *values)
        elif self._lists:
            lists = {name: _padded(values[name]) for name in self._lists}
            values = {**values, **lists}
            shape = (shape, *map(len, lists.values()))
        form = self._forms.get(shape)
        if form is None:
            form = self._forms[shape] = _Form(self._statement, connection.dialect, values)
        return form, values


class PreparedRows:
    """One statement over many rows: few texts, and few trips to the database.

    `make` writes it for so many rows. Its `bindparam`s are called `name_0`, `name_1`, …; those that are the same for
    all rows go without a number. Where a row may as well be there several times, `may_repeat`, the last one fills what
    the text has more than there are.
    """

    def __init__(self, make: Callable[[int], Statement], *, may_repeat: bool = False) -> None:
        self._make = make
        self._may_repeat = may_repeat
        self._of_length: dict[int, Prepared] = {}

    @classmethod
    def inserting(cls, statement: Insert, *names: str) -> PreparedRows:
        """The insert, filling these columns."""
        columns = statement.table.c

        def make(length: int) -> Insert:
            # Of the rows behind the first, Core would not know the types.
            return statement.values(
                [
                    {name: bindparam(f"{name}_{number}", type_=columns[name].type) for name in names}
                    for number in range(length)
                ]
            )

        return cls(make)

    def run(self, connection: Connection, rows: Sequence[Values]) -> None:
        """Runs it over all the rows."""
        for statement, values in self._portions(rows):
            statement.run(connection, values)

    def all(self, connection: Connection, rows: Sequence[Values], **common: Any) -> list[Any]:
        """What it returns for them, in no order."""
        found = []
        for statement, values in self._portions(rows):
            found += statement.all(connection, {**values, **common})
        return found

    def _portions(self, rows: Sequence[Values]) -> Iterator[tuple[Prepared, Values]]:
        begin = 0
        while begin < len(rows):
            length = self._length(len(rows) - begin)
            statement = self._of_length.get(length)
            if statement is None:
                statement = self._of_length[length] = Prepared(self._make(length))
            portion = list(rows[begin : begin + length])
            portion += portion[-1:] * (length - len(portion))
            yield (
                statement,
                {f"{name}_{number}": value for number, row in enumerate(portion) for name, value in row.items()},
            )
            begin += length

    def _length(self, left: int) -> int:
        if self._may_repeat:
            return next((length for length in reversed(LENGTHS) if length >= left), LENGTHS[0])
        return next(length for length in LENGTHS if length <= left)


class _Form:
    """The statement's text for one database and one shape of values, and what becomes of values and rows."""

    def __init__(self, statement: Statement, dialect: Dialect, values: Values) -> None:
        given = [name for name in values if name in statement.table.c] if isinstance(statement, Insert) else None
        compiled = statement.compile(dialect=dialect, column_keys=given)
        state = compiled.construct_expanded_state(values)
        self._text = state.statement
        self._places = state.positiontup or []
        self._lists = state.parameter_expansion
        self._constants = {name: value for name, value in state.parameters.items() if name not in values}
        encoders = {name: _encoder(part, dialect) for name, part in compiled.binds.items()} | dict(state.processors)
        # Those that the text has: of what went into it a list is gone by then, and whatever came to be a constant.
        names = state.parameters.keys() - self._lists.keys()
        self._encoders = [(name, encode) for name in names if (encode := encoders.get(name)) is not None]
        columns = list(statement.exported_columns)
        decoders = [column.type.dialect_impl(dialect).result_processor(dialect, None) for column in columns]
        self._decoders = [(place, decode) for place, decode in enumerate(decoders) if decode is not None]
        self.names = [str(column.key) for column in columns]
        self.row: Callable[[Sequence[Any]], Any] = _named(self.names)

    def run(self, connection: Connection, values: Values) -> Any:
        """Runs it and returns the driver's cursor."""
        return driver.execute(connection, self._text, self._bound(values))

    def fetch(self, connection: Connection, values: Values) -> Sequence[Sequence[Any]]:
        """Its rows, as the columns hold them."""
        found: Sequence[Sequence[Any]] = self.run(connection, values).fetchall()
        return [self._decoded(row) for row in found] if self._decoders else found

    def fetch_one(self, connection: Connection, values: Values) -> Sequence[Any] | None:
        """The only row there may be."""
        found = self.fetch(connection, values)
        if not found:
            return None
        (row,) = found
        return row

    def _bound(self, values: Values) -> driver.Parameters:
        """The parameters, as the driver takes them."""
        named = {**self._constants, **values}
        if self._lists:
            named.update(self._spread(values))
        for name, encode in self._encoders:
            named[name] = encode(named[name])
        return tuple([named[name] for name in self._places])

    def _spread(self, values: Values) -> dict[str, Any]:
        """The items of each list by the names they have in the text."""
        spread: dict[str, Any] = {}
        for name, item_names in self._lists.items():
            items = values[name]
            flat = [part for item in items for part in item] if items and isinstance(items[0], tuple) else items
            spread.update(zip(item_names, flat, strict=True))
        return spread

    def _decoded(self, row: Sequence[Any]) -> Sequence[Any]:
        decoded = list(row)
        for place, decode in self._decoders:
            decoded[place] = decode(decoded[place])
        return decoded


def _encoder(part: BindParameter[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    """What makes a value into one that the driver takes, where that is needed."""
    return part.type.dialect_impl(dialect).bind_processor(dialect)


def _named(names: Sequence[str]) -> Callable[[Sequence[Any]], Any]:
    """What makes a row a named tuple. A column that has no name of its own gets one by its place."""
    row: Any = namedtuple("Row", names, rename=True)  # type: ignore[misc]  # noqa: PYI024  They are known only here.
    make: Callable[[Sequence[Any]], Any] = row._make
    return make


def _padded(items: Sequence[Any]) -> list[Any]:
    """The list with its last item repeated up to a power of two, so that there are few texts for many lengths."""
    missing = (1 << (len(items) - 1).bit_length()) - len(items) if items else 0
    return [*items, *(items[-1] for _ in range(missing))]
