"""The events of a response, numbered: a pure function of what was said and when it was begun anew.

So every gateway tells the same numbers, live or from the database, and a client resumes on any of them. The order is
that of https://platform.openai.com/docs/api-reference/responses-streaming: created, queued, in progress, then for each
try that says something one item, whose text comes in pieces, then the end.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import orjson

from api.live.sse import frame
from api.openai_compat import objects
from api.rendering import Row
from shared.ids import answer_id
from shared.reply_status import ReplyStatus

DONE = b"data: [DONE]\n\n"
# There is no event for a response that was cancelled: its stream just ends.
_TERMINAL = {
    ReplyStatus.COMPLETED: "response.completed",
    ReplyStatus.INCOMPLETE: "response.incomplete",
    ReplyStatus.FAILED: "response.failed",
}
_WITH_ANSWER = frozenset({ReplyStatus.COMPLETED, ReplyStatus.INCOMPLETE})


class Story(NamedTuple):
    """A reply as the database has it, with all its tries, the first one first."""

    row: Row
    attempts: Sequence[Row]


class Teller:
    """Numbers the events of one response. Those up to `after` are counted and not written."""

    def __init__(self, row: Row, *, after: int = -1) -> None:
        self._row = row
        self._after = after
        self._next = 0
        self._end: int | None = None
        self._has_started = False
        self._attempt = 0
        self._items = 0
        self._said = ""
        self._written: list[bytes] = []

    @property
    def known(self) -> int:
        """How many events there were before the end, written or not."""
        return self._next if self._end is None else self._end

    @property
    def last(self) -> int:
        """The number of the last event that the client has."""
        return max(self._after, self._next - 1)

    def take(self) -> bytes:
        """What was written since the last time."""
        written = b"".join(self._written)
        self._written.clear()
        return written

    def begin(self) -> None:
        """It was accepted."""
        is_in_background = objects.request_of(self._row).get("background", False)
        first = ReplyStatus.QUEUED if is_in_background else ReplyStatus.IN_PROGRESS
        self._tell("response.created", response=objects.response(self._row, status=first))
        if is_in_background:
            self._tell("response.queued", response=objects.response(self._row, status=first))

    def start(self, attempt: int) -> None:
        """A worker has begun a try. What a try before has said is closed: the text starts again, as the next item."""
        if not self._has_started:
            self._has_started = True
            response = objects.response(self._row, status=ReplyStatus.IN_PROGRESS)
            self._tell("response.in_progress", response=response)
        self._close("incomplete")
        self._attempt = attempt

    def say(self, text: str) -> None:
        """One piece of text."""
        if not self._said:
            item = objects.answer_item(self._item_id, None, status="in_progress")
            self._tell("response.output_item.added", output_index=self._items, item=item)
            self._tell_part("response.content_part.added", part=objects.output_text(""))
        self._said += text
        self._tell_part("response.output_text.delta", delta=text, logprobs=[])

    def end(self, row: Row) -> None:
        """The reply has ended so."""
        self._row, self._end = row, self._next
        status, text = ReplyStatus(row["status"]), row["content"]
        if status in _WITH_ANSWER:
            if not text.startswith(self._said):
                # Less was kept than was shown, as of a worker that died.
                self._close("incomplete")
            if missing := text[len(self._said) :]:
                self.say(missing)
        self._close("completed" if status is ReplyStatus.COMPLETED else "incomplete")
        if kind := _TERMINAL.get(status):
            self._tell(kind, response=objects.response(row))

    @property
    def _item_id(self) -> str:
        return answer_id(self._row["id"], max(self._attempt, 1))

    def _close(self, status: str) -> None:
        """Closes the item that is open, if any."""
        if not self._said:
            return
        part = objects.output_text(self._said)
        self._tell_part("response.output_text.done", text=self._said, logprobs=[])
        self._tell_part("response.content_part.done", part=part)
        item = objects.answer_item(self._item_id, self._said, status=status)
        self._tell("response.output_item.done", output_index=self._items, item=item)
        self._items += 1
        self._said = ""

    def _tell_part(self, kind: str, **fields: Any) -> None:
        self._tell(kind, item_id=self._item_id, output_index=self._items, content_index=0, **fields)

    def _tell(self, kind: str, **fields: Any) -> None:
        number = self._next
        self._next += 1
        if number > self._after:
            self._written.append(frame(kind, orjson.dumps({"type": kind, "sequence_number": number, **fields})))


def retell(story: Story, *, after: int = -1) -> Teller:
    """Everything that has happened, as far as the database knows it."""
    row, attempts = story
    teller = Teller(row, after=after)
    teller.begin()
    is_live = not ReplyStatus(row["status"]).is_terminal
    for attempt in attempts:
        teller.start(attempt["attempt"])
        is_last = attempt is attempts[-1]
        # What others have ended or taken over says so itself; else its text is the reply's.
        text = attempt["text"] if attempt["text"] is not None else row["content"] if is_last else ""
        lengths = attempt["lengths"]
        if is_last and lengths is None and is_live:
            lengths = row["partial_lengths"]
        for piece in pieces(text, lengths):
            teller.say(piece)
    if not is_live:
        teller.end(row)
    return teller


def pieces(text: str, lengths: Sequence[int] | None) -> list[str]:
    """The text in the pieces that it went out in, or whole where nobody knows them."""
    found, start = [], 0
    for length in lengths or ():
        if piece := text[start : start + length]:
            found.append(piece)
        start += length
    return [*found, text[start:]] if start < len(text) else found
