"""The statuses and the moves between them."""

from __future__ import annotations

import pytest

from shared.reply_status import LIVE, TERMINAL, TRANSITIONS, ReplyStatus


def test_every_status_has_its_transitions() -> None:
    assert set(TRANSITIONS) == set(ReplyStatus)


def test_a_status_is_live_or_terminal() -> None:
    assert not LIVE & TERMINAL
    assert LIVE | TERMINAL == set(ReplyStatus)


@pytest.mark.parametrize("status", [ReplyStatus.COMPLETED, ReplyStatus.INCOMPLETE])
def test_an_answer_stays(status: ReplyStatus) -> None:
    assert not TRANSITIONS[status]


@pytest.mark.parametrize("status", [ReplyStatus.FAILED, ReplyStatus.CANCELLED])
def test_what_ended_without_an_answer_can_only_be_queued_again(status: ReplyStatus) -> None:
    assert TRANSITIONS[status] == {ReplyStatus.QUEUED}


@pytest.mark.parametrize("status", sorted(LIVE))
def test_every_live_status_can_fail_at_its_deadline(status: ReplyStatus) -> None:
    assert ReplyStatus.FAILED in TRANSITIONS[status]


def test_only_a_worker_that_holds_the_reply_can_complete_it() -> None:
    assert [status for status in ReplyStatus if ReplyStatus.COMPLETED in TRANSITIONS[status]] == ["in_progress"]
