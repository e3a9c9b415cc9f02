"""Faults, one after the other, at random from a seed, and only in processes that this run started."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from cli.verify.faulted import Fault, FaultKind
from cli.verify.history import History
from cli.verify.installation import GATEWAYS, VALKEY, WORKERS, Installation
from shared.clock import now_ms

# Each kind so often in a round; the order is random.
ROUND = {
    FaultKind.KILL_WORKER: 3,
    FaultKind.FREEZE_WORKER: 1,
    FaultKind.STOP_WORKER: 2,
    FaultKind.KILL_GATEWAY: 2,
    FaultKind.STOP_GATEWAY: 1,
    FaultKind.KILL_VALKEY: 1,
    FaultKind.FLUSH_VALKEY: 1,
    FaultKind.FREEZE_VALKEY: 1,
}
# Until the first, and between one that has healed and the next.
PAUSE_SECONDS = (0.5, 3.0)
# Longer than the six seconds after which a silent worker is taken for dead.
FREEZE_WORKER_SECONDS = (8.0, 12.0)
FREEZE_VALKEY_SECONDS = (2.0, 8.0)
AWAY_SECONDS = (0.2, 3.0)
HEAL_SECONDS = 40.0


@dataclass(slots=True)
class Injector:
    """Puts faults in until `stop` is set, and then undoes the last one early. `say` gets a line for each."""

    installation: Installation
    history: History
    rng: random.Random
    say: Callable[[str], None]
    stop: asyncio.Event
    faults: list[Fault] = field(default_factory=list)
    _deck: list[FaultKind] = field(default_factory=list)

    async def run(self) -> None:
        """One fault at a time: the next comes some time after everything works again."""
        while not await self._stops_within(self.rng.uniform(*PAUSE_SECONDS)):
            await self.put_in(self._draw())

    async def put_in(self, kind: FaultKind) -> None:
        """One fault, and the wait until everything works again."""
        at = now_ms()
        victim = await self._break(kind)
        is_healed = await self.installation.is_whole(HEAL_SECONDS)
        self.faults.append(Fault(kind, victim, at, now_ms()))
        if not is_healed:
            self.history.surprises.append(f"not everything worked again {HEAL_SECONDS:g} s after: {kind} ({victim})")

    async def _break(self, kind: FaultKind) -> str:
        """Does it and undoes it; whose process it was."""
        worker, gateway = self.rng.choice(WORKERS), self.rng.choice(GATEWAYS)
        away, frozen = self.rng.uniform(*AWAY_SECONDS), self.rng.uniform(*FREEZE_WORKER_SECONDS)
        valkey_frozen = self.rng.uniform(*FREEZE_VALKEY_SECONDS)
        match kind:
            case FaultKind.KILL_WORKER:
                await self._kill(worker, away)
                return worker
            case FaultKind.KILL_GATEWAY:
                await self._kill(gateway, away)
                return gateway
            case FaultKind.STOP_WORKER:
                await self._terminate(worker)
                return worker
            case FaultKind.STOP_GATEWAY:
                await self._terminate(gateway)
                return gateway
            case FaultKind.FREEZE_WORKER:
                await self._freeze(worker, frozen)
                return worker
            case FaultKind.FREEZE_VALKEY:
                await self._freeze(VALKEY, valkey_frozen)
            case FaultKind.FLUSH_VALKEY:
                self.say("FLUSHALL to Valkey")
                self.installation.valkey.flush()
            case FaultKind.KILL_VALKEY:
                await self._kill(VALKEY, away, forgets=True)
        return VALKEY

    async def _kill(self, name: str, away: float, *, forgets: bool = False) -> None:
        self.say(f"SIGKILL to {name}, started again{' empty' if forgets else ''} after {away:.1f} s")
        self.installation.kill(name)
        if forgets:
            self.installation.valkey.forget()
        await self._stops_within(away)
        self.installation.start_again(name)

    async def _terminate(self, name: str) -> None:
        self.say(f"SIGTERM to {name}, started again when it has ended")
        if sentence := await self.installation.terminate(name):
            self.history.surprises.append(sentence)
        self.installation.start_again(name)

    async def _freeze(self, name: str, seconds: float) -> None:
        self.say(f"SIGSTOP to {name}, SIGCONT after {seconds:.1f} s")
        self.installation.freeze(name)
        try:
            await self._stops_within(seconds)
        finally:
            self.installation.thaw(name)

    def _draw(self) -> FaultKind:
        if not self._deck:
            self._deck = [kind for kind, times in ROUND.items() for _ in range(times)]
            self.rng.shuffle(self._deck)
        return self._deck.pop()

    async def _stops_within(self, seconds: float) -> bool:
        try:
            async with asyncio.timeout(seconds):
                await self.stop.wait()
        except TimeoutError:
            return False
        return True
