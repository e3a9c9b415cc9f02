"""What becomes of replies, as a stream tells it."""

from __future__ import annotations

from typing import Any

from cli.terminal.answers import Answers, failure_of
from cli.terminal.server import Event


def reply(status: str = "queued", content: str = "", **more: Any) -> dict[str, Any]:
    return {"id": "reply_a", "candidate": 1, "status": status, "content": content, **more}


def test_a_text_grows_starts_over_and_ends() -> None:
    answers = Answers.of([reply()])
    (answer,) = answers.all
    for event in (
        Event("message.created", {"message": {}}),
        Event("reply.started", {"reply_id": "reply_a", "attempt": 1}),
        Event("reply.delta", {"reply_id": "reply_a", "text": "Hel"}),
    ):
        answers.take(event)
    assert (answer.text, answer.dropped, answer.is_live) == ("Hel", 0, True)
    answers.take(Event("reply.restarted", {"reply_id": "reply_a", "attempt": 2}))
    assert (answer.text, answer.dropped) == ("", 1)
    answers.take(Event("snapshot", {"reply": reply("in_progress", "Hello")}))
    answers.take(Event("reply.delta", {"reply_id": "reply_a", "text": ", Ada"}))
    answers.take(Event("reply.completed", {"reply": reply("completed", "Hello, Ada")}))
    assert (answer.text, answer.dropped, answers.live) == ("Hello, Ada", 1, [])


def test_what_is_of_another_reply_or_of_a_kind_to_come_is_passed_over() -> None:
    answers = Answers.of([reply()])
    answers.take(Event("reply.delta", {"reply_id": "reply_b", "text": "no"}))
    answers.take(Event("something.new", {"reply_id": "reply_a"}))
    assert answers.all[0].text == ""


def test_why_an_answer_is_not_whole_is_a_sentence() -> None:
    error = {"code": "rate_limited", "message": "Too many requests.", "retryable": True}
    assert failure_of(reply("failed", error=error)) == (
        "No answer (rate_limited): Too many requests. Trying again may help."
    )
    assert failure_of(reply("cancelled")) == "Stopped."
    assert failure_of(reply("incomplete", incomplete_reason="interrupted")) is not None
    assert failure_of(reply("completed")) is None
