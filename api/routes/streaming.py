"""What the routes that answer with events have in common: where to begin, how many at once, and the answer itself."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated

from fastapi import Query
from starlette.requests import Request
from starlette.responses import Response

from api.cursors import InvalidCursor
from api.dependencies import Resources
from api.headers import first_value
from api.live.sse import EventStreamAnswer
from api.live.streams import ReplyStream, Stream, TurnStream
from api.routes.documentation import EVENTS, Documented, problems
from shared.errors import TooManyStreams
from shared.messaging.reply_events import Cursor

_HEADER = b"last-event-id"
# Eight candidates, and some that were regenerated.
_MAX_CURSOR_CHARS = 250

AfterEvent = Annotated[str | None, Query(description="The id of the last event seen; Last-Event-ID means the same.")]
LAST_EVENT_PARAMETER = {
    "name": "Last-Event-ID",
    "in": "header",
    "required": False,
    "schema": {"type": "string"},
    "description": "Where to go on; browsers send it by themselves when they reconnect. `?after=` wins.",
}
STREAM: Documented = {
    200: {
        "description": "Server-sent events",
        "content": EVENTS,
    },
    204: {"description": "Everything has been told already"},
    **problems("not_found", "invalid_cursor", "too_many_streams"),
}


def wants_events(request: Request) -> bool:
    """Whether the client asks for events instead of JSON."""
    accepted = [part.partition(";")[0].strip() for part in first_value(request.scope, b"accept").split(",")]
    return "text/event-stream" in accepted


def reply_cursor_of(request: Request, after: str | None) -> Cursor | None:
    """Where in a reply's events the client is.

    Raises:
        InvalidCursor: it is not the id of an event of a reply.
    """
    cursors = turn_cursors_of(request, after)
    if len(cursors) > 1:
        raise _invalid(after)
    return cursors[0] if cursors else None


def turn_cursors_of(request: Request, after: str | None) -> list[Cursor]:
    """Where in the events of a turn's replies the client is, none if it has seen nothing yet.

    Raises:
        InvalidCursor: it is not the id of an event.
    """
    written = after if after is not None else first_value(request.scope, _HEADER)
    if not written:
        return []
    if len(written) > _MAX_CURSOR_CHARS:
        raise _invalid(after)
    cursors = [Cursor.parse(part) for part in written.split(".")]
    if None in cursors:
        raise _invalid(after)
    return [cursor for cursor in cursors if cursor is not None]


def _invalid(after: str | None) -> InvalidCursor:
    return InvalidCursor(
        "This is not the id of an event here.", pointer="?after" if after is not None else _HEADER.decode()
    )


def require_room(resources: Resources) -> None:
    """Refuses what would be one stream too many.

    Raises:
        TooManyStreams: this gateway serves as many as it may.
    """
    if resources.streams.is_full:
        raise TooManyStreams("This gateway serves as many streams as it may. Try again in a moment.")


def stream_answer(
    resources: Resources, stream: Stream, *, headers: Mapping[str, str] | None = None, has_room: bool = False
) -> Response:
    """The stream as an answer, or 204 where the client has been told the end. With `has_room` it is served for sure.

    Raises:
        TooManyStreams: this gateway serves as many as it may.
    """
    if isinstance(stream, ReplyStream | TurnStream) and stream.is_told:
        return Response(status_code=204, headers=headers)
    if not has_room:
        require_room(resources)
    return EventStreamAnswer(stream, streams=resources.streams, headers=headers)
