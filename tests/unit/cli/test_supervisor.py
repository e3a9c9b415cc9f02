"""Starting, watching, restarting and stopping child processes, with real ones."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from cli import supervisor as supervisor_module
from cli.child_process import ChildFailed
from cli.supervisor import StopRequested, Supervisor
from tests.fixtures.waiting import BOUND_SECONDS, wait_for
from tests.unit.cli.processes import MakeProgram, is_alive

NOTE = "import os, pathlib, signal, sys, time; note = (pathlib.Path(os.environ['FOLDER']) / 'notes').open('a', 1);"
RUN_ON = NOTE + "print(os.getpid(), file=note); time.sleep(60)"
IGNORE_SIGTERM = NOTE + "signal.signal(15, signal.SIG_IGN); print(os.getpid(), file=note); time.sleep(60)"
# It looks again and again, as a process of its own that nobody can wake; the supervisor's bound is the end of that.
END_AFTER_ANOTHER = NOTE + (
    "signal.signal(15, signal.SIG_IGN); print(os.getpid(), file=note)\n"
    "while 'stopped' not in pathlib.Path(note.name).read_text(): time.sleep(0.01)"
)
DIE_AT_ONCE = NOTE + "print(os.getpid(), file=note); print('no, thank you', flush=True); sys.exit(3)"
DIE_THE_FIRST_TIME = NOTE + (
    "first = not os.path.getsize(note.name); print(os.getpid(), file=note); sys.exit(3) if first else time.sleep(60)"
)
TELL_WHEN_STOPPED = NOTE + (
    "signal.signal(15, lambda *_: (print(sys.argv[1], file=note), os._exit(0)));print('up', file=note); time.sleep(60)"
)

MakeSupervisor = Callable[..., Supervisor]


@pytest.fixture
def notes(tmp_path: Path) -> Callable[[], list[str]]:
    """What the children wrote down."""
    path = tmp_path / "notes"
    return lambda: path.read_text().split() if path.exists() else []


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def make_supervisor(said: list[str]) -> MakeSupervisor:
    def make(*, stage_seconds: tuple[float, ...] = (5.0,), stop_seconds: float = 5.0) -> Supervisor:
        return Supervisor(said.append, stage_seconds=stage_seconds, stop_seconds=stop_seconds)

    return make


def test_a_child_that_dies_is_restarted_and_one_line_says_so(
    make_supervisor: MakeSupervisor, make_program: MakeProgram, *, notes: Callable[[], list[str]], said: list[str]
) -> None:
    with make_supervisor() as supervisor:
        supervisor.start(make_program(DIE_THE_FIRST_TIME))
        assert supervisor.wait_until(lambda: len(notes()) == 2, BOUND_SECONDS)
        assert is_alive(int(notes()[1]))
    assert said == ["child ended (exit code 3), restarting in 0.5 s"]


def test_a_child_killed_by_a_signal_is_named_so(
    make_supervisor: MakeSupervisor, make_program: MakeProgram, *, notes: Callable[[], list[str]], said: list[str]
) -> None:
    with make_supervisor() as supervisor:
        supervisor.start(make_program(RUN_ON))
        assert supervisor.wait_until(notes, BOUND_SECONDS)
        os.kill(int(notes()[0]), signal.SIGKILL)
        assert supervisor.wait_until(lambda: len(notes()) == 2, BOUND_SECONDS)
    assert said == ["child ended (killed by SIGKILL), restarting in 0.5 s"]


def test_a_child_that_dies_at_once_again_and_again_is_given_up_with_its_last_lines(
    make_supervisor: MakeSupervisor,
    make_program: MakeProgram,
    *,
    notes: Callable[[], list[str]],
    said: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(supervisor_module, "BACKOFF_SECONDS", (0.01, 0.02))
    with make_supervisor() as supervisor:
        supervisor.start(make_program(DIE_AT_ONCE))
        with pytest.raises(ChildFailed, match="child ended at once 5 times in a row") as caught:
            supervisor.wait_until(lambda: False, 30)
    assert caught.value.tail == ("no, thank you",)
    assert len(notes()) == 5
    assert said[0] == "  child: no, thank you", "its last lines are shown once, with the first death"
    assert [line.rpartition(" in ")[2] for line in said[1:]] == ["0.01 s", "0.02 s", "0.02 s", "0.02 s"]


def test_a_program_that_can_be_repaired_is_and_that_is_said_instead_of_its_last_lines(
    make_supervisor: MakeSupervisor, make_program: MakeProgram, *, notes: Callable[[], list[str]], said: list[str]
) -> None:
    program = replace(make_program(DIE_THE_FIRST_TIME), repair=lambda _tail: "Put right.")
    with make_supervisor() as supervisor:
        supervisor.start(program)
        assert supervisor.wait_until(lambda: len(notes()) == 2, BOUND_SECONDS)
    assert said == ["Put right.", "child ended (exit code 3), restarting in 0.5 s"]


def test_programs_stop_stage_by_stage(
    make_supervisor: MakeSupervisor, make_program: MakeProgram, *, notes: Callable[[], list[str]]
) -> None:
    stages = [1, 0, 2]
    with make_supervisor(stage_seconds=(5.0, 5.0, 5.0), stop_seconds=10) as supervisor:
        for stage in stages:
            source = TELL_WHEN_STOPPED.replace("sys.argv[1]", repr(f"stage-{stage}"))
            supervisor.start(make_program(source, name=f"stage-{stage}", stage=stage))
        assert supervisor.wait_until(lambda: len(notes()) == len(stages), BOUND_SECONDS)
    assert notes()[3:] == ["stage-0", "stage-1", "stage-2"]


def test_a_slow_stage_does_not_keep_the_next_one_waiting_for_longer_than_its_share(
    make_supervisor: MakeSupervisor, make_program: MakeProgram, *, notes: Callable[[], list[str]], said: list[str]
) -> None:
    with make_supervisor(stage_seconds=(0.1, BOUND_SECONDS), stop_seconds=BOUND_SECONDS) as supervisor:
        supervisor.start(make_program(END_AFTER_ANOTHER, name="slow"))
        source = TELL_WHEN_STOPPED.replace("sys.argv[1]", "'stopped'")
        supervisor.start(make_program(source, name="next", stage=1))
        assert supervisor.wait_until(lambda: len(notes()) == 2, BOUND_SECONDS)
    assert notes()[-1] == "stopped"
    assert said == [], "the slow one would not have ended before the next"


def test_a_straggler_is_killed_when_the_time_is_up(
    make_supervisor: MakeSupervisor, make_program: MakeProgram, *, notes: Callable[[], list[str]], said: list[str]
) -> None:
    with make_supervisor(stage_seconds=(0.2,), stop_seconds=0.3) as supervisor:
        supervisor.start(make_program(IGNORE_SIGTERM))
        assert supervisor.wait_until(notes, BOUND_SECONDS)
    assert not is_alive(int(notes()[0]))
    assert said == ["child did not stop in time and was killed"]


def test_a_second_request_to_stop_kills_at_once(
    make_supervisor: MakeSupervisor, make_program: MakeProgram, *, notes: Callable[[], list[str]]
) -> None:
    with make_supervisor(stage_seconds=(60.0,), stop_seconds=60.0) as supervisor:
        supervisor.start(make_program(IGNORE_SIGTERM))
        assert supervisor.wait_until(notes, BOUND_SECONDS)
        os.kill(os.getpid(), signal.SIGINT)
        with pytest.raises(StopRequested):
            supervisor.run()
        os.kill(os.getpid(), signal.SIGINT)
        began = time.monotonic()
        supervisor.stop()
        assert time.monotonic() - began < 30
    assert not is_alive(int(notes()[0]))


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_the_waiting(make_supervisor: MakeSupervisor, number: signal.Signals) -> None:
    before = signal.signal(number, signal.SIG_DFL)  # `nohup` has its children ignore one of them.
    try:
        with make_supervisor() as supervisor:
            os.kill(os.getpid(), number)
            with pytest.raises(StopRequested):
                supervisor.run()
    finally:
        signal.signal(number, before)


def test_the_signal_handlers_of_before_come_back(make_supervisor: MakeSupervisor) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)]
    with make_supervisor():
        pass
    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM, signal.SIGCHLD)] == before


def test_a_child_is_in_a_session_of_its_own_so_that_the_terminals_ctrl_c_does_not_reach_it(
    make_supervisor: MakeSupervisor, make_program: MakeProgram, *, notes: Callable[[], list[str]]
) -> None:
    with make_supervisor() as supervisor:
        supervisor.start(make_program(RUN_ON))
        assert supervisor.wait_until(notes, BOUND_SECONDS)
        child = int(notes()[0])
        assert os.getsid(child) == child


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux can tie a child's life to its parent's")
def test_kill_9_of_the_parent_leaves_no_child(tmp_path: Path, notes: Callable[[], list[str]]) -> None:
    source = f"""
import os, pathlib, sys
from cli.child_process import Program
from cli.supervisor import Supervisor
with Supervisor(print, stage_seconds=(1.0,), stop_seconds=1.0) as supervisor:
    command = (sys.executable, "-S", "-c", {IGNORE_SIGTERM!r})
    supervisor.start(Program("child", command, os.environ, pathlib.Path(os.environ["FOLDER"]) / "child.log"))
    supervisor.run()
"""
    parent = subprocess.Popen([sys.executable, "-c", source], env={**os.environ, "FOLDER": str(tmp_path)})
    assert wait_for(notes)
    child = int(notes()[0])
    parent.kill()
    parent.wait()
    assert wait_for(lambda: not is_alive(child))


def test_a_command_that_fails_raises_with_its_last_lines(
    make_supervisor: MakeSupervisor, make_program: MakeProgram
) -> None:
    with make_supervisor() as supervisor, pytest.raises(ChildFailed, match=r"child failed \(exit code 3\)") as caught:
        supervisor.run_once(make_program(DIE_AT_ONCE), BOUND_SECONDS)
    assert caught.value.tail == ("no, thank you",)


def test_a_command_that_takes_too_long_is_killed(
    make_supervisor: MakeSupervisor, make_program: MakeProgram, *, notes: Callable[[], list[str]]
) -> None:
    with make_supervisor() as supervisor, pytest.raises(ChildFailed, match="did not end within"):
        supervisor.run_once(make_program(RUN_ON), 0.5)
    assert not any(is_alive(int(pid)) for pid in notes())


def test_a_command_that_does_not_exist_is_one_sentence(
    make_supervisor: MakeSupervisor, make_program: MakeProgram
) -> None:
    program = make_program("")
    missing = type(program)("ghost", ("/no/such/binary",), program.environment, program.log)
    with make_supervisor() as supervisor, pytest.raises(ChildFailed, match=r"cannot start ghost: No such file"):
        supervisor.start(missing)
