"""The numbers of a response's events: computed from what was said, so the same wherever they are told."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from api.openai_compat.events import Story, Teller, pieces, retell
from api.rendering import Row
from shared.ids import answer_id, new_conversation_id, new_reply_id
from shared.reply_status import ReplyStatus

REPLY, CONVERSATION = new_reply_id(), new_conversation_id()
FIRST, SECOND = ("Hello, ", "I sl"), ("Hello, ", "I am ", "a demo model.")
TEXT = "".join(SECOND)


def row(status: str = "completed", content: str = TEXT, **columns: Any) -> dict[str, Any]:
    """A reply as it is read, of a request in the background."""
    return {
        "id": REPLY,
        "conversation_id": CONVERSATION,
        "status": status,
        "content": content,
        "message_id": None,
        "attempt": 1,
        "model": "demo",
        "parameters": {},
        "metadata": {},
        "request": {"background": True, "has_conversation": False},
        "instructions": None,
        "error_code": None,
        "error_message": None,
        "incomplete_reason": None,
        "input_tokens": 3,
        "output_tokens": 5,
        "created_at": 1_000,
        "finished_at": 2_000,
        "partial_lengths": None,
    } | columns


def tried(number: int, said: tuple[str, ...] = (), *, is_kept_with_reply: bool = False) -> dict[str, Any]:
    """A try and what went out in it."""
    lengths = [len(piece) for piece in said] or None
    return {"attempt": number, "lengths": lengths, "text": None if is_kept_with_reply or not said else "".join(said)}


def events(written: bytes) -> list[dict[str, Any]]:
    """What a client reads."""
    found = []
    for block in written.split(b"\n\n")[:-1]:
        kind, data = block.split(b"\n")
        content: dict[str, Any] = orjson.loads(data.removeprefix(b"data: "))
        assert kind.removeprefix(b"event: ").decode() == content["type"]
        found.append(content)
    return found


def told(story: Story, *, after: int = -1) -> list[dict[str, Any]]:
    return events(retell(story, after=after).take())


def kinds(found: list[dict[str, Any]]) -> list[str]:
    return [each["type"].removeprefix("response.") for each in found]


def live(shown: Row, *steps: tuple[str, Any]) -> list[dict[str, Any]]:
    """What a client reads that has listened from the beginning."""
    teller = Teller(shown)
    teller.begin()
    for name, value in steps:
        getattr(teller, name)(value)
    return events(teller.take())


ITEM = ("output_item.added", "content_part.added")
CLOSED = ("output_text.done", "content_part.done", "output_item.done")


def test_a_response_is_told_in_openais_order() -> None:
    found = told(Story(row(), [tried(1, SECOND, is_kept_with_reply=True)]))
    assert kinds(found) == [
        *("created", "queued", "in_progress"),
        *ITEM,
        *["output_text.delta"] * 3,
        *CLOSED,
        "completed",
    ]
    assert [each["sequence_number"] for each in found] == list(range(len(found)))
    assert [each["delta"] for each in found if "delta" in each] == list(SECOND)
    assert [each["response"]["status"] for each in found if "response" in each] == [
        *("queued", "queued", "in_progress"),
        "completed",
    ]


def test_one_in_the_foreground_is_never_queued() -> None:
    found = told(Story(row(request={"has_conversation": False}), [tried(1, SECOND, is_kept_with_reply=True)]))
    assert kinds(found)[:2] == ["created", "in_progress"]


def test_live_and_told_again_are_the_same_also_after_a_restart() -> None:
    ended = row(attempt=2)
    listened = live(
        row("queued", "", attempt=0),
        ("start", 1),
        *(("say", piece) for piece in FIRST),
        ("start", 2),
        *(("say", piece) for piece in SECOND),
        ("end", ended),
    )
    again = told(Story(ended, [tried(1, FIRST), tried(2, SECOND, is_kept_with_reply=True)]))
    assert listened == again


def test_what_a_lost_try_said_is_closed_and_the_text_begins_anew_as_the_next_item() -> None:
    found = told(Story(row(attempt=2), [tried(1, FIRST), tried(2, SECOND, is_kept_with_reply=True)]))
    items = [each for each in found if each["type"] == "response.output_item.done"]
    assert [(each["output_index"], each["item"]["status"]) for each in items] == [(0, "incomplete"), (1, "completed")]
    assert [each["item"]["content"][0]["text"] for each in items] == ["".join(FIRST), TEXT]
    final = found[-1]["response"]["output"]
    assert [item["id"] for item in final] == [items[1]["item"]["id"]] == [answer_id(REPLY, 2)]
    assert items[0]["item"]["id"] == answer_id(REPLY, 1)


@pytest.mark.parametrize("after", range(-1, 13))
def test_who_resumes_gets_the_rest_and_nothing_twice(after: int) -> None:
    story = Story(row(), [tried(1, SECOND, is_kept_with_reply=True)])
    assert told(story, after=after) == told(story)[after + 1 :]


def test_behind_the_end_there_is_nothing() -> None:
    assert told(Story(row(), [tried(1, SECOND, is_kept_with_reply=True)]), after=1_000) == []


def test_a_response_under_way_is_told_as_far_as_its_text_is_stored() -> None:
    stored = row("in_progress", "".join(SECOND[:2]), partial_lengths=[len(piece) for piece in SECOND[:2]])
    found = told(Story(stored, [tried(1)]))
    whole = told(Story(row(), [tried(1, SECOND, is_kept_with_reply=True)]))
    assert kinds(found) == kinds(whole[: len(found)])
    assert found[-1] == whole[len(found) - 1]


def test_one_that_waits_for_its_next_try_has_told_the_last_one() -> None:
    found = told(Story(row("queued", "".join(FIRST)), [tried(1, FIRST)]))
    assert kinds(found)[-1] == "output_text.delta"
    assert "".join(each["delta"] for each in found if "delta" in each) == "".join(FIRST)


@pytest.mark.parametrize("status", [ReplyStatus.FAILED, ReplyStatus.CANCELLED])
def test_text_that_is_no_answer_is_closed_as_incomplete(status: ReplyStatus) -> None:
    ended = row(status, "".join(FIRST), error_code="rate_limited", error_message="Too many requests.")
    found = told(Story(ended, [tried(1, FIRST, is_kept_with_reply=True)]))
    closed = next(each for each in found if each["type"] == "response.output_item.done")
    assert closed["item"]["status"] == "incomplete"
    ends = ["failed"] if status is ReplyStatus.FAILED else []
    assert kinds(found)[-len(CLOSED) - len(ends) :] == [*CLOSED, *ends]


def test_one_that_was_never_tried_ends_without_an_item() -> None:
    assert kinds(told(Story(row("cancelled", "", attempt=0), []))) == ["created", "queued"]


def test_where_less_is_kept_than_was_shown_the_kept_text_is_an_item_of_its_own() -> None:
    kept = row("incomplete", FIRST[0], incomplete_reason="worker_lost")
    found = told(Story(kept, [tried(1, FIRST)]))
    texts = [each["text"] for each in found if each["type"] == "response.output_text.done"]
    assert texts == ["".join(FIRST), FIRST[0]]
    assert found[-1]["response"]["output"][0]["content"][0]["text"] == FIRST[0]


@pytest.mark.parametrize(
    ("lengths", "expected"),
    [
        ([2, 3], ["He", "llo"]),
        ([2], ["He", "llo"]),
        ([2, 3, 4], ["He", "llo"]),
        (None, ["Hello"]),
        ([], ["Hello"]),
    ],
)
def test_a_text_comes_in_its_pieces_whatever_is_known_of_them(lengths: list[int] | None, expected: list[str]) -> None:
    assert pieces("Hello", lengths) == expected


def test_no_text_has_no_pieces() -> None:
    assert pieces("", [3]) == pieces("", None) == []
