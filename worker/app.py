"""The Celery app of a stock worker: `celery -A worker.app worker -P threads`. It only wires.

Celery brings the bells; everything that lasts lives in `worker.process`. The threads pool is the only one that
serves: the tasks wait for coroutines of one loop, and `worker_process_init` never fires there.
"""

from __future__ import annotations

import logging
import sys
from typing import Any, NoReturn

from celery import signals
from celery.concurrency.thread import TaskPool as ThreadPool
from celery.utils.imports import symbol_by_name
from kombu.entity import Queue

from shared.errors import AsyncChatError, SettingsError
from shared.interpreter import collect_rarely, keep_what_is_loaded
from shared.messaging.doorbell import QUEUE, WORKER_TIMEOUT_SECONDS, make_celery
from shared.observability.logging import configure
from shared.settings import get_settings
from worker import tasks
from worker.process import WorkerProcess

log = logging.getLogger(__name__)


def _end(error: AsyncChatError) -> NoReturn:
    sys.stderr.write(f"asyncchat worker: {error}\n")
    sys.stderr.flush()
    raise SystemExit(1)


try:
    app = make_celery(get_settings(), socket_timeout_seconds=WORKER_TIMEOUT_SECONDS)
except AsyncChatError as error:
    _end(error)
tasks.register(app)
# A worker only listens, and writes nothing to Redis for that, so that it starts beside one that is full, too: bells go
# to the queue by its name, and none is kept until it is acknowledged, since a lost one is made up for.
app.conf.task_queues = [Queue(QUEUE, no_declare=True)]  # type: ignore[no-untyped-call]  # kombu has no types
app.conf.broker_transport_options |= {"ack_emulation": False}


def _configure_logging(**_: Any) -> None:
    configure(get_settings())


def _start(sender: Any, **_: Any) -> None:
    _configure_logging()  # Celery asks for that a moment later.
    try:
        _require_threads(sender.pool_cls)
        process = WorkerProcess(get_settings(), slots=int(sender.concurrency))
        process.start()
    except AsyncChatError as error:
        _end(error)
    except Exception:
        # Celery would go on without the loop that answers.
        log.exception("the worker could not start")
        raise SystemExit(1) from None
    tasks.serve(process)
    collect_rarely()
    keep_what_is_loaded()


def _begin_drain(**_: Any) -> None:
    tasks.process().begin_drain()


def _stop(**_: Any) -> None:
    tasks.process().stop()


def _require_threads(pool: Any) -> None:
    """Refuses every pool whose tasks could not wait for the one loop."""
    implementation = symbol_by_name(pool) if isinstance(pool, str) else pool
    if not (isinstance(implementation, type) and issubclass(implementation, ThreadPool)):
        raise SettingsError("start the worker with the threads pool: celery -A worker.app worker -P threads")


signals.setup_logging.connect(_configure_logging)
signals.worker_init.connect(_start)
signals.worker_shutting_down.connect(_begin_drain)
signals.worker_shutdown.connect(_stop)
