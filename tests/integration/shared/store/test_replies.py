"""Replies as readers see them."""

from __future__ import annotations

import pytest

from shared.database.models import DEFAULT_TENANT
from shared.reply_status import ReplyStatus, StopRequest
from shared.store import moves, replies
from tests.integration.shared.rows import COMPLETED, CUT_SHORT, NOW, USAGE, Tables


def view(tables: Tables, reply_id: str) -> dict[str, object]:
    row = tables(replies.get, DEFAULT_TENANT, reply_id)
    assert row is not None
    return dict(row)


def test_an_untouched_reply_has_no_content(tables: Tables) -> None:
    (reply_id,) = tables.asked()
    seen = view(tables, reply_id)
    assert (seen["status"], seen["content"], seen["message_id"], seen["turns_ahead"]) == ("queued", "", None, 0)


def test_a_running_reply_shows_its_text_so_far(tables: Tables) -> None:
    claim = tables.running()
    tables(moves.save_partial, claim, "The an")
    assert view(tables, claim.reply_id)["content"] == "The an"


def test_a_completed_reply_shows_its_message(tables: Tables) -> None:
    claim = tables.running()
    tables(moves.save_partial, claim, "The an")
    tables(moves.finish, claim, COMPLETED, now=NOW)
    seen = view(tables, claim.reply_id)
    assert seen["content"] == COMPLETED.content
    assert seen["message_id"] is not None
    assert (seen["input_tokens"], seen["output_tokens"]) == (USAGE.input_tokens, USAGE.output_tokens)


def test_a_cancelled_reply_shows_what_it_had(tables: Tables) -> None:
    claim = tables.running()
    tables.stop(claim.reply_id, StopRequest.CANCEL)
    tables(moves.finish, claim, CUT_SHORT, now=NOW)
    seen = view(tables, claim.reply_id)
    assert (seen["status"], seen["content"], seen["message_id"]) == ("cancelled", CUT_SHORT.content, None)


def test_nobody_sees_another_tenants_reply(tables: Tables) -> None:
    (reply_id,) = tables.asked()
    assert tables(replies.get, "another", reply_id) is None
    assert tables(replies.page, "another", limit=9, after=None, statuses=[], conversation_id=None) == []


def test_turns_ahead_counts_the_earlier_turns_that_are_live(tables: Tables) -> None:
    conversation_id = tables.conversation()
    asked = [tables.ask(conversation_id, n=2) for _ in range(3)]
    assert [view(tables, turn[0])["turns_ahead"] for turn in asked] == [0, 1, 2]
    assert tables(replies.turns_ahead, conversation_id, 3) == 2
    first, second = tables.claim()
    tables(moves.finish, first, COMPLETED, now=NOW)
    assert view(tables, asked[2][0])["turns_ahead"] == 2
    tables(moves.finish, second, COMPLETED, now=NOW)
    assert view(tables, asked[2][0])["turns_ahead"] == 1


def test_only_queued_replies_have_turns_ahead(tables: Tables) -> None:
    claim = tables.running()
    assert view(tables, claim.reply_id)["turns_ahead"] == 0


def test_the_candidates_of_a_turn_are_in_order(tables: Tables) -> None:
    conversation_id = tables.conversation()
    asked = tables.ask(conversation_id, n=3)
    assert [row["id"] for row in tables(replies.of_turn, conversation_id, 1)] == asked
    assert tables(replies.of_turn, conversation_id, 2) == []


def test_live_replies_are_those_that_are_to_end_in_order(tables: Tables) -> None:
    conversation_id = tables.conversation()
    ended, *running = tables.ask(conversation_id, n=2)
    queued = tables.ask(conversation_id, n=2)
    tables.asked()
    for claim in tables.claim():
        if claim.reply_id == ended:
            tables(moves.finish, claim, COMPLETED, now=NOW)
    assert [row["id"] for row in tables(replies.live, conversation_id)] == [*running, *queued]


def test_live_replies_know_how_many_turns_are_ahead_of_them(tables: Tables) -> None:
    conversation_id = tables.conversation()
    for _ in range(3):
        tables.ask(conversation_id, n=2)
    tables.claim(limit=1)
    rows = tables(replies.live, conversation_id)
    assert [row["turns_ahead"] for row in rows] == [0, 0, 1, 1, 2, 2]
    assert [dict(row) for row in rows] == [view(tables, row["id"]) for row in rows]


@pytest.fixture
def several(tables: Tables) -> list[str]:
    """Six replies of three conversations, newest first; the oldest is completed."""
    made = [reply_id for _ in range(3) for reply_id in tables.asked(n=2)]
    (claim,) = tables.claim(limit=1)
    tables(moves.finish, claim, COMPLETED, now=NOW)
    return sorted(made, reverse=True)


@pytest.mark.parametrize("limit", [1, 4, 6])
def test_pages_are_newest_first(limit: int, tables: Tables, several: list[str]) -> None:
    listed: list[str] = []
    after = None
    while page := tables(replies.page, DEFAULT_TENANT, limit=limit, after=after, statuses=[], conversation_id=None):
        listed += [row["id"] for row in page]
        after = listed[-1]
    assert listed == several


def test_a_page_can_be_of_some_statuses(tables: Tables, several: list[str]) -> None:
    def ids(*statuses: ReplyStatus) -> list[str]:
        page = tables(replies.page, DEFAULT_TENANT, limit=9, after=None, statuses=statuses, conversation_id=None)
        return [row["id"] for row in page]

    (completed,) = ids(ReplyStatus.COMPLETED)
    assert ids(ReplyStatus.QUEUED) == [reply_id for reply_id in several if reply_id != completed]
    assert ids(ReplyStatus.QUEUED, ReplyStatus.COMPLETED) == several


def test_a_page_can_be_of_one_conversation(tables: Tables, several: list[str]) -> None:
    conversation_id = tables.reply(several[0])["conversation_id"]
    page = tables(replies.page, DEFAULT_TENANT, limit=9, after=None, statuses=[], conversation_id=conversation_id)
    assert {row["conversation_id"] for row in page} == {conversation_id}
    assert len(page) == 2
