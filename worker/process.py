"""A worker process: what it is made of, and the order in which that starts and ends."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection

from redis.asyncio import Redis

from shared.database.access import Database
from shared.database.schema import require_head
from shared.interpreter import hand_over_quickly
from shared.liveness.aftermath import Aftermath
from shared.liveness.heartbeat import Heartbeat
from shared.liveness.sweeper import Sweeper
from shared.messaging import redis_client
from shared.messaging.doorbell import Doorbell
from shared.messaging.notices import CHANNEL_PREFIX, STOPS, Notifier, knocks
from shared.messaging.reply_events import LogBounds
from shared.messaging.subscription import Subscription
from shared.observability import tracing
from shared.observability.metrics import tell_build
from shared.settings import Settings
from shared.store.takeovers import Caps
from shared.version import version
from shared.webhooks.targets import Targets
from worker.deliveries import Deliveries
from worker.joint_reads import JointReads
from worker.loop import LoopThread
from worker.metrics_server import MetricsServer
from worker.reply_stream import Pacer
from worker.slots import Slots
from worker.upstreams import Upstreams
from worker.webhook_client import WebhookClient
from worker.workbench import Workbench

log = logging.getLogger(__name__)


class WorkerProcess:
    """Everything of a worker that is not Celery, on one event loop."""

    def __init__(self, settings: Settings, *, slots: int) -> None:
        self._settings = settings
        self._capacity = slots
        self._upstreams = Upstreams.of(settings)
        self._thread = LoopThread()
        self._database = Database(settings.database_url)
        self._doorbell = Doorbell(settings)
        self._metrics = MetricsServer(settings)
        self._drained: asyncio.Task[None] | None = None
        self._redis: Redis
        self._notifier: Notifier
        self._heartbeat: Heartbeat
        self._sweeper: Sweeper
        self._reads: JointReads
        self._slots: Slots
        self._deliveries: Deliveries
        self._webhooks: WebhookClient
        self._notices: Subscription
        self._aftermath: Aftermath

    def start(self) -> None:
        """Starts everything.

        Raises:
            SettingsError: the database is not migrated.
            StorageError: the database does not answer.
        """
        hand_over_quickly()
        tell_build("worker")
        tracing.start(self._settings, "worker")
        self._thread.start()
        self._thread.run(self._start())
        self._metrics.start()
        log.info("started", extra={"version": version(), "slots": self._capacity})

    def answer(self, reply_ids: Collection[str]) -> None:
        """See `Slots.answer`; called from one of Celery's threads."""
        self._thread.run(self._slots.answer(reply_ids))

    def begin_drain(self) -> None:
        """Starts to drain. It only notes that down, so it may be called from a signal handler."""
        self._thread.loop.call_soon_threadsafe(self._start_drain)

    def stop(self) -> None:
        """Drains, if that has not begun yet, then ends everything in good order."""
        self._thread.run(self._stop())
        self._metrics.stop()
        tracing.stop()
        self._doorbell.stop()
        self._database.stop()
        self._thread.stop()

    async def _start(self) -> None:
        settings = self._settings
        self._database.start()
        await self._database.read(require_head)
        self._redis = redis_client.connect(settings.client_redis_url)
        bounds = LogBounds(settings.events_max, settings.events_seconds)
        self._notifier = Notifier(self._redis, bounds=bounds)
        self._notifier.start()
        self._doorbell.start()
        self._heartbeat = Heartbeat(self._database, "worker", slots=self._capacity, on_gone=self._give_up)
        self._webhooks = WebhookClient(Targets(settings.webhook_networks))
        self._deliveries = Deliveries(settings.webhook_slots, self._database, self._webhooks, heartbeat=self._heartbeat)
        self._reads = JointReads(self._database)
        bench = Workbench(
            self._database,
            self._reads,
            self._upstreams,
            self._notifier,
            Pacer(),
            settings,
            on_end=self._deliveries.reply_ended,
        )
        self._slots = Slots(self._capacity, bench, heartbeat=self._heartbeat, doorbell=self._doorbell)
        await self._heartbeat.start()
        caps = Caps(settings.max_tries, settings.max_model_calls, settings.prompt_tokens)
        self._aftermath = Aftermath(
            self._database, self._redis, self._notifier, on_queued=lambda _reply_ids: self._slots.wake()
        )
        self._sweeper = Sweeper(self._database, self._heartbeat, caps=caps, on_moved=self._aftermath.follow)
        self._sweeper.start()
        self._slots.start()
        self._deliveries.start()
        self._notices = Subscription(
            settings.client_redis_url,
            prefix=CHANNEL_PREFIX,
            wanted=lambda: (STOPS, knocks(self._heartbeat.process_id)),
            on_notice=self._hear,
        )
        self._notices.start()

    def _hear(self, name: str, said: bytes) -> None:
        if name == STOPS:
            self._slots.told_of_stop(said.decode(errors="replace"))
        elif said.isdigit():
            self._slots.knocked(int(said))

    def _give_up(self) -> None:
        self._slots.give_up()
        self._deliveries.give_up()
        # From now on it has another id. What is said to the one before is said to nobody.
        self._notices.refresh(knocks(self._heartbeat.process_id))

    def _start_drain(self) -> None:
        if self._drained is None:
            # At once: a bell may be heard before the task begins.
            self._slots.claim_no_more()
            self._drained = asyncio.create_task(self._drain(self._settings.drain_seconds), name="drain")

    async def _drain(self, seconds: float) -> None:
        await asyncio.gather(self._slots.drain(seconds), self._deliveries.drain(seconds))

    async def _stop(self) -> None:
        self._start_drain()
        if self._drained is not None:
            await self._drained
        await self._notices.stop()
        await self._sweeper.stop()
        await self._aftermath.stop()
        await self._heartbeat.stop()
        await self._notifier.stop()
        await self._upstreams.close()
        await self._webhooks.close()
        await self._redis.aclose()
        await self._reads.stop()
