"""Messages: pages, and what a model is shown."""

from __future__ import annotations

from itertools import islice

import pytest
from sqlalchemy import Connection, event

from shared.database.models import DEFAULT_TENANT
from shared.ending import Ending, Failure
from shared.reply_status import ReplyError, ReplyStatus
from shared.store import messages, moves, turns
from shared.store.turns import Said
from tests.integration.shared.rows import COMPLETED, NOW, Tables

FAILED = Ending(ReplyStatus.FAILED, failure=Failure(ReplyError.UPSTREAM_ERROR, "No.", retryable=False))


def answered(tables: Tables, conversation_id: str, content: str, *endings: Ending) -> None:
    """A turn with one candidate for each ending, which end in this order."""
    tables.ask(conversation_id, content, n=len(endings))
    held = sorted(tables.claim(), key=lambda claim: claim.candidate)
    for claim, ending in zip(held, endings, strict=True):
        tables(moves.finish, claim, ending, now=NOW)


def shown(tables: Tables, conversation_id: str, turn: int) -> list[tuple[int, str, str]]:
    return tables(lambda connection: list(messages.history(connection, conversation_id, turn)))


@pytest.fixture
def conversation(tables: Tables) -> str:
    return tables.conversation()


def said(content: str) -> Ending:
    return Ending(ReplyStatus.COMPLETED, content)


def test_pages_are_in_order_of_turn_and_position(tables: Tables, conversation: str) -> None:
    for turn in (1, 2):
        answered(tables, conversation, f"q{turn}", said(f"a{turn}.1"), said(f"a{turn}.2"))
    everything = ["q1", "a1.1", "a1.2", "q2", "a2.1", "a2.2"]

    def page(limit: int, *, before: tuple[int, int] | None = None, after: tuple[int, int] | None = None) -> list[str]:
        rows = tables(messages.page, conversation, limit=limit, before=before, after=after)
        return [row["content"] for row in rows]

    assert page(100) == everything
    assert page(2) == everything[-2:]
    assert page(2, before=(2, 0)) == ["a1.1", "a1.2"]
    assert page(2, after=(1, 1)) == ["a1.2", "q2"]
    assert page(100, after=(1, 0), before=(2, 1)) == ["a1.1", "a1.2", "q2"]
    assert page(100, before=(1, 0)) == page(100, after=(2, 2)) == []


def test_a_page_is_of_one_conversation(tables: Tables, conversation: str) -> None:
    tables.asked()
    assert tables(messages.page, conversation, limit=10) == []


def test_the_message_that_opened_a_turn_is_found(tables: Tables, conversation: str) -> None:
    answered(tables, conversation, "q1", COMPLETED)
    row = tables(messages.of_turn, conversation, 1)
    assert row is not None
    assert (row["role"], row["content"]) == ("user", "q1")
    assert tables(messages.of_turn, conversation, 2) is None


def test_the_history_is_what_came_before_with_the_turns_own_question_newest_first(
    tables: Tables, conversation: str
) -> None:
    answered(tables, conversation, "q1", said("a1"))
    tables.ask(conversation, "q2")
    tables.ask(conversation, "q3")
    assert shown(tables, conversation, 2) == [(2, "user", "q2"), (1, "assistant", "a1"), (1, "user", "q1")]


def test_the_history_has_the_selected_candidate_of_each_turn_and_no_other(tables: Tables, conversation: str) -> None:
    answered(tables, conversation, "q1", FAILED, said("second"), said("third"))
    tables.ask(conversation, "q2")
    assert [content for _, _, content in shown(tables, conversation, 2)] == ["q2", "second", "q1"]


def test_the_history_keeps_what_the_user_said_in_a_failed_turn(tables: Tables, conversation: str) -> None:
    answered(tables, conversation, "q1", FAILED)
    tables.ask(conversation, "q2")
    assert [content for _, _, content in shown(tables, conversation, 2)] == ["q2", "q1"]


def test_the_history_leaves_out_the_turns_own_candidates(tables: Tables, conversation: str) -> None:
    """The slower candidate of a turn does not see what the faster one said."""
    tables.ask(conversation, "q1", n=2)
    first, _ = tables.claim()
    tables(moves.finish, first, COMPLETED, now=NOW)
    assert shown(tables, conversation, 1) == [(1, "user", "q1")]


def test_the_history_has_appended_messages(tables: Tables, conversation: str) -> None:
    tables(turns.append, DEFAULT_TENANT, conversation, said=[Said("Be brief.", "system")], now=NOW)
    tables.ask(conversation, "q")
    assert shown(tables, conversation, 2) == [(2, "user", "q"), (1, "system", "Be brief.")]


@pytest.fixture
def long_conversation(tables: Tables, conversation: str) -> str:
    for turn in range(1, 1_001):
        tables(turns.append, DEFAULT_TENANT, conversation, said=[Said(f"m{turn}")], now=NOW)
    return conversation


@pytest.mark.sqlite
def test_the_history_is_read_only_as_far_as_it_is_asked_for(tables: Tables, long_conversation: str) -> None:
    def steps(connection: Connection, limit: int) -> int:
        """How much SQLite works for the newest `limit` messages, in steps of its machine."""
        driver = connection.connection.dbapi_connection
        assert driver is not None
        worked = []
        driver.set_progress_handler(lambda: worked.append(1), 10)
        taken = list(islice(messages.history(connection, long_conversation, 1_000), limit))
        driver.set_progress_handler(None, 10)
        assert taken[-1] == (1_001 - limit, "user", f"m{1_001 - limit}")
        return len(worked)

    assert tables(steps, 10) < tables(steps, 1_000) / 5


def test_a_long_history_is_fetched_in_pieces_each_message_once(tables: Tables, long_conversation: str) -> None:
    def read(connection: Connection) -> None:
        fetched: list[str] = []
        event.listen(connection, "before_cursor_execute", lambda *said: fetched.append(said[2]))
        history = messages.history(connection, long_conversation, 1_000)
        assert len(list(islice(history, 100))) == 100
        assert len(fetched) == 2, "the database keeps the rest"
        assert len(list(history)) == 900

    tables(read)
