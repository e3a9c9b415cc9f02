"""Places where a test may kill a process."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from shared.crash_points import NAMES, VARIABLE

ROOT = Path(__file__).parents[3]
POINT = "worker.finish.before"
THREE_TIMES = f"""
from shared.crash_points import crash_point
for time in range(3):
    crash_point("worker.finish.committed")
    crash_point("{POINT}")
    print(time, flush=True)
"""


def run(fault: str | None) -> subprocess.CompletedProcess[str]:
    environment = {name: value for name, value in os.environ.items() if name != VARIABLE}
    if fault is not None:
        environment[VARIABLE] = fault
    command = [sys.executable, "-c", THREE_TIMES]
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(("fault", "passed"), [(POINT, 0), (f"{POINT}:1", 0), (f"{POINT}:3", 2)])
def test_a_process_is_killed_the_nth_time_that_it_gets_there(fault: str, passed: int) -> None:
    done = run(fault)
    assert (done.returncode, done.stdout.split()) == (-signal.SIGKILL, ["0", "1", "2"][:passed])
    assert f"{VARIABLE}: this process is killed at {POINT}" in done.stderr


@pytest.mark.parametrize("fault", [None, "", f"{POINT}:4", "api.ask.committed"])
def test_nobody_else_is_killed(fault: str | None) -> None:
    done = run(fault)
    assert (done.returncode, done.stdout.split(), done.stderr) == (0, ["0", "1", "2"], "")


def test_each_name_stands_somewhere_in_the_code() -> None:
    placed: set[str] = set()
    for package in ("api", "shared", "worker"):
        for path in (ROOT / package).rglob("*.py"):
            for call in re.findall(r"crash_point\((.*)\)", path.read_text()):
                placed |= set(re.findall(r'"([a-z_.]+)"', call))
    assert placed == NAMES
