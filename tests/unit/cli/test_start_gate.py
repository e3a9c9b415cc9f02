"""Children load their code at once and work only when the gate opens."""

from __future__ import annotations

import sys
from dataclasses import replace

from cli.child_process import ChildProcess
from cli.start_gate import StartGate
from tests.fixtures.waiting import wait_for
from tests.unit.cli.processes import MakeProgram

PASS = (
    "import sys; sys.path[:0] = {path!r}; from cli.start_gate import pass_gate;"
    "print('waiting', flush=True); pass_gate({fd}); print('through')"
)


def test_a_child_waits_until_the_gate_opens_and_a_later_one_finds_it_open(make_program: MakeProgram) -> None:
    gate = StartGate()
    program = make_program(PASS.format(path=sys.path, fd=gate.child_fd))
    program = replace(program, pass_fds=(gate.child_fd,))
    first = ChildProcess(program)
    assert wait_for(lambda: first.tail() == ["waiting"])
    assert first.exit_code() is None
    gate.open()
    assert wait_for(lambda: first.exit_code() == 0)
    assert first.tail() == ["waiting", "through"]

    later = ChildProcess(program)
    assert wait_for(lambda: later.exit_code() == 0)
    assert later.tail() == ["waiting", "through"]
    gate.close()
