"""The data of server-sent events, out of bytes that come in any pieces.

What a model's stream says in other fields (`event`, `id`, `retry`) and in comments means nothing here. The format:
https://html.spec.whatwg.org/multipage/server-sent-events.html#parsing-an-event-stream.
"""

from __future__ import annotations

# One event carries a token or a few; far more is no stream of a model, and would only fill the memory.
MAX_EVENT_BYTES = 16 * 1024 * 1024


class EventTooLong(ValueError):
    """An event does not end."""


class EventDecoder:
    """Fed with a stream from its start. An event that its end cuts off is dropped, as the format has it."""

    def __init__(self) -> None:
        self._open: list[bytes] = []  # the pieces of a line whose end has not come
        self._data: list[bytes] = []  # the lines of data of an event whose end has not come
        self._held = 0
        self._is_after_return = False

    def feed(self, piece: bytes) -> list[bytes]:
        """The data of each event that ends within the piece.

        Raises:
            EventTooLong: the one that has not ended is longer than any would be.
        """
        if self._is_after_return and piece.startswith(b"\n"):
            piece = piece[1:]  # the second half of a line's end
        if not piece:
            return []
        self._is_after_return = piece.endswith(b"\r")
        lines = piece.splitlines(keepends=True)
        tail = b"" if lines[-1].endswith((b"\n", b"\r")) else lines.pop()
        if lines and self._open:
            lines[0] = b"".join((*self._open, lines[0]))
            self._open.clear()
        found = self._take(lines)
        if tail:
            self._open.append(tail)
        self._hold(len(piece), is_new=bool(found))
        return found

    def _take(self, lines: list[bytes]) -> list[bytes]:
        found: list[bytes] = []
        for line in lines:
            text = line.rstrip(b"\r\n")
            if text.startswith(b"data:"):
                self._data.append(text[6:] if text.startswith(b"data: ") else text[5:])
            elif not text and self._data:
                found.append(self._data[0] if len(self._data) == 1 else b"\n".join(self._data))
                self._data.clear()
        return found

    def _hold(self, count: int, *, is_new: bool) -> None:
        self._held = count if is_new else self._held + count
        if self._held > MAX_EVENT_BYTES and (self._open or self._data):
            raise EventTooLong
