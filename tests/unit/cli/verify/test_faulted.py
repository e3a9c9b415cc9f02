"""What a fault explains: lost tries, paid calls, the time to recover; and what nothing explains."""

from __future__ import annotations

from dataclasses import replace

import pytest

from cli.verify.faulted import Fault, FaultKind, extra_calls, percentile, recoveries, unexplained_failures
from cli.verify.history import History
from cli.verify.judge import Kind
from cli.verify.stored import Attempt, Stored
from tests.unit.cli.verify.histories import ask, attempt, history, kill, reply, stored

ONE_EACH = {"This is key-1": 2, "This is key-2": 1}


def _extra(of: History, in_: Stored, requests: dict[str, int], *faults: Fault) -> int:
    findings = list(extra_calls(of, in_, faults=faults, requests=requests))
    assert {finding.kind for finding in findings} <= {Kind.EXTRA_CALL}
    return len({finding.subject for finding in findings})


def _tried(*attempts: Attempt, model: str = "demo-fast") -> tuple[History, Stored]:
    """A turn of one reply."""
    return History(asks=[ask(1, model=model)]), Stored(replies=[reply(1, model=model)], attempts=list(attempts))


def test_one_request_for_each_reply_is_none_too_many() -> None:
    assert _extra(history(), stored(), ONE_EACH) == 0


def test_each_request_beyond_that_is_one_too_many() -> None:
    assert _extra(history(), stored(), {**ONE_EACH, "This is key-1": 4}) == 2


@pytest.mark.parametrize(
    ("outcome", "kind"),
    [
        ("lost", FaultKind.KILL_WORKER),
        ("lost", FaultKind.FREEZE_WORKER),
        ("retried", FaultKind.FREEZE_WORKER),
        ("handed_back", FaultKind.STOP_WORKER),
    ],
)
def test_a_fault_in_its_worker_explains_one_more_request(outcome: str, kind: FaultKind) -> None:
    told = _tried(attempt("reply_1_1", outcome=outcome), attempt("reply_1_1", 2, ended_at=9000))
    assert _extra(*told, {"This is key-1": 2}, kill(kind=kind)) == 0
    assert _extra(*told, {"This is key-1": 3}, kill(kind=kind)) == 1
    assert _extra(*told, {"This is key-1": 2}) == 1
    assert _extra(*told, {"This is key-1": 2}, kill(at=2500, kind=kind)) == 1, "it came later"
    assert _extra(*told, {"This is key-1": 2}, kill(kind=FaultKind.KILL_GATEWAY)) == 1


def test_a_fault_explains_the_tries_of_one_worker_alone() -> None:
    others = [replace(attempt("reply_1_1", outcome="lost"), worker_id="worker_2")]
    mine = [attempt(f"reply_{turn}_1", outcome="lost") for turn in (2, 3)]
    told = Stored(replies=[reply(1), reply(2), reply(3)], attempts=[*others, *mine])
    asked = History(asks=[ask(1), ask(2), ask(3)])
    requests = {f"This is key-{turn}": 2 for turn in (1, 2, 3)}
    assert _extra(asked, told, requests, kill()) == 1


def test_what_the_model_did_wrong_meanwhile_does_not_hide_what_the_fault_broke() -> None:
    others = [replace(attempt(f"reply_{turn}_1", outcome="retried"), worker_id="worker_2") for turn in (2, 3)]
    told = Stored(
        replies=[reply(1), *(reply(turn, model="demo-cut-once") for turn in (2, 3))],
        attempts=[attempt("reply_1_1", outcome="lost"), *others],
    )
    asked = History(asks=[ask(1), ask(2), ask(3)])
    requests = {f"This is key-{turn}": 2 for turn in (1, 2, 3)}
    assert _extra(asked, told, requests, kill(kind=FaultKind.FREEZE_WORKER)) == 0


def test_the_cap_holds_however_many_faults_there_were() -> None:
    told = _tried(*(attempt("reply_1_1", number, outcome="lost", ended_at=2000 * number) for number in (1, 2, 3)))
    faults = [Fault(FaultKind.KILL_WORKER, "worker-1", 2000 * number - 500, 2000 * number) for number in (1, 2, 3)]
    assert _extra(*told, {"This is key-1": 2}, *faults) == 0
    assert _extra(*told, {"This is key-1": 3}, *faults) == 1


@pytest.mark.parametrize(("model", "most"), [("demo-cut-once", 2), ("demo-fail-429-once", 4), ("demo-fail-401", 1)])
def test_a_model_that_fails_explains_another_try_and_one_that_refuses_as_many_as_there_are(
    model: str, most: int
) -> None:
    outcome = "failed" if model == "demo-fail-401" else "retried"
    told = _tried(*(attempt("reply_1_1", number, outcome=outcome) for number in (1, 2, 3)), model=model)
    assert _extra(*told, {"This is key-1": most}) == 0
    assert _extra(*told, {"This is key-1": most + 1}) == 1


def test_a_failure_without_a_cause_is_unexpected() -> None:
    failed = replace(reply(1), status="failed", error_code="attempts_exhausted")
    told = Stored(replies=[failed], attempts=[attempt("reply_1_1", outcome="lost")])
    assert [finding.subject for finding in unexplained_failures(told, [])] == ["reply_1_1"]
    assert list(unexplained_failures(told, [kill()])) == []


@pytest.mark.parametrize(("model", "findings"), [("demo-stall", 0), ("demo-fast", 1)])
def test_only_a_model_that_stalls_may_run_into_a_deadline(model: str, findings: int) -> None:
    failed = replace(reply(1, model=model), status="failed", error_code="deadline_exceeded")
    assert len(list(unexplained_failures(Stored(replies=[failed]), []))) == findings


def test_recovery_is_from_the_kill_to_the_next_try_of_each_reply_of_the_killed_worker() -> None:
    told = Stored(
        replies=[reply(1), reply(2), reply(3)],
        attempts=[
            attempt("reply_1_1", outcome="lost", ended_at=8000),
            attempt("reply_1_1", 2, ended_at=9500),
            attempt("reply_2_1", outcome="lost", ended_at=8000),
            attempt("reply_2_1", 2, ended_at=9100),
            attempt("reply_3_1", ended_at=8000),
        ],
    )
    assert recoveries(told, [kill()]) == [9100 - 1000 - 1500, 9500 - 1000 - 1500]
    assert recoveries(told, [kill(kind=FaultKind.FREEZE_WORKER)]) == []


def test_percentiles_are_of_the_nearest_rank() -> None:
    assert percentile([], 0.5) is None
    assert percentile([7], 0.99) == 7
    values = list(range(1, 201))
    assert (percentile(values, 0.5), percentile(values, 0.99)) == (100, 198)
