"""One child process: started so that it dies with its parent, its output in a log file that stays bounded."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from shared.errors import AsyncChatError

# A log larger than this moves aside when its program is started, so a log never needs more than twice that and a run.
MAX_LOG_BYTES = 10 * 1024 * 1024
# Enough for twenty long lines of a traceback.
TAIL_BYTES = 16 * 1024
TAIL_LINES = 20
# From <sys/prctl.h>: the signal a process gets when the thread that started it ends.
PR_SET_PDEATHSIG = 1


class ChildFailed(AsyncChatError):
    """A child cannot be started or kept running, or one that had to succeed did not. `tail`: its last lines."""

    def __init__(self, message: str, tail: Sequence[str] = ()) -> None:
        super().__init__(message)
        self.tail = tuple(tail)


@dataclass(frozen=True)
class Program:
    """What to run.

    `stage` is its place in the order of stopping: 0 is asked first. `pass_fds` it may keep open. `repair` is shown its
    last lines when it died by itself; a sentence says that what killed it was put right. `directory` is where it runs,
    unless it is where this process does.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    log: Path
    stage: int = 0
    pass_fds: tuple[int, ...] = ()
    repair: Callable[[Sequence[str]], str | None] | None = None
    directory: Path | None = None


class ChildProcess:
    """A running program. Its log is appended to; `tail` shows what this run of it wrote last."""

    def __init__(self, program: Program) -> None:
        """Start it.

        Raises:
            ChildFailed: the command or its log cannot be opened.
        """
        self.program = program
        try:
            _rotate(program.log)
            with program.log.open("ab") as output:
                self._log_start = output.tell()
                self._process = _spawn(program, output)
        except OSError as error:
            raise ChildFailed(f"cannot start {program.name}: {error.strerror}: {error.filename}") from None

    @property
    def pid(self) -> int:
        return self._process.pid

    def exit_code(self) -> int | None:
        """None while it runs; negative is the number of the signal that killed it."""
        return self._process.poll()

    def terminate(self) -> None:
        """Ask it to stop."""
        self._process.terminate()

    def kill(self) -> None:
        """End it and whatever it started, now, and reap it."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            self._process.kill()
        self._process.wait()

    def tail(self) -> list[str]:
        """The last lines this run wrote to its log."""
        try:
            with self.program.log.open("rb") as log:
                size = log.seek(0, os.SEEK_END)
                log.seek(max(self._log_start, size - TAIL_BYTES))
                text = log.read().decode(errors="replace")
        except OSError:
            return []
        return [line for line in text.splitlines() if line.strip()][-TAIL_LINES:]


def describe_exit(code: int) -> str:
    """An exit code as a person reads it."""
    if code >= 0:
        return f"exit code {code}"
    try:
        return f"killed by {signal.Signals(-code).name}"
    except ValueError:
        return f"killed by signal {-code}"


def _spawn(program: Program, output: BinaryIO) -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        program.command,
        env=dict(program.environment),
        cwd=program.directory,
        stdin=subprocess.DEVNULL,
        stdout=output,
        stderr=subprocess.STDOUT,
        pass_fds=program.pass_fds,
        # A session of its own keeps the terminal's Ctrl-C from it: who is stopped when is the parent's decision.
        start_new_session=True,
        preexec_fn=_die_with_parent(),  # noqa: PLW1509 - this process has no threads
    )


def _rotate(log: Path) -> None:
    log.parent.mkdir(parents=True, exist_ok=True)
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        log.replace(log.with_name(log.name + ".1"))


def _die_with_parent() -> Callable[[], None] | None:
    """What the child does between fork and exec so that it is killed when this process dies, also by kill -9.

    Linux only. macOS has no such thing: there a killed parent leaves its children behind.
    """
    if sys.platform != "linux":
        return None
    # Looked up before the fork: nothing may be loaded between fork and exec.
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def set_death_signal() -> None:
        prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        # The parent may have died before the line above; then the signal will never come.
        if os.getppid() != parent:
            os._exit(1)

    return set_death_signal
