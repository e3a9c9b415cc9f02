"""The table says what was counted, and the exit code whether the promise was kept."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.verify.judge import Finding, Kind
from cli.verify.report import SHOWN_OF_EACH_KIND, Verdict, keep_findings, print_verdict
from tests.unit.cli.verify.histories import history, stored


def _verdict(*findings: Finding) -> Verdict:
    return Verdict(history(), stored(), findings, recoveries=[5000, 7000], kills=1)


def test_the_table_of_a_clean_run(capsys: pytest.CaptureFixture[str]) -> None:
    verdict = _verdict()
    print_verdict(verdict)
    assert [line.split() for line in capsys.readouterr().out.splitlines() if line] == [
        ["accepted", "2", "turns", "with", "3", "replies"],
        ["completed", "3"],
        ["failed", "0"],
        ["incomplete", "0"],
        ["cancelled", "0"],
        ["lost", "0"],
        ["duplicated", "0"],
        ["out", "of", "order", "0"],
        ["stuck", "0"],
        ["extra", "model", "calls", "0"],
        ["recovery", "p50", "5.0", "s,", "p99", "7.0", "s", "(2", "replies", "of", "1", "killed", "workers)"],
    ]
    assert (verdict.exit_code, verdict.is_clean) == (0, True)


@pytest.mark.parametrize("kind", [Kind.LOST, Kind.DUPLICATED, Kind.OUT_OF_ORDER, Kind.STUCK, Kind.UNEXPECTED])
def test_each_broken_promise_is_an_exit_code_of_one(kind: Kind) -> None:
    verdict = _verdict(Finding(kind, "reply_1", "told"))
    assert (verdict.exit_code, verdict.is_clean) == (1, False)


def test_a_call_too_many_is_told_and_breaks_no_promise() -> None:
    verdict = _verdict(Finding(Kind.EXTRA_CALL, "key-1 request 2", "told"))
    assert (verdict.exit_code, verdict.is_clean) == (0, False)


def test_the_same_thing_seen_twice_is_counted_once(capsys: pytest.CaptureFixture[str]) -> None:
    same = Finding(Kind.LOST, "reply_1", "over HTTP"), Finding(Kind.LOST, "reply_1", "in the database")
    print_verdict(_verdict(*same))
    printed = capsys.readouterr().out
    assert "lost                1\n" in printed
    assert "lost: reply_1: over HTTP\n" in printed
    assert "in the database" not in printed


def test_some_of_each_kind_are_printed_and_all_are_kept(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    many = [Finding(Kind.LOST, f"reply_{number}", "told") for number in range(SHOWN_OF_EACH_KIND + 2)]
    verdict = _verdict(*many, Finding(Kind.STUCK, "reply_1", "told"))
    print_verdict(verdict)
    printed = capsys.readouterr().out
    assert printed.count("lost: ") == SHOWN_OF_EACH_KIND
    assert "... and 2 more lost" in printed
    assert "stuck: reply_1: told" in printed
    keep_findings(verdict, tmp_path)
    assert len((tmp_path / "findings.txt").read_text().splitlines()) == len(many) + 1
