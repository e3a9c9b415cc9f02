"""Start, watch, restart and stop child processes. Knows nothing of what they are.

Everything happens in the thread that calls: a child's death signal is tied to the thread that started it.
"""

from __future__ import annotations

import select
import signal
import socket
import time
from collections.abc import Callable, Iterable, Sequence
from types import FrameType, TracebackType
from typing import Self

from cli.child_process import ChildFailed, ChildProcess, Program, describe_exit

# How long a condition may go unasked while no signal arrives, and how long an idle supervisor sleeps.
POLL_SECONDS = 0.05
IDLE_SECONDS = 0.5
BACKOFF_SECONDS = (0.5, 1.0, 2.0, 4.0, 5.0)
# A child that lived shorter than this died "at once"; after that many such deaths in a row it will not get better.
QUICK_DEATH_SECONDS = 5.0
MAX_QUICK_DEATHS = 5
STOP_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class StopRequested(Exception):
    """Somebody asked this process to stop (Ctrl-C, SIGTERM, or its terminal was closed)."""


class _Watched:
    """A program with its present process and the story of its deaths."""

    def __init__(self, program: Program) -> None:
        self.program = program
        self.quick_deaths = 0
        self.restart_at: float | None = None
        self.start()

    def start(self) -> None:
        self.restart_at = None
        self.started_at = time.monotonic()
        self.child = ChildProcess(self.program)

    @property
    def alive(self) -> bool:
        return self.restart_at is None and self.child.exit_code() is None


class Supervisor:
    """Keeps programs running while its caller waits in `wait_until` or `run`. Use as a context manager.

    `say` gets a line for each thing a person should know. `stage_seconds[n]` is how long the programs of stage n have
    for themselves when stopping before the next stage is asked too; what is left `stop_seconds` after the first was
    asked is killed.
    """

    def __init__(self, say: Callable[[str], None], *, stage_seconds: Sequence[float], stop_seconds: float) -> None:
        self._say = say
        self._stage_seconds = stage_seconds
        self._stop_seconds = stop_seconds
        self._watched: list[_Watched] = []
        self._stop_requests = 0
        self._handlers: dict[int, object] = {}

    def __enter__(self) -> Self:
        self._wake_receiver, self._wake_sender = socket.socketpair()
        self._wake_receiver.setblocking(False)
        self._wake_sender.setblocking(False)
        self._previous_wakeup = signal.set_wakeup_fd(self._wake_sender.fileno(), warn_on_full_buffer=False)
        for number in STOP_SIGNALS:
            # An ignored SIGHUP stays ignored: that is how nohup works. A shell's `&` ignores SIGINT, which we want.
            if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
                self._handlers[number] = signal.signal(number, self._on_stop_signal)
        # Only a Python handler makes the signal wake the select below.
        self._handlers[signal.SIGCHLD] = signal.signal(signal.SIGCHLD, lambda *_: None)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            self.stop()
        finally:
            for number, handler in self._handlers.items():
                signal.signal(number, handler)  # type: ignore[arg-type]  # what signal.signal returned before
            signal.set_wakeup_fd(self._previous_wakeup)
            self._wake_receiver.close()
            self._wake_sender.close()

    def _on_stop_signal(self, _number: int, _frame: FrameType | None) -> None:
        self._stop_requests += 1

    def start(self, program: Program) -> None:
        """Start a program and keep it running from now on."""
        self._watched.append(_Watched(program))

    def run_once(self, program: Program, seconds: float) -> None:
        """Run a program to its end, once.

        Raises:
            ChildFailed: it took longer than `seconds` or did not exit with 0.
        """
        child = ChildProcess(program)
        try:
            if not self.wait_until(lambda: child.exit_code() is not None, seconds):
                raise ChildFailed(f"{program.name} did not end within {seconds:g} s", child.tail())
            code = child.exit_code()
            if code:
                raise ChildFailed(f"{program.name} failed ({describe_exit(code)})", child.tail())
        finally:
            if child.exit_code() is None:
                child.kill()

    def run(self) -> None:
        """Keep the programs running for ever.

        Raises:
            StopRequested: somebody asked to stop.
            ChildFailed: a program died at once too often.
        """
        while True:
            self.wait_until(lambda: False, 3600, poll_seconds=IDLE_SECONDS)

    def wait_until(
        self, condition: Callable[[], object], seconds: float, *, poll_seconds: float = POLL_SECONDS
    ) -> bool:
        """Keep the programs running until the condition holds (True) or the time is up (False).

        Raises:
            StopRequested: somebody asked to stop.
            ChildFailed: a program died at once too often.
        """
        deadline = time.monotonic() + seconds
        while True:
            if self._stop_requests:
                raise StopRequested
            self._restart_the_dead()
            if condition():
                return True
            left = deadline - time.monotonic()
            if left <= 0:
                return False
            self._sleep(min(poll_seconds, left))

    def _sleep(self, seconds: float) -> None:
        """Sleep, but wake for a signal: a stop request or a child's end."""
        readable, _, _ = select.select([self._wake_receiver], [], [], seconds)
        if readable:
            self._wake_receiver.recv(4096)

    def _restart_the_dead(self) -> None:
        now = time.monotonic()
        for watched in self._watched:
            if watched.restart_at is not None:
                if now >= watched.restart_at:
                    watched.start()
            elif (code := watched.child.exit_code()) is not None:
                self._handle_death(watched, code)

    def _handle_death(self, watched: _Watched, code: int) -> None:
        name = watched.program.name
        now = time.monotonic()
        quick = now - watched.started_at < QUICK_DEATH_SECONDS
        watched.quick_deaths = watched.quick_deaths + 1 if quick else 0
        if watched.quick_deaths >= MAX_QUICK_DEATHS:
            raise ChildFailed(
                f"{name} ended at once {MAX_QUICK_DEATHS} times in a row (last: {describe_exit(code)}); "
                f"its log is {watched.program.log}",
                watched.child.tail(),
            )
        delay = BACKOFF_SECONDS[min(max(watched.quick_deaths, 1), len(BACKOFF_SECONDS)) - 1]
        watched.restart_at = now + delay
        if code > 0 and watched.quick_deaths <= 1:
            self._explain_death(watched)
        self._say(f"{name} ended ({describe_exit(code)}), restarting in {delay:g} s")

    def _explain_death(self, watched: _Watched) -> None:
        tail = watched.child.tail()
        repair = watched.program.repair
        if repair is not None and (sentence := repair(tail)):
            self._say(sentence)
            return
        for line in tail:
            self._say(f"  {watched.program.name}: {line}")

    def stop(self) -> None:
        """Stop every program, stage by stage; kill at once when asked to stop a second time."""
        deadline = time.monotonic() + self._stop_seconds
        for stage, seconds in enumerate(self._stage_seconds):
            members = [watched for watched in self._watched if watched.program.stage == stage and watched.alive]
            for watched in members:
                watched.child.terminate()
            self._await_end(members, min(deadline, time.monotonic() + seconds))
        self._await_end(self._watched, deadline)
        for watched in self._watched:
            if watched.alive:
                watched.child.kill()
                if not self._impatient:
                    self._say(f"{watched.program.name} did not stop in time and was killed")
        self._watched.clear()

    @property
    def _impatient(self) -> bool:
        return self._stop_requests > 1

    def _await_end(self, members: Iterable[_Watched], deadline: float) -> None:
        while not self._impatient and any(watched.alive for watched in members):
            left = deadline - time.monotonic()
            if left <= 0:
                return
            self._sleep(min(POLL_SECONDS, left))
