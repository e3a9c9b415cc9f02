"""How a worker comes by its replies: one claim at a time, for all who want some."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from shared.clock import now_ms
from shared.crash_points import crash_point
from shared.errors import StorageError
from shared.liveness.heartbeat import Heartbeat
from shared.store import claims
from shared.store.claims import Claim, ProcessGone
from shared.store.prompts import Message
from worker.trial import may_try
from worker.workbench import Workbench

log = logging.getLogger(__name__)

Tasks = list[asyncio.Task[None]]
Prompts = Mapping[str, Sequence[Message]]

# Of a reply that comes alone, so short a history is read with the claim, which saves a way through another thread. A
# longer one would keep others from writing.
_SHORT_TURNS = 20


class Claimant(Protocol):
    """Who has the room, and starts what is claimed."""

    @property
    def free(self) -> int:
        """How many more replies there is room for, beside those that are being claimed."""
        ...

    @property
    def held(self) -> Iterable[Claim]:
        """What it works on."""
        ...

    def start_all(self, claimed: Sequence[Claim], prompts: Prompts) -> Tasks:
        """A claim is over, and brought these, with the prompts of some."""
        ...

    def spawn(self, coroutine: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        """A task that the drain waits for."""
        ...


@dataclass(frozen=True, slots=True)
class _Want:
    limit: int
    started: asyncio.Future[Tasks]


class Claiming:
    """Claims for one process. Who wants something while a claim is under way shares the next: a burst of bells costs a
    few transactions, no two claims count on the same place at an upstream, and a suspect comes alone.
    """

    def __init__(self, claimant: Claimant, bench: Workbench, heartbeat: Heartbeat) -> None:
        self._claimant = claimant
        self._bench = bench
        self._heartbeat = heartbeat
        self._wants: list[_Want] = []
        self._is_busy = False
        self._reads_along = True
        self.under_way = 0

    async def take(self, limit: int) -> Tasks:
        """Starts up to `limit` due replies, as far as there is room."""
        if min(limit, self._claimant.free) <= 0:
            return []
        want = _Want(limit, asyncio.get_running_loop().create_future())
        self._wants.append(want)
        if not self._is_busy:
            self._is_busy = True
            _ = self._claimant.spawn(self._claim_wanted())
        # Whoever is cancelled waits no more; what is claimed is started all the same.
        return await want.started

    async def _claim_wanted(self) -> None:
        try:
            while self._wants:
                wants, self._wants = self._wants, []
                await self._claim_for(wants)
        finally:
            self._is_busy = False

    async def _claim_for(self, wants: Sequence[_Want]) -> None:
        try:
            taking = min(sum(want.limit for want in wants), self._claimant.free)
            started = await self._claim(taking) if taking > 0 else []
        except Exception as error:  # noqa: BLE001  It is theirs who wanted something.
            for want in wants:
                if not want.started.cancelled():
                    want.started.set_exception(error)
            return
        for want in wants:
            own, started = started[: want.limit], started[want.limit :]
            if not want.started.cancelled():
                want.started.set_result(own)

    async def _claim(self, taking: int) -> Tasks:
        crash_point("worker.claim.before")
        most_calls = self._bench.settings.max_model_calls
        claimed: list[Claim] = []
        prompts: Prompts = {}
        self.under_way = taking
        # Only until it fails: a history that cannot be read must not keep the worker from all others.
        reads_along, self._reads_along = self._reads_along, False
        try:
            claimed, prompts = await self._bench.database.write(
                _claim_and_read,
                self._heartbeat.process_id,
                read=self._bench.read_prompt if reads_along else None,
                limit=taking,
                now=now_ms(),
                make_room=self._bench.upstreams.rooms(),
                takes_suspects=may_try(self._claimant.held, max_model_calls=most_calls),
            )
            self._reads_along = True
        except StorageError as error:
            log.warning("could not claim: %s", error)
        except ProcessGone:
            log.warning("could not claim: others took this process for dead")
        finally:
            self.under_way = 0
        if claimed:
            crash_point("worker.claim.committed")
        return self._claimant.start_all(claimed, prompts)


def _claim_and_read(
    connection: Connection,
    worker_id: str,
    /,
    *,
    read: Callable[[Connection, Claim], Sequence[Message]] | None,
    **choice: Any,
) -> tuple[list[Claim], Prompts]:
    """See `claims.claim`."""
    claimed = claims.claim(connection, worker_id, **choice)
    if read is None or len(claimed) != 1 or claimed[0].turn > _SHORT_TURNS:
        return claimed, {}
    try:
        return claimed, {claimed[0].reply_id: read(connection, claimed[0])}
    except DBAPIError:
        raise  # It may have ended the transaction.
    except Exception:  # noqa: BLE001  It comes again when the attempt reads it, which knows what to do about it.
        return claimed, {}
