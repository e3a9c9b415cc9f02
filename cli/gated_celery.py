"""`python -m cli.gated_celery FD ARGUMENTS`: the stock `celery` command, loaded at once and run when the gate opens.

Our `worker` package is imported first, so that a folder of that name in the current directory cannot take its place:
Celery looks there before anywhere else.
"""

from __future__ import annotations

import sys
from importlib import import_module

from cli.start_gate import pass_gate

# What a worker needs; importing it is most of a worker's start.
LOADED_AT_ONCE = (
    "celery.apps.worker",
    "celery.bin.celery",
    "celery.concurrency.thread",
    "kombu.transport.redis",
    "worker.app",
)


def main() -> None:
    """Wait at the gate, then be Celery."""
    child_fd, *arguments = sys.argv[1:]
    for module in LOADED_AT_ONCE:
        import_module(module)
    from celery.__main__ import main as run_celery

    pass_gate(int(child_fd))
    sys.argv = ["celery", *arguments]
    run_celery()


if __name__ == "__main__":
    main()
