"""Looking at processes."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

from cli.child_process import Program

MakeProgram = Callable[..., Program]


def is_alive(pid: int) -> bool:
    """Whether a process exists and is no zombie."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    try:
        return status.read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        # Gone just now, or a system without /proc.
        return not Path("/proc/self").exists()
