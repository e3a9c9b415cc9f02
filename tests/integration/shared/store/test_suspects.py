"""What may have killed its worker is tried alone."""

from __future__ import annotations

import pytest

from shared.store import claims, takeovers, workers
from shared.store.claims import Claim
from shared.store.takeovers import AT_ONCE_MS, SUSPECTS_AT_MOST
from tests.integration.shared.rows import CAPS, NOW, Tables

LATER = NOW + 10_000


def running(tables: Tables, count: int, *, at: int) -> list[str]:
    """So many replies that worker_a began at that instant."""
    for _ in range(count):
        tables.asked()
    return [claim.reply_id for claim in tables.claim(now=at, limit=count)]


def take_over(tables: Tables) -> None:
    tables(takeovers.take_over, "worker_a", last_beat=1, caps=CAPS, now=LATER)
    tables(workers.register, "worker_b", host="here", now=LATER)


def taken(tables: Tables, *, takes_suspects: bool, now: int = LATER) -> list[Claim]:
    return tables(claims.claim, "worker_b", limit=100, now=now, takes_suspects=takes_suspects)


def test_those_begun_last_are_suspected_and_each_of_them_is_taken_alone(tables: Tables) -> None:
    old = running(tables, 3, at=NOW)
    young = [*running(tables, 1, at=NOW + 2000), *running(tables, 1, at=NOW + 2000 + AT_ONCE_MS)]
    take_over(tables)
    (first,) = taken(tables, takes_suspects=True)
    (second,) = taken(tables, takes_suspects=True)
    assert sorted((first.reply_id, second.reply_id)) == sorted(young)
    assert first.is_suspect
    rest = taken(tables, takes_suspects=True)
    assert {claim.reply_id for claim in rest} == set(old)
    assert not any(claim.is_suspect for claim in rest)


def test_a_worker_that_may_not_take_suspects_takes_all_others(tables: Tables) -> None:
    old = running(tables, 3, at=NOW)
    (suspect,) = running(tables, 1, at=NOW + 2000)
    take_over(tables)
    assert {claim.reply_id for claim in taken(tables, takes_suspects=False)} == set(old)
    assert taken(tables, takes_suspects=False) == []
    assert tables(claims.has_due, now=LATER)
    (claim,) = taken(tables, takes_suspects=True)
    assert claim.reply_id == suspect


def test_a_suspect_does_not_wait_for_ever(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(claims, "SUSPECTS_WAIT_MS", 1000)
    (suspect,) = running(tables, 1, at=NOW)
    take_over(tables)
    assert taken(tables, takes_suspects=False, now=LATER + 998) == []
    (claim,) = taken(tables, takes_suspects=False, now=LATER + 999)
    assert claim.reply_id == suspect


def test_of_many_begun_at_once_only_the_very_last_is_suspected(tables: Tables) -> None:
    many = running(tables, SUSPECTS_AT_MOST + 1, at=NOW)
    (last,) = running(tables, 1, at=NOW + 1)
    take_over(tables)
    (first,) = tables(claims.claim, "worker_b", limit=1, now=LATER)
    assert first.reply_id == last, "it stands ahead of the rest, however few are claimed"
    assert {claim.reply_id for claim in taken(tables, takes_suspects=True)} == set(many)
