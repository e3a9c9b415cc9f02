"""Every task, a few lines each: they take ids and delegate."""

from __future__ import annotations

from celery import Celery

from shared.messaging.doorbell import TASK
from worker.process import WorkerProcess

_served: list[WorkerProcess] = []


def serve(process: WorkerProcess) -> None:
    """Names the process whose slots the tasks fill."""
    _served[:] = [process]


def process() -> WorkerProcess:
    """The process whose slots the tasks fill."""
    return _served[0]


def generate_replies(reply_ids: list[str]) -> None:
    """Somebody rang for these replies. The worker claims as many that are due, which are mostly these."""
    process().answer(reply_ids)


def register(app: Celery) -> None:
    """Makes the tasks known to the app."""
    app.task(name=TASK)(generate_replies)
