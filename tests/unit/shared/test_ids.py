"""Public ids."""

from __future__ import annotations

import pytest

from shared import ids

NEW = {"conv": ids.new_conversation_id, "msg": ids.new_message_id, "reply": ids.new_reply_id}


@pytest.mark.parametrize("noun", NEW)
def test_a_fresh_id_has_the_form_of_its_noun_and_of_no_other(noun: str) -> None:
    fresh = NEW[noun]()
    assert [other for other in NEW if ids.is_id(other, fresh)] == [noun]


def test_a_process_id_names_its_role() -> None:
    assert ids.is_id("worker", ids.new_process_id("worker"))


def test_ids_made_at_once_differ() -> None:
    assert len({ids.new_reply_id() for _ in range(10_000)}) == 10_000


def test_ids_sort_by_the_time_they_were_made(monkeypatch: pytest.MonkeyPatch) -> None:
    made = []
    for millisecond in (1, 1_000, 1_700_000_000_000, 1_700_000_000_001):
        monkeypatch.setattr("shared.ids.time.time_ns", lambda now=millisecond: now * 1_000_000)
        made.append(ids.new_message_id())
    assert made == sorted(made)


@pytest.mark.parametrize(
    "value",
    [
        "",
        "reply_",
        "reply",
        "reply_01h2xcejqtf2nbrexx3vqjhp4",  # one character short
        "reply_01h2xcejqtf2nbrexx3vqjhp411",  # one too many
        "reply_01h2xcejqtf2nbrexx3vqjhp41\n",
        "reply_01H2XCEJQTF2NBREXX3VQJHP41",
        "reply_81h2xcejqtf2nbrexx3vqjhp41",  # more than 128 bits
        "reply_01h2xcejqtf2nbrexx3vqjhpu1",  # u is not in the alphabet
        " reply_01h2xcejqtf2nbrexx3vqjhp41",
    ],
)
def test_what_is_no_id_is_refused(value: str) -> None:
    assert not ids.is_id("reply", value)


def test_ids_of_one_process_rise_also_within_a_millisecond() -> None:
    made = [ids.new_reply_id() for _ in range(5000)]
    assert made == sorted(set(made))
