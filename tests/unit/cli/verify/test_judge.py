"""The judge finds what is wrong with a history, whatever it is, and nothing in a good one."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from cli.verify.choices import ECHO
from cli.verify.history import INTERRUPT, REJECT, Accepted, Ask, Ending, History, Regeneration
from cli.verify.judge import LATE_MS, Kind, judge
from cli.verify.stored import Message, Stored
from tests.unit.cli.verify.histories import (
    CONVERSATION,
    DEADLINE,
    NOW,
    TOLD,
    answer,
    ask,
    attempt,
    history,
    question,
    reply,
    stored,
)


def _found(of: History, in_: Stored, *, now: int = NOW) -> set[tuple[Kind, str]]:
    return {(finding.kind, finding.subject) for finding in judge(of, in_, now=now)}


def test_a_good_history_has_no_findings() -> None:
    assert _found(history(), stored()) == set()


def test_a_reply_that_was_accepted_and_is_not_stored_is_lost() -> None:
    good = stored()
    bad = replace(good, replies=[each for each in good.replies if each.id != "reply_1_2"])
    assert (Kind.LOST, "reply_1_2") in _found(history(), bad)


def test_a_message_that_was_accepted_and_is_not_stored_is_lost() -> None:
    good = stored()
    bad = replace(good, messages=[each for each in good.messages if each.id != "msg_1"])
    assert (Kind.LOST, "key-1") in _found(history(), bad)


def test_a_message_that_is_stored_with_other_words_is_lost() -> None:
    good = stored()
    bad = replace(good, messages=[replace(question(1), content="This is"), *good.messages[1:]])
    assert (Kind.LOST, "key-1") in _found(history(), bad)


def test_a_completed_reply_without_its_answer_is_lost() -> None:
    good = stored()
    bad = replace(good, messages=[each for each in good.messages if each.reply_id != "reply_1_2"])
    assert (Kind.LOST, "reply_1_2") in _found(history(), bad)


def test_an_answer_that_is_cut_off_is_lost() -> None:
    short = Stored(messages=[question(1), answer(1, "This is")], replies=[reply(1, "This is", model=ECHO)])
    assert (Kind.LOST, "reply_1_1") in _found(History(asks=[ask(1, model=ECHO)]), short)


def test_an_ending_that_a_client_saw_and_that_is_another_now_is_lost() -> None:
    seen = history()
    seen.endings["reply_1_2"] = Ending("cancelled", "Or")
    assert (Kind.LOST, "reply_1_2") in _found(seen, stored())


def test_a_reply_that_was_stopped_though_nobody_asked_for_it_is_lost() -> None:
    stopped = replace(reply(1), status="cancelled")
    bad = Stored(messages=[question(1)], replies=[stopped])
    asked = History(asks=[ask(1)])
    assert _found(asked, bad) == {(Kind.LOST, "reply_1_1")}
    asked.cancels["reply_1_1"] = "cancelled"
    assert _found(asked, bad) == set()


def test_what_an_interrupt_stopped_is_not_lost() -> None:
    first, second = ask(1), ask(2)
    second.on_busy = INTERRUPT
    interrupted = replace(reply(1), status="incomplete", incomplete_reason="interrupted")
    told = Stored(messages=[question(1), answer(1), question(2), answer(2)], replies=[interrupted, reply(2)])
    assert _found(History(asks=[first, second]), told) == set()


def test_a_reply_that_completes_after_its_cancel_was_answered_is_unexpected() -> None:
    asked = history()
    asked.cancels["reply_1_2"] = "in_progress"
    assert _found(asked, stored()) == {(Kind.UNEXPECTED, "reply_1_2")}
    asked.cancels["reply_1_2"] = "completed"
    assert _found(asked, stored()) == set()


def test_a_reply_with_two_messages_is_duplicated() -> None:
    good = stored()
    twice = replace(answer(1), id="msg_another")
    bad = replace(good, messages=[*good.messages[:2], twice, *good.messages[2:]])
    assert (Kind.DUPLICATED, "reply_1_1") in _found(history(), bad)


@pytest.mark.parametrize(("first", "second"), [("completed", "completed"), ("failed", "retried")])
def test_a_reply_that_goes_on_after_its_end_is_duplicated(first: str, second: str) -> None:
    good = stored()
    tries = [attempt("reply_1_1", outcome=first), attempt("reply_1_1", 2, outcome=second)]
    bad = replace(good, attempts=[*tries, *good.attempts[1:]])
    assert _found(history(), bad) == {(Kind.DUPLICATED, "reply_1_1")}


def test_one_key_with_two_turns_is_duplicated() -> None:
    asked = history()
    asked.asks[1].accepted.add(Accepted(CONVERSATION, 3, "msg_3", frozenset({"reply_3_1"})))
    again = Message("msg_3", CONVERSATION, 3, "user", "This is key-2", None)
    good = stored()
    bad = replace(good, messages=[*good.messages, again], replies=[*good.replies, reply(3)])
    assert (Kind.DUPLICATED, "key-2") in _found(asked, bad)


def test_an_ask_that_is_stored_twice_is_duplicated_though_its_clients_saw_one_turn() -> None:
    good = stored()
    again = Message("msg_3", CONVERSATION, 3, "user", "This is key-2", None)
    assert (Kind.DUPLICATED, "key-2") in _found(history(), replace(good, messages=[*good.messages, again]))


def test_two_questions_in_one_turn_are_duplicated() -> None:
    good = stored()
    other = Message("msg_other", CONVERSATION, 1, "user", "This is another", None)
    bad = replace(good, messages=[good.messages[0], other, *good.messages[1:]])
    assert (Kind.DUPLICATED, f"{CONVERSATION}/1") in _found(history(), bad)


def test_more_candidates_than_were_asked_for_are_duplicated_and_fewer_are_lost() -> None:
    good = stored()
    more = replace(good, replies=[*good.replies, reply(1, candidate=3)], messages=[*good.messages])
    assert (Kind.DUPLICATED, "key-1") in _found(history(), more)
    fewer = history()
    fewer.regenerations.append(Regeneration("key-3", CONVERSATION, 1, is_accepted=True))
    assert (Kind.LOST, "key-1") in _found(fewer, good)


def test_an_ask_that_was_answered_without_replies_has_lost_them() -> None:
    """As when they were erased while the request waited for them."""
    asked, good = history(), stored()
    (accepted,) = asked.asks[0].accepted
    asked.asks[0].accepted = {replace(accepted, reply_ids=frozenset())}
    gone = replace(
        good,
        replies=[each for each in good.replies if each.turn != 1],
        messages=[each for each in good.messages if each.turn != 1 or each.role == "user"],
    )
    assert (Kind.LOST, "key-1") in _found(asked, gone)


def test_an_ask_that_was_refused_and_is_stored_is_duplicated() -> None:
    asked = history()
    refused = Ask("key-3", "This is key-3", "demo-fast", on_busy=REJECT, conversation_id=CONVERSATION, refusals=[409])
    asked.asks.append(refused)
    assert _found(asked, stored()) == set()
    good = stored()
    assert (Kind.DUPLICATED, "key-3") in _found(asked, replace(good, messages=[*good.messages, question(3)]))


def test_one_turn_that_two_asks_were_given_is_a_lost_one() -> None:
    asked = history()
    asked.asks.append(replace(ask(2), key="key-3", content="This is key-3"))
    assert (Kind.LOST, "key-3") in _found(asked, stored())


def test_turns_in_another_order_than_they_were_accepted_are_out_of_order() -> None:
    first, second = ask(1), ask(2)
    first.sent_at, first.accepted_at, second.sent_at, second.accepted_at = 3.0, 3.5, 1.0, 1.5
    told = Stored(messages=[question(1), answer(1), question(2), answer(2)], replies=[reply(1), reply(2)])
    assert _found(History(asks=[first, second]), told) == {(Kind.OUT_OF_ORDER, "key-2")}


def test_asks_that_were_under_way_at_once_may_have_either_order() -> None:
    first, second = ask(1), ask(2)
    first.sent_at, first.accepted_at, second.sent_at, second.accepted_at = 1.2, 3.5, 1.0, 1.5
    told = Stored(messages=[question(1), answer(1), question(2), answer(2)], replies=[reply(1), reply(2)])
    assert _found(History(asks=[first, second]), told) == set()


def test_messages_that_are_shown_in_another_order_are_out_of_order() -> None:
    good = stored()
    first, *rest = good.messages
    found = _found(history(), replace(good, messages=[*rest, first]))
    assert any(kind is Kind.OUT_OF_ORDER for kind, _ in found)


@pytest.mark.parametrize(
    "shown",
    [
        [("user", "This is key-1"), ("user", "This is key-2")],
        [("user", "This is key-2"), ("assistant", "Well said."), ("user", "This is key-1")],
        [("user", "This is key-1"), ("assistant", "Or so."), ("user", "This is key-2")],
        [("user", "This is key-1"), ("assistant", "Well"), ("user", "This is key-2")],
    ],
    ids=["without the answer before", "in another order", "with another candidate", "with a part of the answer"],
)
def test_an_answer_whose_prompt_is_not_what_was_said_before_is_out_of_order(shown: list[tuple[str, str]]) -> None:
    content = json.dumps([{"role": role, "content": text} for role, text in shown])
    good, asked = stored(), history()
    del asked.endings["reply_2_1"]
    bad = replace(
        good,
        messages=[*good.messages[:-1], answer(2, content)],
        replies=[*good.replies[:-1], replace(good.replies[-1], content=content)],
    )
    assert _found(asked, bad) == {(Kind.OUT_OF_ORDER, "reply_2_1")}


def test_a_prompt_that_is_shown_in_part_is_a_lost_answer() -> None:
    good, asked = stored(), history()
    del asked.endings["reply_2_1"]
    bad = replace(good, replies=[*good.replies[:-1], replace(good.replies[-1], content=TOLD[:20])])
    assert _found(asked, bad) == {(Kind.LOST, "reply_2_1")}


def test_a_reply_that_is_live_past_its_bound_is_stuck() -> None:
    live = replace(reply(1), status="in_progress", finished_at=None)
    told = Stored(messages=[question(1)], replies=[live])
    asked = History(asks=[ask(1)])
    assert _found(asked, told, now=DEADLINE + LATE_MS) == set()
    assert _found(asked, told, now=DEADLINE + LATE_MS + 1) == {(Kind.STUCK, "reply_1_1")}


def test_a_reply_that_ended_past_its_bound_was_stuck() -> None:
    late = replace(reply(1), status="failed", finished_at=DEADLINE + LATE_MS + 1)
    told = Stored(messages=[question(1)], replies=[late])
    assert _found(History(asks=[ask(1)]), told) == {(Kind.STUCK, "reply_1_1")}


def test_an_ask_that_nobody_ever_answered_is_stuck() -> None:
    silent = Ask("key-9", "This is key-9", "demo-fast", conversation_id=CONVERSATION)
    assert _found(History(asks=[silent]), Stored()) == {(Kind.STUCK, "key-9")}
