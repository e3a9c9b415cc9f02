"""The text of one try as it comes from the model, and as it goes out to those who listen.

The first piece goes out at once. After that pieces are gathered for a moment, all replies of the process together, so
that a fast model costs a few round trips to Redis a second and not one for each token.
"""

from __future__ import annotations

import asyncio

from shared.ending import NOTHING_SENT, Sent
from shared.messaging import reply_events
from shared.messaging.notices import Notifier
from shared.messaging.reply_events import Cursor
from shared.reply_status import ReplyStatus
from shared.store.claims import Claim

# Text that comes in steps of this length reads as flowing.
GATHER_SECONDS = 0.045


class Pacer:
    """Lets the streams of a process flush together, a moment after the first of them has something."""

    def __init__(self) -> None:
        self._dirty: set[ReplyStream] = set()

    def mark(self, stream: ReplyStream) -> None:
        """The stream has text to send."""
        if not self._dirty:
            asyncio.get_running_loop().call_later(GATHER_SECONDS, self._flush)
        self._dirty.add(stream)

    def _flush(self) -> None:
        dirty, self._dirty = self._dirty, set()
        for stream in dirty:
            stream.flush()


class ReplyStream:
    """What the model has said in this try. `lengths` are the characters of each piece that went out."""

    def __init__(self, claim: Claim, notifier: Notifier, pacer: Pacer) -> None:
        self._claim = claim
        self._notifier = notifier
        self._pacer = pacer
        self._sent: list[str] = []
        self._gathered: list[str] = []
        self._seq = 0
        self.lengths: list[int] = []
        # How long the model took to begin.
        self.first_token_ms: int | None = None

    @property
    def cursor(self) -> Cursor:
        """The last event that went out."""
        return Cursor(self._claim.token, self._seq)

    @property
    def _end_cursor(self) -> Cursor:
        """The event that will say how this try ended."""
        return Cursor(self._claim.token, self._seq + 1)

    @property
    def text(self) -> str:
        """All of it."""
        return "".join(self._sent) + "".join(self._gathered)

    @property
    def sent_text(self) -> str:
        """What went out, up to `cursor`."""
        return "".join(self._sent)

    @property
    def is_empty(self) -> bool:
        """Whether the model has said nothing yet."""
        return not self._sent and not self._gathered

    def start(self) -> None:
        """Says that the try has begun."""
        claim = self._claim
        self._notifier.tell_event(
            claim.conversation_id, reply_events.started(claim.reply_id, claim.token, claim.attempt)
        )

    def take(self, text: str) -> None:
        """One more piece from the model."""
        self._gathered.append(text)
        if not self._sent:
            self.flush()
        else:
            self._pacer.mark(self)

    def flush(self) -> None:
        """Sends what is gathered, as one event."""
        if not self._gathered:
            return
        piece = "".join(self._gathered)
        self._gathered.clear()
        self._sent.append(piece)
        self.lengths.append(len(piece))
        self._seq += 1
        claim = self._claim
        self._notifier.tell_event(claim.conversation_id, reply_events.delta(claim.reply_id, self.cursor, piece))

    def fall_silent(self) -> None:
        """Drops what is gathered: nobody is to hear of it."""
        self._gathered.clear()

    def said(self) -> Sent:
        """What is kept of a try that ends the reply, whose text is the reply's."""
        return Sent(cursor=str(self._end_cursor), lengths=self.lengths, first_token_ms=self.first_token_ms)

    def said_in_vain(self) -> Sent:
        """What is kept of a try after which another one begins from the start."""
        if not self.lengths:
            return NOTHING_SENT
        return Sent(lengths=self.lengths, text=self.sent_text, first_token_ms=self.first_token_ms)

    def end(self, status: ReplyStatus) -> None:
        """Says how the reply ended. Its row says so already."""
        self._tell(self._end_cursor, status)

    def leave(self, status: ReplyStatus) -> None:
        """Says what became of a reply that went on without this try, which has added one to its token."""
        self._tell(Cursor(self._claim.token + 1, 0), status)

    def _tell(self, cursor: Cursor, status: ReplyStatus) -> None:
        claim = self._claim
        self._notifier.tell_event(claim.conversation_id, reply_events.moved(claim.reply_id, cursor, status))
