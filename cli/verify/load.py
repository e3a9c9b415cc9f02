"""Many clients at once, for as long as they are wanted, and then the wait until everything they asked for has ended."""

from __future__ import annotations

import asyncio
import random
import secrets
from dataclasses import dataclass, field

from cli.verify import reading
from cli.verify.choices import DEADLINE_SECONDS, Style
from cli.verify.client import Client
from cli.verify.faults import Injector
from cli.verify.history import History
from cli.verify.judge import LATE_MS
from cli.verify.report import Narrator
from cli.verify.speaker import Speaker
from shared.errors import AsyncChatError

SPEAKERS = 20
# After the last accepted ask nothing may be live for longer.
SETTLE_SECONDS = DEADLINE_SECONDS + LATE_MS / 1000 + 5
# Somebody who presses Ctrl-C does not wait that long.
IMPATIENT_SECONDS = 10.0


@dataclass(slots=True)
class Run:
    """One run: what its parts share."""

    seconds: float
    seed: int
    narrator: Narrator = field(default_factory=Narrator)
    history: History = field(default_factory=History)
    stop: asyncio.Event = field(default_factory=asyncio.Event)
    was_interrupted: bool = False

    def interrupt(self) -> None:
        """The first Ctrl-C ends the load; the second ends everything."""
        if self.was_interrupted:
            raise KeyboardInterrupt
        self.was_interrupted = True
        self.narrator.say("stopping (again: at once)")
        self.stop.set()


async def load(run: Run, client: Client, style: Style, injector: Injector | None) -> None:
    """Load and faults, until the time is up or somebody stops it; then whatever is broken is healed."""
    # Keys and texts of several runs on one installation must differ.
    name = f"verify-{run.seed}-{secrets.token_hex(3)}"
    speakers = [
        Speaker(
            f"{name}-{number}",
            client,
            run.history,
            rng=random.Random(f"{run.seed}/{number}"),
            stop=run.stop,
            style=style,
        )
        for number in range(SPEAKERS)
    ]
    run.narrator.begin()
    try:
        async with asyncio.TaskGroup() as group:
            if injector is not None:
                group.create_task(injector.run())
            for speaker in speakers:
                group.create_task(speaker.run())
            timer = group.create_task(_end_in_time(run))
            await run.stop.wait()
            timer.cancel()
    except* AsyncChatError as errors:
        raise AsyncChatError(str(errors.exceptions[0])) from errors


async def _end_in_time(run: Run) -> None:
    loop = asyncio.get_running_loop()
    end = loop.time() + run.seconds
    while (left := end - loop.time()) > 0:
        await asyncio.sleep(min(left, 0.5))
        run.narrator.progress(lambda: _progress(run.history))
    run.stop.set()


def _progress(history: History) -> str:
    accepted = sum(1 for ask in history.asks if ask.accepted)
    return f"{accepted:,} turns accepted in {len(history.conversation_ids):,} conversations"


async def settle(run: Run, client: Client) -> None:
    run.narrator.say("no more load and no more faults; waiting until nothing is live")
    seconds = IMPATIENT_SECONDS if run.was_interrupted else SETTLE_SECONDS
    if not await reading.until_all_ended(client, run.history.conversation_ids, seconds=seconds):
        run.narrator.say(f"some replies are still live after {seconds:g} s")
