"""A conversation's past, copied."""

from __future__ import annotations

from typing import Any

import pytest

from shared.database.models import DEFAULT_TENANT, attempts, conversations, messages, replies
from shared.errors import InvalidValue, NotFound
from shared.reply_status import AttemptOutcome
from shared.store import candidates, claims, erasures, forks, moves, turns
from shared.store import messages as message_rows
from shared.store.candidates import Again
from shared.store.claims import Claim
from shared.store.turns import Said
from tests.integration.shared.rows import COMPLETED, CUT_SHORT, MINUTE, NOW, Tables

LATER = NOW + 100


def fork(tables: Tables, conversation_id: str, *, up_to_turn: int | None = None, tenant: str = DEFAULT_TENANT) -> str:
    return tables(forks.fork, tenant, conversation_id, up_to_turn=up_to_turn, now=LATER)


def said(tables: Tables, conversation_id: str) -> list[tuple[int, int, str, str]]:
    """Turn, position, role and text of each message."""
    rows = tables(message_rows.page, conversation_id, limit=1000)
    return [(row["turn"], row["position"], row["role"], row["content"]) for row in rows]


def history(tables: Tables, conversation_id: str, turn: int) -> list[tuple[int, str, str]]:
    """What an answer to that turn follows from, newest first."""
    return tables(lambda connection: list(message_rows.history(connection, conversation_id, turn)))


def answered(tables: Tables, *questions: str, **values: Any) -> str:
    """A conversation in which each question has an answer."""
    conversation_id = tables.conversation(**values)
    for number, question in enumerate(questions):
        tables.ask(conversation_id, question, now=NOW + number)
        (claim,) = tables.claim(now=LATER)
        tables(moves.finish, claim, COMPLETED, now=LATER)
    return conversation_id


def row_of(tables: Tables, conversation_id: str) -> dict[str, Any]:
    (row,) = tables.rows(conversations, id=conversation_id)
    return dict(row)


@pytest.fixture
def source(tables: Tables) -> str:
    settings = {"title": "Ours", "instructions": "Be brief.", "model": "its-own", "end_user": "ada"}
    return answered(tables, "One?", "Two?", **settings, parameters={"seed": 7}, metadata={"a": "b"})


def test_the_copy_has_the_settings_and_what_was_said(tables: Tables, source: str) -> None:
    copy = fork(tables, source)
    original, copied = row_of(tables, source), row_of(tables, copy)
    own = {"id", "version", "created_at", "updated_at"}
    assert {name for name in original if original[name] != copied[name]} <= own
    assert (copied["version"], copied["created_at"], copied["updated_at"]) == (1, LATER, LATER)
    assert said(tables, copy) == said(tables, source)
    assert len(said(tables, copy)) == 4


def test_the_original_stays_as_it_is(tables: Tables, source: str) -> None:
    tables_of_it = ((conversations, {"id": source}), *((t, {"conversation_id": source}) for t in (messages, replies)))
    before = [tables.rows(table, **having) for table, having in tables_of_it]
    fork(tables, source)
    assert [tables.rows(table, **having) for table, having in tables_of_it] == before


def test_the_copies_have_ids_of_their_own_and_belong_together(tables: Tables, source: str) -> None:
    copy = fork(tables, source)
    copied = tables.rows(replies, conversation_id=copy)
    originals = {row["id"] for row in tables.rows(replies, conversation_id=source)}
    assert len(copied) == 2
    assert originals.isdisjoint(row["id"] for row in copied)
    assert all(row["selected"] and row["status"] == "completed" for row in copied)
    answers = [row for row in tables.rows(messages, conversation_id=copy) if row["role"] == "assistant"]
    turn_of = {row["id"]: (row["turn"], row["candidate"]) for row in copied}
    assert all(turn_of[row["reply_id"]] == (row["turn"], row["position"]) for row in answers)


def test_what_was_paid_once_is_on_record_once(tables: Tables, source: str) -> None:
    before = tables.count(attempts)
    fork(tables, source)
    assert tables.count(attempts) == before


@pytest.mark.parametrize(("up_to_turn", "count"), [(0, 0), (1, 2), (2, 4), (None, 4)])
def test_it_ends_at_the_given_turn(up_to_turn: int | None, count: int, tables: Tables, source: str) -> None:
    copy = fork(tables, source, up_to_turn=up_to_turn)
    assert len(said(tables, copy)) == count
    assert row_of(tables, copy)["next_turn"] == count // 2 + 1


def test_it_has_no_more_turns_than_the_original(tables: Tables, source: str) -> None:
    with pytest.raises(InvalidValue) as refused:
        fork(tables, source, up_to_turn=3)
    assert refused.value.pointer == "#/up_to_turn"
    assert tables.count(conversations) == 1


def test_an_empty_conversation_can_be_copied(tables: Tables) -> None:
    assert said(tables, fork(tables, tables.conversation())) == []


@pytest.mark.parametrize("which", ["unknown", "another tenant's", "deleted"])
def test_what_is_not_there_is_not_found(which: str, tables: Tables, source: str) -> None:
    if which == "deleted":
        tables(erasures.erase_one, DEFAULT_TENANT, source)
    with pytest.raises(NotFound):
        fork(
            tables,
            "conv_unknown" if which == "unknown" else source,
            tenant="another" if which == "another tenant's" else DEFAULT_TENANT,
        )


def test_each_goes_its_own_way(tables: Tables, source: str) -> None:
    copy = fork(tables, source, up_to_turn=1)
    tables.ask(copy, "Another two?", now=LATER)
    (claim,) = tables.claim(now=LATER)
    assert (claim.conversation_id, claim.turn) == (copy, 2)
    assert history(tables, copy, 2) == [
        (2, "user", "Another two?"),
        (1, "assistant", COMPLETED.content),
        (1, "user", "One?"),
    ]
    tables(erasures.erase_one, DEFAULT_TENANT, source)
    assert len(said(tables, copy)) == 3


def test_the_copy_of_the_copys_last_turn_can_be_regenerated(tables: Tables, source: str) -> None:
    """A branch at an earlier answer: fork up to its turn, then ask for another one."""
    copy = fork(tables, source, up_to_turn=1)
    (reply,) = tables.rows(replies, conversation_id=copy)
    new = tables(candidates.regenerate, DEFAULT_TENANT, reply["id"], again=Again(MINUTE), now=LATER)
    assert tables.reply(new)["candidate"] == 2
    assert [claim.reply_id for claim in tables.claim(now=LATER)] == [new]


def test_what_is_appended_is_copied(tables: Tables) -> None:
    source = tables.conversation()
    for role, text in (("system", "Rules."), ("assistant", "Welcome!")):
        tables(turns.append, DEFAULT_TENANT, source, said=[Said(text, role)], now=NOW)
    assert said(tables, fork(tables, source)) == [(1, 0, "system", "Rules."), (2, 0, "assistant", "Welcome!")]


# --- live replies ---


def test_a_live_reply_stays_behind(tables: Tables, source: str) -> None:
    tables.ask(source, "Three?", now=LATER)
    (claim,) = tables.claim(now=LATER)
    copy = fork(tables, source)
    assert said(tables, copy)[-1] == (3, 0, "user", "Three?")
    assert {row["status"] for row in tables.rows(replies, conversation_id=copy)} == {"completed"}
    tables(moves.finish, claim, COMPLETED, now=LATER)
    assert len(said(tables, copy)) == 5
    tables.ask(copy, "Three again?", now=LATER)
    assert [claim.turn for claim in tables.claim(now=LATER)] == [4]


def unfinished(tables: Tables) -> tuple[str, Claim]:
    """A conversation whose turn has one candidate that ended early, and one that runs; with the claim of that."""
    first, second = tables.asked(n=2)
    held = {claim.reply_id: claim for claim in tables.claim()}
    tables(moves.finish, held[first], CUT_SHORT, now=NOW + 1)
    return held[first].conversation_id, held[second]


def test_an_unfinished_text_is_what_the_copy_goes_on_from(tables: Tables) -> None:
    """In the original a running sibling may still do better; in the copy nothing will come."""
    source, _ = unfinished(tables)
    copy = fork(tables, source)
    assert history(tables, source, 2) == [(1, "user", "Hello")]
    assert history(tables, copy, 2) == [(1, "assistant", CUT_SHORT.content), (1, "user", "Hello")]


def test_a_reply_that_waits_for_its_next_try_stays_behind_too(tables: Tables) -> None:
    source, running = unfinished(tables)
    tables(moves.requeue, running, outcome=AttemptOutcome.RETRIED, next_at=NOW + 5, now=NOW + 1)
    copy = fork(tables, source)
    assert tables(claims.due_in, copy, now=LATER) == []
    assert len(tables.rows(replies, conversation_id=copy)) == 1


def test_many_rows_are_copied_some_at_a_time(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forks, "CHUNK", 2)
    source = answered(tables, *(f"{number}?" for number in range(5)))
    copy = fork(tables, source)
    assert said(tables, copy) == said(tables, source)


def test_a_conversation_with_too_many_messages_is_not_copied(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would keep all others from writing for too long."""
    monkeypatch.setattr(forks, "MAX_MESSAGES", 2)
    conversation_id = tables.conversation()
    for _ in range(3):
        tables.ask(conversation_id)
    with pytest.raises(InvalidValue):
        tables(forks.fork, DEFAULT_TENANT, conversation_id, up_to_turn=None, now=NOW)
    assert tables(forks.fork, DEFAULT_TENANT, conversation_id, up_to_turn=2, now=NOW)
