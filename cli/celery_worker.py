"""A Celery worker in this process, without Celery's command line. `python -m cli.celery_worker FD NODE`: behind a gate.

It is what `celery -A worker.app worker -P threads` runs. The command itself loads a dozen others and a prompt first: a
tenth of a second and 12 MB that a worker has no use for.
"""

from __future__ import annotations

import socket
import sys
from importlib import import_module
from typing import NoReturn

from cli.start_gate import pass_gate
from shared.interpreter import loading

# What a worker needs; importing it is most of a worker's start.
LOADED_AT_ONCE = ("celery.apps.worker", "celery.concurrency.thread", "kombu.transport.redis", "worker.app")


def run(slots: int | None = None, *, node: str = "celery", gate_fd: int | None = None) -> NoReturn:
    """Be a worker of that many slots until stopped. With `gate_fd`, load the code and wait for that gate to open."""
    with loading():
        for module in LOADED_AT_ONCE:
            import_module(module)
    from celery.concurrency.thread import TaskPool

    from worker.app import app

    if gate_fd is not None:
        pass_gate(gate_fd)
    celery_worker = app.Worker(
        hostname=f"{node}@{socket.gethostname()}",
        pool_cls=TaskPool,
        concurrency=slots,
        # Chatter between workers that nothing here reads.
        without_gossip=True,
        without_mingle=True,
        without_heartbeat=True,
        # Its banner is no log line; the process says that it has started.
        quiet=True,
    )
    celery_worker.start()
    sys.exit(celery_worker.exitcode)


if __name__ == "__main__":
    run(node=sys.argv[2], gate_fd=int(sys.argv[1]))
