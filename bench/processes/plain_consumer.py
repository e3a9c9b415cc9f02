"""A worker as it would be if there were no Celery, no SDK and nothing to go wrong: the least that does the same writes.

`python -m bench.processes.plain_consumer BASE_URL SLOTS`: claims, streams, tells the same events, and stores the same
text on the way and the same end, on one loop. It makes no second try, minds no stop, and reads no history.
"""

from __future__ import annotations

import asyncio
import json
import sys
from dataclasses import dataclass

import aiohttp
import uvloop

from shared.clock import now_ms
from shared.database.access import Database
from shared.ending import Ending, Usage
from shared.liveness.heartbeat import Heartbeat
from shared.messaging import redis_client
from shared.messaging.notices import Notifier
from shared.messaging.reply_events import Cursor
from shared.reply_status import ReplyStatus
from shared.settings import get_settings
from shared.store import claims, moves
from shared.store.claims import Claim
from worker import partials
from worker.reply_stream import Pacer, ReplyStream

# Between two looks for more.
LOOK_SECONDS = 0.05
# Between two times that what was said so far is stored, as in a worker; its module would load all that a worker is.
KEEP_SECONDS = 1.0
_USAGE = Usage(1, 1, is_estimated=True)


@dataclass(slots=True, eq=False)
class _Answered:
    claim: Claim
    stream: ReplyStream
    saved: Cursor


class Consumer:
    """Answers what is due."""

    def __init__(self, database: Database, notifier: Notifier, http: aiohttp.ClientSession, base_url: str) -> None:
        self._database = database
        self._notifier = notifier
        self._http = http
        self._url = f"{base_url}/chat/completions"
        self._pacer = Pacer()
        self._running: dict[asyncio.Task[None], _Answered] = {}

    async def run(self, process_id: str, slots: int) -> None:
        """Takes what there is room for, for ever."""
        while True:
            room = slots - len(self._running)
            if room and await self._database.read(claims.has_due, now=now_ms()):
                for claim in await self._database.write(claims.claim, process_id, limit=room, now=now_ms()):
                    self._start(claim)
            await asyncio.sleep(LOOK_SECONDS)

    async def keep_text(self) -> None:
        """Stores what has been said so far as often as a worker does, for ever."""
        while True:
            await asyncio.sleep(KEEP_SECONDS)
            await partials.save(self._database, list(self._running.values()))

    def _start(self, claim: Claim) -> None:
        stream = ReplyStream(claim, self._notifier, self._pacer)
        task = asyncio.create_task(self._answer(claim, stream))
        self._running[task] = _Answered(claim, stream, stream.cursor)
        task.add_done_callback(self._running.pop)
        self._notifier.announce(claim.conversation_id)

    async def _answer(self, claim: Claim, stream: ReplyStream) -> None:
        stream.start()
        messages = [{"role": "user", "content": "Hello"}]
        body = {"model": claim.model, "stream": True, "messages": messages}
        async with self._http.post(self._url, json=body) as answer:
            async for line in answer.content:
                if line.startswith(b"data: {"):
                    for choice in json.loads(line[6:]).get("choices", ()):
                        if text := choice["delta"].get("content"):
                            stream.take(text)
        stream.flush()
        ending = Ending(ReplyStatus.COMPLETED, stream.text, _USAGE)
        await self._database.write(moves.finish, claim, ending, now=now_ms(), sent=stream.said())
        stream.end(ReplyStatus.COMPLETED)
        self._notifier.announce(claim.conversation_id)


async def _main(base_url: str, slots: int) -> None:
    settings = get_settings()
    database = Database(settings.database_url)
    database.start()
    notifier = Notifier(redis_client.connect(settings.client_redis_url))
    notifier.start()
    heartbeat = Heartbeat(database, "worker", on_gone=lambda: sys.exit("others took this process for dead"))
    await heartbeat.start()
    async with aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0)) as http:
        consumer = Consumer(database, notifier, http, base_url)
        await asyncio.gather(consumer.run(heartbeat.process_id, slots), consumer.keep_text())


if __name__ == "__main__":
    uvloop.run(_main(sys.argv[1], int(sys.argv[2])))
