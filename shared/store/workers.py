"""The processes and their beats. Gateways have rows here too, since they sweep."""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, RowMapping, bindparam, delete, func, insert, select, text, update

from shared.clock import TOLERATED_MS, own_ms
from shared.database.models import is_running, replies, workers
from shared.database.prepared import Prepared

_SERVER_CLOCK = text("select (extract(epoch from clock_timestamp()) * 1000)::bigint")
_this = workers.c.id == bindparam("process_id")
_BEAT = Prepared(update(workers).where(_this).values(beat=workers.c.beat + 1))
_BEATS = Prepared(select(workers.c.id, workers.c.beat))
_LOCK = Prepared(select(workers.c.id).where(_this).with_for_update(read=True))


def register(connection: Connection, process_id: str, *, host: str, now: int, slots: int | None = None) -> None:
    """Adds the process, with its first beat and, if it is a worker, how many replies it makes at once."""
    connection.execute(insert(workers).values(id=process_id, host=host, beat=1, started_at=now, slots=slots))


def beat(connection: Connection, process_id: str) -> bool:
    """One more beat. False if the row is gone: others took the process for dead, and its replies with it."""
    return _BEAT.run(connection, {"process_id": process_id}) > 0


def beats(connection: Connection) -> dict[str, int]:
    """The last beat of every process."""
    return {row.id: row.beat for row in _BEATS.all(connection, {})}


def all_with_load(connection: Connection) -> Sequence[RowMapping]:
    """Every process, with `live_replies`: how many it holds."""
    held = (
        select(replies.c.worker_id, func.count().label("held")).where(is_running(replies)).group_by(replies.c.worker_id)
    ).subquery()
    query = select(workers, func.coalesce(held.c.held, 0).label("live_replies")).outerjoin(
        held, held.c.worker_id == workers.c.id
    )
    return connection.execute(query.order_by(workers.c.id)).mappings().all()


def beats_on(connection: Connection, host: str, *, role: str) -> dict[str, int]:
    """The last beat of every process of one role on one host."""
    query = select(workers.c.id, workers.c.beat).where(workers.c.host == host, _has_role(role))
    return {row.id: row.beat for row in connection.execute(query)}


def remove(connection: Connection, process_id: str) -> None:
    """Takes the process out, when it ends in good order."""
    connection.execute(delete(workers).where(workers.c.id == process_id))


def remove_silent(connection: Connection, process_id: str, *, last_beat: int) -> bool:
    """Takes the process out unless it has beaten since. Its row stays locked until the commit. False if it lives."""
    dead = delete(workers).where(workers.c.id == process_id, workers.c.beat == last_beat)
    return connection.execute(dead).rowcount > 0


def lock(connection: Connection, process_id: str) -> bool:
    """Holds the process's row against a take-over until the commit. False if it is gone."""
    return _LOCK.one_or_none(connection, {"process_id": process_id}) is not None


def count(connection: Connection, role: str) -> int:
    """How many processes of this role there are."""
    query = select(func.count()).select_from(workers).where(_has_role(role))
    return int(connection.execute(query).scalar_one())


def clock_offset_ms(connection: Connection) -> int | None:
    """How far the database server's clock is ahead of this machine's; None if the answer took too long to tell.

    SQLite has no clock of its own: whoever uses its file is on one machine.
    """
    if connection.dialect.name != "postgresql":
        return 0
    before = own_ms()
    server: int = connection.execute(_SERVER_CLOCK).scalar_one()
    after = own_ms()
    return server - (before + after) // 2 if after - before <= TOLERATED_MS else None


def _has_role(role: str) -> ColumnElement[bool]:
    return workers.c.id.startswith(role + "_", autoescape=True)
