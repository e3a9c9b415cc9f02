"""Plays workers for the token bus: claims a reply in each of many conversations and speaks into all of them.

`python -m bench.processes.publisher STREAMS TOKENS_A_SECOND SECONDS` prints the ids of conversations and replies,
waits for a line on its standard input, and speaks. Each token's text is the instant at which it was said, in
nanoseconds of the machine's monotonic clock.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time

from bench.rows import claimed_replies
from shared.database.access import Database
from shared.messaging import redis_client
from shared.messaging.notices import Notifier
from shared.messaging.reply_events import Cursor, delta, started
from shared.settings import get_settings
from shared.store.claims import Claim

# How often all that is due by then is said.
STEP_SECONDS = 0.01


async def _speak(notifier: Notifier, claims: list[Claim], *, rate: float, seconds: float) -> int:
    """One token after the other, round all streams; returns how many each has got at least."""
    began = time.monotonic()
    said = 0
    while (elapsed := time.monotonic() - began) < seconds:
        while said < elapsed * rate:
            claim = claims[said % len(claims)]
            cursor = Cursor(claim.token, said // len(claims) + 1)
            notifier.tell_event(claim.conversation_id, delta(claim.reply_id, cursor, f"{time.monotonic_ns()} "))
            said += 1
        await asyncio.sleep(STEP_SECONDS)
    return said


async def _main(streams: int, rate: float, seconds: float) -> None:
    settings = get_settings()
    database = Database(settings.database_url)
    database.start()
    async with claimed_replies(database, streams) as claims:
        redis = redis_client.connect(settings.client_redis_url)
        notifier = Notifier(redis)
        notifier.start()
        for claim in claims:
            notifier.tell_event(claim.conversation_id, started(claim.reply_id, claim.token, claim.attempt))
        sys.stdout.write(json.dumps([(claim.conversation_id, claim.reply_id) for claim in claims]) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
        said = await _speak(notifier, claims, rate=rate, seconds=seconds)
        await notifier.stop()
        sys.stdout.write(json.dumps(said) + "\n")
        sys.stdout.flush()
        await asyncio.to_thread(sys.stdin.readline)
    database.stop()


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])))
