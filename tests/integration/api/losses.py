"""A stream under way, and what may be lost of it."""

from __future__ import annotations

from redis.asyncio import Redis

from shared.messaging import reply_events
from tests.fixtures.event_stream import EventReader, Transcript
from tests.integration.api.streaming import ServedGateway, Speaker, StreamingWorker

FIRST, SECOND, THIRD = ("Hello, ", "I "), ("am ", "a demo "), ("model", ".")
TEXT = "".join((*FIRST, *SECOND, *THIRD))


async def begun(gateway: ServedGateway, speaking: StreamingWorker) -> tuple[str, Speaker]:
    """The path of a reply's stream, and who answers."""
    turn = await gateway.ask(await gateway.new_conversation())
    reply = turn["replies"][0]
    return f"{reply['url']}events/", await speaking.speak(reply["id"])


async def forget(redis: Redis, speaker: Speaker) -> None:
    """The log of this reply alone is lost, since others use the server too."""
    await redis.delete(reply_events.log_key(speaker.claim.reply_id))


async def show(stream: EventReader, shown: Transcript, text: str) -> None:
    """Reads until the client shows this text."""
    while shown.text != text:
        told = await stream.next()
        assert told is not None, f"the stream ended at {shown.text!r}"
        shown.take(told)


async def show_rest(stream: EventReader, shown: Transcript) -> None:
    for told in await stream.rest():
        shown.take(told)
