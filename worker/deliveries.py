"""Deliveries of webhooks: how a worker finds, sends, retries and hands back what is to be told of replies.

They have slots of their own, so that no receiver takes room from a generation, and each endpoint has a few of those at
most, so that one which hangs does not delay the others.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from dataclasses import dataclass

from sqlalchemy import Connection

from shared.background import end, woken
from shared.clock import DAY_MS, now_ms
from shared.crash_points import crash_point
from shared.database.access import Database
from shared.errors import StorageError
from shared.liveness.heartbeat import Heartbeat
from shared.store import delivery_claims, webhook_endpoints
from shared.store.claims import ProcessGone
from shared.store.delivery_claims import Delivery, Trial
from shared.store.moves import Lost
from shared.webhooks.events import TEST
from shared.webhooks.signature import signature_headers
from worker import metrics
from worker.storing import store
from worker.webhook_client import Answer, NotSent, WebhookClient

log = logging.getLogger(__name__)

# How often a worker looks for due deliveries without being told of any.
TICK_SECONDS = 1.0
# The part of a worker's slots that one endpoint may take.
SHARE_OF_ENDPOINT = 4
# The pauses between the tries, as Standard Webhooks recommends: the last of eight is made after about 28 hours.
PAUSES_SECONDS = (5, 300, 1800, 7200, 18_000, 36_000, 36_000)
# Nobody may make us wait longer.
MAX_RETRY_AFTER_SECONDS = 86_400.0
# Where nothing has come through for so long, nothing more is sent once a delivery has used up its tries.
DISABLE_AFTER_MS = 5 * DAY_MS
GONE = 410

_Held = tuple[str, int]  # a delivery's id and the token of the claim


@dataclass(frozen=True, slots=True)
class _Findings:
    due: list[str]
    held: set[_Held]


class Deliveries:
    """Sends up to `capacity` deliveries at once on the current event loop."""

    def __init__(self, capacity: int, database: Database, client: WebhookClient, *, heartbeat: Heartbeat) -> None:
        self._capacity = capacity
        self._of_endpoint = max(1, capacity // SHARE_OF_ENDPOINT)
        self._database = database
        self._client = client
        self._heartbeat = heartbeat
        self._running: dict[asyncio.Task[None], Delivery] = {}
        self._orphans: set[_Held] = set()
        self._wake = asyncio.Event()
        # Whether there was any endpoint at the last look: without one, no end of a reply is worth a look.
        self._is_used = False
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Starts looking for work: at once, then once a second."""
        self._wake.set()
        self._task = asyncio.create_task(self._tick_forever(), name="deliveries")

    def reply_ended(self) -> None:
        """Looks at once for what there is to tell, if anybody listens."""
        if self._is_used:
            self._wake.set()

    def give_up(self) -> None:
        """Stops without a word: others took this process for dead and hold what it held."""
        for task in self._running:
            task.cancel()

    async def drain(self, seconds: float) -> None:
        """Takes nothing more, gives what is under way so many seconds, and hands the rest back."""
        if self._task is not None:
            await end(self._task)
        if self._running:
            await asyncio.wait(list(self._running), timeout=seconds)
        left = dict(self._running)
        for task in left:
            task.cancel()
        if left:
            await asyncio.wait(list(left))
        try:
            # Behind a claim that nobody waits for any more, in the same queue of writes.
            await self._database.write(delivery_claims.hand_back_all, self._heartbeat.process_id, now=now_ms())
        except StorageError as error:
            log.warning("could not hand deliveries back; others will take them over: %s", error)

    async def _tick_forever(self) -> None:
        while True:
            await woken(self._wake, within_seconds=TICK_SECONDS)
            try:
                await self._tick()
            except StorageError as error:
                log.warning("a look for deliveries was broken off: %s", error)
            except ProcessGone:
                log.warning("could not claim deliveries: others took this process for dead")
            except Exception:
                log.exception("a look for deliveries failed")

    async def _tick(self) -> None:
        under_way = Counter(delivery.endpoint_id for delivery in self._running.values())
        busy = [endpoint_id for endpoint_id, count in under_way.items() if count >= self._of_endpoint]
        free = self._capacity - len(self._running)
        found = await self._database.read(_look, self._heartbeat.process_id, busy=busy, limit=free, now=now_ms())
        self._is_used = found is not None
        if found is None:
            return
        await self._mind_orphans(found.held)
        # As many of each as of the others, and none too many.
        share = max(1, free // max(1, len(found.due)))
        rooms = {each: min(share, self._of_endpoint - under_way[each]) for each in found.due}
        if not rooms:
            return
        claimed = await self._database.write(
            delivery_claims.claim, self._heartbeat.process_id, rooms=rooms, now=now_ms()
        )
        for delivery in claimed:
            task = asyncio.create_task(self._deliver(delivery), name=delivery.id)
            self._running[task] = delivery
            task.add_done_callback(self._ended)

    async def _mind_orphans(self, held: set[_Held]) -> None:
        """Hands back what two looks show to be held and not worked on, as after a claim of unknown outcome."""
        orphans = held - {(delivery.id, delivery.token) for delivery in self._running.values()}
        abandoned, self._orphans = orphans & self._orphans, orphans
        for delivery_id, token in abandoned:
            await self._database.write(delivery_claims.hand_back, delivery_id, token, now=now_ms())

    def _ended(self, task: asyncio.Task[None]) -> None:
        delivery = self._running.pop(task)
        if not task.cancelled() and (error := task.exception()):
            log.error("a delivery failed unexpectedly", exc_info=error, extra={"delivery_id": delivery.id})
        self._wake.set()

    async def _deliver(self, delivery: Delivery) -> None:
        """One try. Cancelled, it writes nothing: whoever cancels decides what becomes of the delivery."""
        trial, retry_after = await self._try(delivery)
        crash_point("worker.delivery.answered")
        try:
            await self._conclude(delivery, trial, retry_after)
        except Lost:
            log.warning("gave up a delivery that is somebody else's now", extra={"delivery_id": delivery.id})
            return
        log.info(
            "delivery tried: %s",
            trial.error or "it came through",
            extra={"delivery_id": delivery.id, "webhook_id": delivery.endpoint_id, "attempt": delivery.tries},
        )

    async def _try(self, delivery: Delivery) -> tuple[Trial, float | None]:
        """How it went, and how long the receiver asked us to wait."""
        headers = signature_headers(
            delivery.payload, delivery_id=delivery.id, at_seconds=now_ms() // 1000, secrets=delivery.secrets
        )
        try:
            answer = await self._client.post(delivery.url, delivery.payload, headers)
        except NotSent as error:
            return Trial(error=str(error)), None
        return Trial(_complaint(answer), answer.status, answer.text), answer.retry_after

    async def _conclude(self, delivery: Delivery, trial: Trial, retry_after: float | None) -> None:
        if trial.error is None:
            await store(self._database, delivery_claims.succeed, delivery, trial)
            metrics.DELIVERIES("delivered").inc()
            return
        is_gone = trial.response_status == GONE
        pause = pause_seconds(delivery.tries, retry_after)
        if pause is not None and not is_gone and delivery.event != TEST:
            next_at = now_ms() + int(1000 * pause)
            await store(self._database, delivery_claims.try_again, delivery, trial, next_at=next_at)
            metrics.DELIVERIES("retried").inc()
            return
        before = now_ms() - DISABLE_AFTER_MS
        disabled = await store(
            self._database, delivery_claims.give_up, delivery, trial, is_gone=is_gone, failing_before=before
        )
        metrics.DELIVERIES("failed").inc()
        if disabled:
            log.warning("switched an endpoint off: %s", disabled, extra={"webhook_id": delivery.endpoint_id})


def _look(connection: Connection, process_id: str, *, busy: list[str], limit: int, now: int) -> _Findings | None:
    """What there is to do; None while there is no endpoint at all."""
    if not webhook_endpoints.any_enabled(connection):
        return None
    due = delivery_claims.due_endpoints(connection, busy=busy, limit=limit, now=now) if limit > 0 else []
    return _Findings(due, delivery_claims.held_by(connection, process_id))


def _complaint(answer: Answer) -> str | None:
    """What is wrong with the answer, if it does not say that the delivery was taken."""
    if 200 <= answer.status < 300:
        return None
    if 300 <= answer.status < 400:
        return f"The receiver answered with a redirect (HTTP {answer.status}), which is not followed."
    return f"The receiver answered with HTTP {answer.status}."


def pause_seconds(tries: int, retry_after: float | None) -> float | None:
    """How long to wait after so many tries, with jitter and never less than asked for; None if there were enough."""
    if tries > len(PAUSES_SECONDS):
        return None
    pause = PAUSES_SECONDS[tries - 1] * random.uniform(0.9, 1.2)
    return max(pause, min(retry_after or 0.0, MAX_RETRY_AFTER_SECONDS))
