"""Replies as clients see them."""

from __future__ import annotations

from typing import Any

import pytest

from shared.clock import now_ms
from shared.reply_body import instant, reply_dict

ROW: dict[str, Any] = {
    "id": "reply_x",
    "tenant_id": "secret",
    "token": 7,
    "worker_id": "worker_x",
    "conversation_id": "conv_x",
    "turn": 1,
    "candidate": 1,
    "status": "queued",
    "content": "",
    "model": "m",
    "attempt": 0,
    "selected": False,
    "message_id": None,
    "input_tokens": None,
    "usage_estimated": None,
    "output_tokens": None,
    "error_code": None,
    "error_message": None,
    "error_retryable": None,
    "incomplete_reason": None,
    "stop_requested": None,
    "metadata": {},
    "feedback_rating": None,
    "feedback_comment": None,
    "feedback_at": None,
    "turns_ahead": 0,
    "available_at": 0,
    "created_at": 1_769_860_800_000,
    "started_at": None,
    "finished_at": None,
    "deadline_at": 1_769_861_400_999,
}


@pytest.mark.parametrize(
    ("milliseconds", "text"),
    [
        (0, "1970-01-01T00:00:00.000Z"),
        (1_769_860_800_007, "2026-01-31T12:00:00.007Z"),
        (1_769_860_800_999, "2026-01-31T12:00:00.999Z"),
        (253_402_300_799_999, "9999-12-31T23:59:59.999Z"),
    ],
)
def test_instants_are_rfc_3339_in_utc_with_milliseconds(milliseconds: int, text: str) -> None:
    assert instant(milliseconds) == text


def test_what_a_queued_reply_waits_for() -> None:
    later = now_ms() + 60_000
    assert reply_dict(ROW)["queue"] == {"turns_ahead": 0, "waiting_for": "worker", "next_attempt_at": None}
    assert reply_dict({**ROW, "turns_ahead": 2, "available_at": later})["queue"]["waiting_for"] == "turn"
    retry = reply_dict({**ROW, "available_at": later})["queue"]
    assert retry == {"turns_ahead": 0, "waiting_for": "retry", "next_attempt_at": instant(later)}
    running = reply_dict({**ROW, "status": "in_progress", "available_at": later})["queue"]
    assert running == {"turns_ahead": 0, "waiting_for": None, "next_attempt_at": None}


def test_usage_and_error_are_whole_or_absent() -> None:
    counted = {"input_tokens": 3, "output_tokens": 0, "total_tokens": 3, "estimated": False}
    assert reply_dict({**ROW, "input_tokens": 3})["usage"] == counted
    assert reply_dict({**ROW, "input_tokens": 3, "usage_estimated": True})["usage"] == {**counted, "estimated": True}
    failed = reply_dict({**ROW, "error_code": "rate_limited", "error_message": "No.", "error_retryable": 1})
    assert failed["error"] == {"code": "rate_limited", "message": "No.", "retryable": True}


def test_nothing_internal_is_shown() -> None:
    assert not {"tenant_id", "token", "worker_id", "available_at", "turns_ahead"} & reply_dict(ROW).keys()
