"""A witness inside the database: triggers that write down each move of a reply, whoever makes it.

Clocks tell too little: what a process notes as the moment of a move is when it asked for it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, Row, text

from shared.database.engine import open_engine, parse_url
from shared.reply_status import TRANSITIONS, ReplyStatus

_TABLE = """
    create table moves_seen
    (id text, old_status text, new_status text, old_token int, new_token int, turns_ahead int)
"""
_NOTE = """
    insert into moves_seen values (
        new.id, old.status, new.status, old.token, new.token,
        (
            select count(*) from replies earlier
            where earlier.conversation_id = new.conversation_id and earlier.turn < new.turn
            and earlier.status in ('queued', 'in_progress')
        )
    );
"""
_MOVED = "after update on replies {} when (old.status <> new.status or old.token <> new.token)"
_WATCH = {
    "sqlite": [f"create trigger note_moves {_MOVED.format('')} begin {_NOTE} end"],
    "postgresql": [
        f"create function note_move() returns trigger language plpgsql as $$ begin {_NOTE} return new; end $$",
        f"create trigger note_moves {_MOVED.format('for each row')} execute function note_move()",
    ],
}


def call_witness(database_url: str) -> None:
    """From now on every move in this database is seen."""
    with open_engine(parse_url(database_url), read_only=False).begin() as connection:
        for statement in (_TABLE, *_WATCH[connection.dialect.name]):
            connection.exec_driver_sql(statement)


def hear_witness(connection: Connection) -> Sequence[Row[Any]]:
    """All moves so far."""
    return connection.execute(text("select * from moves_seen")).all()


def check_moves(moves: Sequence[Row[Any]]) -> None:
    """Each was allowed, no token ever fell, and nobody began with a turn while one before it was live."""
    for move in moves:
        if move.old_status != move.new_status:
            assert move.new_status in TRANSITIONS[ReplyStatus(move.old_status)], move
        assert move.new_token >= move.old_token, move
        if move.new_status == ReplyStatus.IN_PROGRESS:
            assert move.turns_ahead == 0, move
