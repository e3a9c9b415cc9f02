"""A child's log stays bounded, and its last lines are those of this run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from cli import child_process
from cli.child_process import ChildProcess, describe_exit
from tests.fixtures.waiting import wait_for
from tests.unit.cli.processes import MakeProgram


def _run(make_program: MakeProgram, source: str) -> ChildProcess:
    child = ChildProcess(make_program(source))
    assert wait_for(lambda: child.exit_code() is not None)
    return child


def test_output_and_errors_are_appended_to_the_log(make_program: MakeProgram, tmp_path: Path) -> None:
    _run(make_program, "print('one')")
    _run(make_program, "import sys; print('two', file=sys.stderr)")
    assert (tmp_path / "child.log").read_text() == "one\ntwo\n"


def test_a_program_runs_where_it_was_told_to(make_program: MakeProgram, tmp_path: Path) -> None:
    folder = tmp_path / "folder"
    folder.mkdir()
    _run(lambda source: replace(make_program(source), directory=folder), "import os; print(os.getcwd())")
    assert (tmp_path / "child.log").read_text().strip() == str(folder.resolve())


def test_the_tail_is_the_end_of_this_run_alone(make_program: MakeProgram) -> None:
    _run(make_program, "print('an earlier run')")
    assert _run(make_program, "print('\\n'.join(map(str, range(30))))").tail() == [str(n) for n in range(10, 30)]
    assert _run(make_program, "").tail() == []


def test_a_log_that_grew_too_large_moves_aside_at_the_next_start(
    make_program: MakeProgram, tmp_path: Path, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "MAX_LOG_BYTES", 5)
    _run(make_program, "print('12345')")
    _run(make_program, "print('6')")
    assert (tmp_path / "child.log").read_text() == "6\n"
    assert (tmp_path / "child.log.1").read_text() == "12345\n"


@pytest.mark.parametrize(
    ("code", "words"), [(0, "exit code 0"), (3, "exit code 3"), (-9, "killed by SIGKILL"), (-99, "killed by signal 99")]
)
def test_an_exit_code_is_put_in_words(code: int, words: str) -> None:
    assert describe_exit(code) == words
