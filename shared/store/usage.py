"""Usage: what each tenant's replies have cost, by UTC day, model, key and end user.

An attempt that has ended carries what it cost and the day to count it on, so that ending one takes no statement more.
Upkeep adds it to `usage_days` later, or whoever erases it before. Who counts a row takes its day away in the same
transaction, so that it counts once. Readers add what is not counted yet.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import ColumnElement, Connection, RowMapping, Select, bindparam, delete, func, select, tuple_, update
from sqlalchemy.dialects import postgresql, sqlite

from shared.clock import DAY_MS, day_of
from shared.database.models import attempts, conversations, is_live, replies, usage_days
from shared.reply_status import ReplyStatus
from shared.store import prompts
from shared.store.claims import Claim

# One helping: it takes some ten milliseconds.
COUNT_AT_ONCE = 500

KEYS = tuple(column.name for column in usage_days.primary_key)
SUMS = tuple(column.name for column in usage_days.c if not column.primary_key)

UNCOUNTED_ATTEMPTS = select(
    attempts.c.reply_id,
    attempts.c.attempt,
    attempts.c.tenant_id,
    attempts.c.uncounted_day.label("day"),
    attempts.c.model,
    attempts.c.key_id,
    attempts.c.end_user,
    attempts.c.reply_status.label("status"),
    attempts.c.input_tokens,
    attempts.c.output_tokens,
    attempts.c.usage_estimated,
).where(attempts.c.uncounted_day.is_not(None))
UNCOUNTED_ENDS = (
    select(
        replies.c.id.label("reply_id"),
        replies.c.tenant_id,
        # One that was queued again meanwhile was so a moment after its end.
        (func.coalesce(replies.c.finished_at, replies.c.available_at) // DAY_MS).label("day"),
        replies.c.model,
        replies.c.key_id,
        conversations.c.end_user,
        replies.c.uncounted_end.label("status"),
    )
    .select_from(replies.join(conversations, conversations.c.id == replies.c.conversation_id))
    .where(replies.c.uncounted_end.is_not(None))
)
_RUNNING = (
    select(replies, conversations.c.end_user)
    .select_from(replies.join(conversations, conversations.c.id == replies.c.conversation_id))
    .where(is_live(replies))
)
# Whose it was is known by the day's row from now on.
_TAKE_ATTEMPT = (
    update(attempts)
    .where(attempts.c.reply_id == bindparam("of_reply"), attempts.c.attempt == bindparam("of_attempt"))
    .values(uncounted_day=None, end_user=None)
)
_TAKE_END = update(replies).where(replies.c.id == bindparam("of_reply")).values(uncounted_end=None)
_UNNAME = (
    update(attempts)
    .where(
        attempts.c.tenant_id == bindparam("of_tenant"),
        attempts.c.end_user == bindparam("of_end_user"),
        attempts.c.uncounted_day.is_not(None),
    )
    .values(end_user=None)
)


class _Sums:
    """Counts that add up, by the key of their row."""

    def __init__(self) -> None:
        self._rows: dict[tuple[Any, ...], dict[str, int]] = {}

    def add(self, of: Mapping[str, Any] | RowMapping, counts: Mapping[str, int]) -> None:
        """Adds to the row that `of` names; what it does not name is empty there."""
        key = tuple(of[name] if of[name] is not None else "" for name in KEYS)
        row = self._rows.setdefault(key, dict.fromkeys(SUMS, 0))
        for name, count in counts.items():
            row[name] += count

    def store(self, connection: Connection) -> None:
        """In one order everywhere, so that several who do so at once wait for each other only in turn."""
        if not self._rows:
            return
        dialect = postgresql if connection.dialect.name == "postgresql" else sqlite
        insert = dialect.insert(usage_days)
        more = {name: usage_days.c[name] + insert.excluded[name] for name in SUMS}
        rows = [dict(zip(KEYS, key, strict=True)) | counts for key, counts in sorted(self._rows.items())]
        connection.execute(insert.on_conflict_do_update(index_elements=KEYS, set_=more), rows)


def count(connection: Connection) -> int:
    """Adds one helping of what is not counted to the days. Returns how many rows that was; 0 when all is counted."""
    ended = UNCOUNTED_ATTEMPTS.limit(COUNT_AT_ONCE).with_for_update(skip_locked=True)
    untried = UNCOUNTED_ENDS.limit(COUNT_AT_ONCE).with_for_update(skip_locked=True, of=replies)
    return _count(connection, _Sums(), ended=ended, untried=untried)


def has_uncounted(connection: Connection) -> bool:
    """Whether there is anything to count."""
    return any(connection.execute(query.limit(1)).first() is not None for query in (UNCOUNTED_ATTEMPTS, UNCOUNTED_ENDS))


def count_erased(
    connection: Connection,
    conversation_ids: Collection[str],
    *,
    prompt_tokens: int,
    now: int,
    last_turn: int | None = None,
) -> None:
    """Counts all that is not counted of conversations, or of their turns up to `last_turn`, that this transaction has
    locked and erases.

    What is under way there is cancelled by that; what it has cost, up to `prompt_tokens` of a prompt, is estimated.
    """
    erased: ColumnElement[bool] = replies.c.conversation_id.in_(conversation_ids)
    if last_turn is not None:
        erased &= replies.c.turn <= last_turn
    sums = _Sums()
    for row in connection.execute(_RUNNING.where(erased)).all():
        counts = {str(ReplyStatus.CANCELLED): 1}
        if row.status == ReplyStatus.IN_PROGRESS:
            usage = prompts.estimate_lost(connection, Claim.of_row(row), row.partial or "", budget=prompt_tokens)
            counts |= _of_attempt(usage.input_tokens, usage.output_tokens, is_estimated=True)
        sums.add({**row._mapping, "day": day_of(now)}, counts)  # noqa: SLF001  public, says the manual
    within = select(replies.c.id).where(erased)
    _count(
        connection,
        sums,
        ended=UNCOUNTED_ATTEMPTS.where(attempts.c.reply_id.in_(within)).with_for_update(),
        untried=UNCOUNTED_ENDS.where(erased).with_for_update(of=replies),
    )


def knows_end_user(connection: Connection, tenant_id: str, end_user: str) -> bool:
    """Whether anything that was used has this name, be it that its conversations are gone."""
    days = select(usage_days.c.day).where(usage_days.c.tenant_id == tenant_id, usage_days.c.end_user == end_user)
    return bool(end_user) and connection.execute(days.limit(1)).first() is not None


def days_of_end_user(
    connection: Connection, tenant_id: str, end_user: str, *, limit: int, after: tuple[int, str, str] | None
) -> Sequence[RowMapping]:
    """Up to `limit` sums of what the end user has used, behind this `(day, model, key_id)`."""
    table = usage_days.c
    query = select(usage_days).where(table.tenant_id == tenant_id, table.end_user == end_user)
    place = tuple_(table.day, table.model, table.key_id)
    if after is not None:
        query = query.where(place > tuple_(*after))
    return connection.execute(query.order_by(table.day, table.model, table.key_id).limit(limit)).mappings().all()


def forget_end_user(connection: Connection, tenant_id: str, end_user: str) -> None:
    """Takes the end user's name away from what they have used, which stays."""
    if not end_user:
        return
    connection.execute(_UNNAME, {"of_tenant": tenant_id, "of_end_user": end_user})
    theirs = (usage_days.c.tenant_id == tenant_id) & (usage_days.c.end_user == end_user)
    sums = _Sums()
    for row in connection.execute(select(usage_days).where(theirs).with_for_update()).mappings():
        sums.add({**row, "end_user": ""}, {name: row[name] for name in SUMS})
    connection.execute(delete(usage_days).where(theirs))
    sums.store(connection)


def _count(connection: Connection, sums: _Sums, *, ended: Select[Any], untried: Select[Any]) -> int:
    tries: Sequence[RowMapping] = connection.execute(ended).mappings().all()
    ends: Sequence[RowMapping] = connection.execute(untried).mappings().all()
    for row in tries:
        counts = _of_attempt(row["input_tokens"], row["output_tokens"], is_estimated=bool(row["usage_estimated"]))
        sums.add(row, counts if row["status"] is None else {**counts, row["status"]: 1})
    for row in ends:
        sums.add(row, {row["status"]: 1})
    sums.store(connection)
    if tries:
        taken = [{"of_reply": row["reply_id"], "of_attempt": row["attempt"]} for row in tries]
        connection.execute(_TAKE_ATTEMPT, taken)
    if ends:
        connection.execute(_TAKE_END, [{"of_reply": row["reply_id"]} for row in ends])
    return len(tries) + len(ends)


def _of_attempt(read: int | None, written: int | None, *, is_estimated: bool) -> dict[str, int]:
    tokens = (read or 0) + (written or 0)
    return {
        "attempts": 1,
        "input_tokens": read or 0,
        "output_tokens": written or 0,
        "estimated_tokens": tokens if is_estimated else 0,
    }
