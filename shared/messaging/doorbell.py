"""The doorbell: a Celery task that carries reply ids and brings a worker.

Losing a bell, or getting it twice, changes nothing but a delay: every worker also looks for due replies by itself
once a second.

Before a bell that would ring alone a gateway knocks at one worker, which is there sooner than a task is; the bell
follows (decision 28).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from typing import Any

from celery import Celery
from kombu.exceptions import KombuError
from redis.exceptions import RedisError

from shared.observability import metrics
from shared.settings import Settings

log = logging.getLogger(__name__)

TASK = "asyncchat.generate_replies"
QUEUE = "asyncchat"

# Sending one task costs half a millisecond of CPU, whatever it carries: behind, a bell rings for several.
_IDS_A_BELL = 32
# Nothing is declared for each bell anew, since it goes to the queue by its name, and the ids are not written out a
# second time for logs: together a quarter of what sending costs.
_SPARING: dict[str, Any] = {"queue": QUEUE, "declare": (), "argsrepr": "", "kwargsrepr": ""}
# So soon after a bell, or a knock, the next one waits for company. Alone, a message rings at once.
_GATHER_SECONDS = 0.01
# After one for so many it waits for longer: then what sending costs is what those wait for who ask.
_MANY, _GATHER_MANY_SECONDS = 8, 0.03
# Older bells are dropped; the workers' own look covers them.
_MAX_PENDING = 10_000
# A gateway's sending must fail fast; a worker's connection may sit in a blocking read for a while.
SENDER_TIMEOUT_SECONDS = 1.5
WORKER_TIMEOUT_SECONDS = 15.0


def make_celery(settings: Settings, *, socket_timeout_seconds: float) -> Celery:
    """A Celery app on the one queue.

    Acknowledged early and without results: the database knows what is done. kombu's own default is no time-out at
    all, and a frozen Redis would then block for ever.
    """
    app = Celery("asyncchat", broker=settings.redis_url, set_as_current=False)
    app.conf.update(
        accept_content=["json"],
        task_serializer="json",
        task_default_queue=QUEUE,
        task_ignore_result=True,
        task_send_sent_event=False,
        worker_send_task_events=False,
        worker_enable_remote_control=False,
        worker_prefetch_multiplier=1,
        worker_concurrency=settings.slots,
        worker_hijack_root_logger=False,
        broker_connection_retry_on_startup=True,
        broker_connection_max_retries=None,
        broker_transport_options={
            "socket_timeout": socket_timeout_seconds,
            "socket_connect_timeout": min(socket_timeout_seconds, 5.0),
            "socket_keepalive": True,
            "health_check_interval": 10,
        },
    )
    return app


class Doorbell:
    """Rings from a thread of its own, so that accepting a message never waits for Redis.

    `knock` tells a worker of so many replies, on the event loop of whoever rings, and returns whether there is one to
    tell.
    """

    def __init__(self, settings: Settings, *, knock: Callable[[int], bool] = lambda _count: False) -> None:
        self._knock = knock
        self._app = make_celery(settings, socket_timeout_seconds=SENDER_TIMEOUT_SECONDS)
        self._pending: deque[str] = deque(maxlen=_MAX_PENDING)
        self._wake = threading.Condition()
        # How many have to be pending for the thread to be woken: one, or a whole bell while it waits for company.
        self._enough = 1
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="doorbell", daemon=True)
        self._producer: Any = None
        self._rang_at = 0.0
        self._gather_seconds = _GATHER_SECONDS
        self.last_error: str | None = None

    def start(self) -> None:
        """Starts the thread."""
        self._thread.start()

    def stop(self) -> None:
        """Rings what is left and ends, within the sender's time-out."""
        with self._wake:
            self._stopping = True
            self._wake.notify()
        self._thread.join(timeout=2 * SENDER_TIMEOUT_SECONDS)

    @property
    def is_alive(self) -> bool:
        """Whether the thread runs."""
        return self._thread.is_alive()

    def ring(self, reply_ids: Sequence[str]) -> None:
        """Asks for a worker for each of these replies. Never blocks and never raises."""
        with self._wake:
            if (too_many := len(self._pending) + len(reply_ids) - _MAX_PENDING) > 0:
                metrics.BELLS("dropped").inc(too_many)
            is_alone = not self._pending and time.monotonic() >= self._rang_at + self._gather_seconds
            if is_alone and self._knock(len(reply_ids)):
                self._rang_at, self._gather_seconds = time.monotonic(), _GATHER_SECONDS
            self._pending.extend(reply_ids)
            if len(self._pending) >= self._enough:
                self._wake.notify()

    def _run(self) -> None:
        while reply_ids := self._next():
            try:
                self._send(reply_ids)
            except Exception as error:  # noqa: BLE001  Without this thread no bell would ring any more.
                metrics.BELLS("failed").inc(len(reply_ids))
                self._give_up(error)
            else:
                metrics.BELLS("rung").inc(len(reply_ids))
                if self.last_error is not None:
                    log.warning("the doorbell rings again")
                self.last_error = None
        if self._producer is not None:
            self._producer.connection.release()

    def _next(self) -> list[str]:
        """As many ids as a bell carries, at once or a moment later if one has just rung; none when it is over."""
        with self._wake:
            self._wait_for(1, timeout=None)
            pause = self._rang_at + self._gather_seconds - time.monotonic()
            if pause > 0:
                self._wait_for(_IDS_A_BELL, timeout=pause)
            return [self._pending.popleft() for _ in range(min(_IDS_A_BELL, len(self._pending)))]

    def _wait_for(self, count: int, *, timeout: float | None) -> None:
        """Until so many are pending, or it is over, or the time is up. Nobody wakes this thread for less."""
        self._enough = count
        self._wake.wait_for(lambda: len(self._pending) >= count or self._stopping, timeout=timeout)

    def _send(self, reply_ids: list[str]) -> None:
        if self._producer is None:
            connection = self._app.connection_for_write()
            connection.ensure_connection(max_retries=0)  # Left to itself it tries for six seconds.
            producer = self._app.amqp.Producer(connection)
            _keep_client(producer.channel)
            self._producer = producer
        self._app.send_task(TASK, args=[reply_ids], producer=self._producer, retry=False, **_SPARING)
        self._rang_at = time.monotonic()
        self._gather_seconds = _GATHER_SECONDS if len(reply_ids) < _MANY else _GATHER_MANY_SECONDS

    def _give_up(self, error: Exception) -> None:
        """Drops what is pending: by the time Redis is back the workers will have found it themselves."""
        expected = isinstance(error, RedisError | KombuError | OSError)
        if self.last_error is None or not expected:
            log.warning("the doorbell does not ring, so workers look by themselves: %s", error, exc_info=not expected)
        producer, self._producer = self._producer, None
        if producer is not None:
            producer.connection.collect()
        with self._wake:
            metrics.BELLS("dropped").inc(len(self._pending))
            self._pending.clear()
        # Last, so that whoever sees it and rings again is not dropped with the rest.
        self.last_error = str(error) or type(error).__name__


def _keep_client(channel: Any) -> None:
    """Lets the channel go on with one client, where it would make another for each bell: a third of what one costs."""
    with channel.conn_or_acquire() as kept:
        channel.conn_or_acquire = lambda client=None: nullcontext(client or kept)
