"""How the text of a try goes out: the first piece at once, the others gathered, nothing twice and nothing lost."""

from __future__ import annotations

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from shared.ending import NOTHING_SENT
from shared.messaging.notices import Notifier
from shared.messaging.redis_client import connect
from shared.messaging.reply_events import Cursor, Event, EventKind
from shared.reply_status import ReplyStatus
from shared.store.claims import Claim
from tests.fixtures.waiting import until
from tests.fixtures.workers import NO_REDIS
from worker.reply_stream import Pacer, ReplyStream

pytestmark = pytest.mark.anyio

TOKEN = 2


class Publisher(Notifier):
    """A notifier that was not started, so that what it was told stays with it."""

    def __init__(self) -> None:
        super().__init__(connect(NO_REDIS))

    @property
    def told(self) -> list[Event]:
        """In order."""
        return [event for _, event in self._events]

    @property
    def pieces(self) -> list[str]:
        """The text of each delta."""
        return [orjson.loads(event.data)["text"] for event in self.told if event.kind is EventKind.DELTA]


def _claim(*, reply_id: str = "reply_1", attempt: int = 1) -> Claim:
    return Claim(
        reply_id=reply_id,
        token=TOKEN,
        tenant_id="default",
        conversation_id="conv_1",
        turn=1,
        candidate=1,
        attempt=attempt,
        tries=attempt,
        model_calls=attempt,
        model="demo",
        parameters={},
        deadline_at=0,
        available_at=0,
    )


def _stream(publisher: Publisher, *, attempt: int = 1) -> ReplyStream:
    return ReplyStream(_claim(attempt=attempt), publisher, Pacer())


async def test_the_first_piece_goes_out_at_once_and_later_ones_are_gathered() -> None:
    publisher = Publisher()
    stream = _stream(publisher)
    stream.take("Hello")
    assert publisher.pieces == ["Hello"]
    for word in (", ", "I ", "am ", "Ada"):
        stream.take(word)
    assert publisher.pieces == ["Hello"]
    assert stream.text == "Hello, I am Ada"
    assert stream.sent_text == "Hello"

    async def went_out() -> bool:
        return len(publisher.pieces) > 1

    await until(went_out)
    assert publisher.pieces == ["Hello", ", I am Ada"]
    assert stream.sent_text == stream.text
    assert stream.lengths == [5, 10]


async def test_all_streams_of_a_process_go_out_together() -> None:
    publisher, pacer = Publisher(), Pacer()
    streams = [ReplyStream(_claim(reply_id=f"reply_{number}"), publisher, pacer) for number in range(5)]
    for stream in streams:
        stream.take("a")
        stream.take("b")

    async def more_went_out() -> bool:
        return len(publisher.pieces) > 5

    await until(more_went_out)
    assert publisher.pieces == ["a"] * 5 + ["b"] * 5


@given(st.lists(st.tuples(st.text(min_size=1), st.booleans()), max_size=30))
async def test_ids_have_no_gap_and_lengths_add_up(pieces: list[tuple[str, bool]]) -> None:
    publisher = Publisher()
    stream = _stream(publisher)
    stream.start()
    for piece, is_moment_over in pieces:
        stream.take(piece)
        if is_moment_over:
            stream.flush()
    stream.flush()
    stream.end(ReplyStatus.COMPLETED)
    whole = "".join(piece for piece, _ in pieces)
    assert stream.text == stream.sent_text == whole == "".join(publisher.pieces)
    assert [event.cursor for event in publisher.told] == [Cursor(TOKEN, seq) for seq in range(len(publisher.told))]
    assert stream.lengths == [len(piece) for piece in publisher.pieces]
    assert sum(stream.lengths) == len(whole)
    assert stream.said().cursor == str(publisher.told[-1].cursor)


async def test_flushing_nothing_says_nothing() -> None:
    publisher = Publisher()
    stream = _stream(publisher)
    stream.flush()
    assert publisher.told == []
    assert stream.is_empty


async def test_the_start_and_the_end_frame_the_text() -> None:
    publisher = Publisher()
    stream = _stream(publisher, attempt=2)
    stream.start()
    stream.take("Hello")
    assert stream.cursor == Cursor(TOKEN, 1)
    stream.end(ReplyStatus.INCOMPLETE)
    assert [(str(event.cursor), event.kind) for event in publisher.told] == [
        ("2-0", EventKind.RESTARTED),
        ("2-1", EventKind.DELTA),
        ("2-2", EventKind.INCOMPLETE),
    ]


async def test_a_reply_that_goes_on_without_this_try_goes_on_under_the_next_token() -> None:
    publisher = Publisher()
    stream = _stream(publisher)
    stream.take("Hello")
    stream.leave(ReplyStatus.QUEUED)
    assert (publisher.told[-1].cursor, publisher.told[-1].kind) == (Cursor(TOKEN + 1, 0), EventKind.QUEUED)
    kept = stream.said_in_vain()
    assert (kept.cursor, kept.lengths, kept.text) == (None, [5], "Hello")


async def test_of_a_try_that_said_nothing_nothing_is_kept() -> None:
    assert _stream(Publisher()).said_in_vain() is NOTHING_SENT
