"""The receipts of erasing all that an end user said: written with each helping, and finished by whoever goes on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, RowMapping, bindparam, func, insert, select, update

from shared.database.models import conversations, in_no_index
from shared.database.models import erasures as receipts
from shared.errors import NotFound
from shared.ids import new_erasure_id
from shared.store import budgets, erasures, prompts, usage
from shared.store.erasures import Erased


@dataclass(frozen=True, slots=True)
class Logs:
    """What became of event logs since the receipt was last written: how many were `erased`; whether some may be left,
    and by when those are gone.
    """

    erased: int
    has_left: bool
    expire_at: int


_of_end_user = (conversations.c.tenant_id == bindparam("of_tenant")) & (
    conversations.c.end_user == bindparam("of_end_user")
)
_LAST = select(func.max(in_no_index(conversations.c.id))).where(_of_end_user)
_NEXT = (
    select(conversations.c.id)
    .where(_of_end_user, in_no_index(conversations.c.id) <= bindparam("up_to"))
    .limit(bindparam("limit"))
)
_UNFINISHED = (
    select(receipts)
    .where(
        receipts.c.tenant_id == bindparam("of_tenant"),
        receipts.c.end_user == bindparam("of_end_user"),
        receipts.c.finished_at.is_(None),
    )
    .with_for_update()
)
_LOCKED_RECEIPT = select(receipts).where(receipts.c.id == bindparam("of_id")).with_for_update()
_LEFT_BEHIND = (
    select(receipts.c.id).where(receipts.c.finished_at.is_(None), receipts.c.updated_at < bindparam("before")).limit(10)
)


def begin(connection: Connection, tenant_id: str, end_user: str, *, now: int) -> RowMapping:
    """A receipt for erasing all that the end user has by now, or the one that is not finished yet.

    Raises:
        NotFound: the tenant has nothing of the end user.
    """
    whose = {"of_tenant": tenant_id, "of_end_user": end_user}
    last = connection.execute(_LAST, whose).scalar_one()
    unfinished = connection.execute(_UNFINISHED, whose).mappings().first()  # locked
    if unfinished is not None:
        up_to = max(unfinished["up_to"], last or "")
        connection.execute(update(receipts).where(receipts.c.id == unfinished["id"]).values(up_to=up_to))
        return get(connection, tenant_id, unfinished["id"])
    has_budget = budgets.get(connection, tenant_id, budgets.Spender.END_USER, end_user) is not None
    if last is None and not has_budget and not usage.knows_end_user(connection, tenant_id, end_user):
        raise NotFound("There is nothing of this end user.")
    erasure_id = new_erasure_id()
    connection.execute(
        insert(receipts).values(
            id=erasure_id,
            tenant_id=tenant_id,
            end_user=end_user,
            up_to=last or "",
            erased={},
            started_at=now,
            updated_at=now,
        )
    )
    return get(connection, tenant_id, erasure_id)


def get(connection: Connection, tenant_id: str, erasure_id: str) -> RowMapping:
    """The receipt.

    Raises:
        NotFound: the tenant has no such one.
    """
    query = select(receipts).where(receipts.c.tenant_id == tenant_id, receipts.c.id == erasure_id)
    row = connection.execute(query).mappings().one_or_none()
    if row is None:
        raise NotFound("There is no such erasure.")
    return row


def left_behind(connection: Connection, *, before: int) -> Sequence[str]:
    """Erasures that nobody has gone on with since, though they are not finished."""
    return connection.execute(_LEFT_BEHIND, {"before": before}).scalars().all()


def may_have_logs(connection: Connection, erasure_id: str) -> bool:
    """Whether event logs may be left of what was erased for the receipt so far."""
    query = select(receipts.c.logs_expire_at).where(receipts.c.id == erasure_id)
    return connection.execute(query).scalar_one() is not None


def go_on(
    connection: Connection, erasure_id: str, *, logs: Logs, now: int, prompt_tokens: int = prompts.USUAL_TOKENS
) -> Erased | None:
    """Erases some more and adds it to the receipt, in one transaction. None: all is erased, and the receipt says so."""
    row = connection.execute(_LOCKED_RECEIPT, {"of_id": erasure_id}).mappings().one()
    if row["finished_at"] is not None:
        return None
    whose = {"of_tenant": row["tenant_id"], "of_end_user": row["end_user"], "up_to": row["up_to"]}
    found = list(connection.execute(_NEXT, {**whose, "limit": erasures.CONVERSATIONS_AT_ONCE}).scalars())
    erased = None
    if found:
        erased = erasures.erase(connection, erasures.helping(connection, found), keys=True, prompt_tokens=prompt_tokens)
    else:
        usage.forget_end_user(connection, row["tenant_id"], row["end_user"])
        budgets.remove(connection, row["tenant_id"], budgets.Spender.END_USER, row["end_user"])
    counts = Counter(row["erased"])
    counts.update({"event_logs": logs.erased, **(erased.counts if erased else {})})
    values: dict[str, Any] = {"erased": dict(counts), "updated_at": now}
    if erased is None:
        values |= {"finished_at": now, "end_user": None, "up_to": None}
        if not logs.has_left:
            values["logs_expire_at"] = None
    elif erased.reply_ids:
        # Until it is known that their logs are gone. Should nobody live to tell, this stays.
        values["logs_expire_at"] = logs.expire_at
    connection.execute(update(receipts).where(receipts.c.id == erasure_id).values(values))
    return erased
