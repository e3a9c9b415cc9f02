"""What clients note down, and what they ask."""

from __future__ import annotations

import random
from typing import Any

import pytest

from cli.verify.choices import DEADLINE_SECONDS, Style, choose, closing, expected_text, fails, is_permanent_failure
from cli.verify.history import Accepted, Ask, Ending, History


def _turn(*replies: dict[str, Any]) -> dict[str, Any]:
    return {"conversation_id": "conv_1", "turn": 3, "message": {"id": "msg_3"}, "replies": list(replies)}


def _reply(candidate: int, status: str = "queued", content: str = "") -> dict[str, Any]:
    return {"id": f"reply_{candidate}", "candidate": candidate, "status": status, "content": content}


def test_equal_answers_are_one_acceptance_also_when_a_candidate_was_added_meanwhile() -> None:
    history, ask = History(), Ask("key", "This is key", "demo-fast", n=2)
    history.accept(ask, _turn(_reply(1), _reply(2)), at=1.0)
    history.accept(ask, _turn(_reply(3), _reply(2), _reply(1)), at=2.0)
    assert ask.accepted == {Accepted("conv_1", 3, "msg_3", frozenset({"reply_1", "reply_2"}))}
    assert (ask.place, ask.accepted_at) == (("conv_1", 3), 1.0)


def test_every_turn_that_a_key_was_answered_with_is_looked_at() -> None:
    history, ask = History(), Ask("key", "This is key", "demo-fast")
    history.asks.append(ask)
    history.accept(ask, _turn(_reply(1)), at=1.0)
    history.accept(ask, {**_turn(_reply(2)), "turn": 4}, at=2.0)
    assert history.turns == {"conv_1": [3, 4]}


def test_the_first_ending_that_was_shown_stands_and_another_is_a_surprise() -> None:
    history = History()
    history.see([_reply(1, "in_progress", "So")])
    assert history.endings == {}
    history.see([_reply(1, "completed", "So it is.")])
    history.see([_reply(1, "completed", "So it is.")])
    assert (history.endings, history.surprises) == ({"reply_1": Ending("completed", "So it is.")}, [])
    history.see([_reply(1, "completed", "So")])
    assert history.surprises == ["reply_1 was shown with two different endings"]


def test_the_same_seed_asks_the_same() -> None:
    def asked() -> list[dict[str, Any]]:
        rng = random.Random("7/0")
        return [choose(rng).body("This is key", Style()) for _ in range(50)]

    assert asked() == asked()


def test_a_model_that_is_not_the_demos_is_not_asked_for_by_name() -> None:
    assert closing().body("This is key", Style(has_demo_model=False)) == {
        "content": "This is key",
        "n": 1,
        "deadline_seconds": DEADLINE_SECONDS,
    }


@pytest.mark.parametrize(
    ("model", "permanently"), [("demo-cut", True), ("demo-cut-once", False), ("demo-fail-429-once", False)]
)
def test_a_model_that_fails_does_so_once_or_for_ever(model: str, *, permanently: bool) -> None:
    assert fails(model)
    assert is_permanent_failure(model) is permanently
    assert not fails("demo-fast")


def test_what_some_models_say_is_known_beforehand() -> None:
    assert expected_text("demo-echo", "This is key") == "This is key"
    assert (expected_text("demo-load", "") or "").endswith(" token41")
    assert expected_text("demo-fast", "This is key") is None
