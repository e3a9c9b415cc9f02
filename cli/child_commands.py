"""How our own processes are started: with this interpreter, finding our packages wherever the current directory is."""

from __future__ import annotations

import os
import sys
import sysconfig
from pathlib import Path


def python_module(*arguments: str) -> tuple[str, ...]:
    """A command for this very interpreter. -P: a folder named `api` or `worker` where it is started is not ours."""
    return (sys.executable, "-P", "-m", *arguments)


def celery_worker_arguments(slots: int | None = None, *, node: str | None = None) -> tuple[str, ...]:
    """What the stock `celery` is given. The three --without are chatter between workers that nothing here reads."""
    return (
        *("-A", "worker.app", "worker", "-P", "threads"),
        *("--without-gossip", "--without-mingle", "--without-heartbeat"),
        *(("-c", str(slots)) if slots is not None else ()),
        *(("-n", f"{node}@%h") if node is not None else ()),
    )


def child_python_path() -> str:
    """PYTHONPATH for children: with the folder of our packages, unless they are installed where Python looks anyway."""
    root = str(Path(__file__).resolve().parent.parent)
    given = os.environ.get("PYTHONPATH", "")
    paths = sysconfig.get_paths()
    if root in (paths["purelib"], paths["platlib"]) or root in given.split(os.pathsep):
        return given
    return os.pathsep.join(part for part in (root, given) if part)
