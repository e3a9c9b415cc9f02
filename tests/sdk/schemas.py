"""What answers and events are judged by: the SDK's own models and the Open Responses schema, both strictly."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, TypeVar

import openresponses_types
import orjson
from openai.types.responses import Response, ResponseStreamEvent
from openresponses_types import ResponseResource
from pydantic import BaseModel, TypeAdapter

T = TypeVar("T")

_MODELS = {
    field.annotation("".join(each.value for each in field.annotation)).value: model
    for name, model in vars(openresponses_types).items()
    if name.endswith("StreamingEvent") and (field := model.model_fields["type"]).annotation is not None
}
_EVENTS: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
# Keys that the specification wants and the SDK has no name for.
_NOT_THE_SDKS = frozenset({"presence_penalty", "frequency_penalty", "store"})


def judged(kind: type[T], raw: bytes) -> T:
    """An answer as the SDK's model of it. Nothing is converted, and no key is unknown."""
    found = TypeAdapter(kind).validate_json(raw, strict=True)
    unknown = set(_unknown(found))
    assert unknown <= _NOT_THE_SDKS, unknown
    return found


def judged_response(raw: bytes) -> Response:
    """A response, by both."""
    ResponseResource.model_validate_json(raw, strict=True)
    return judged(Response, raw)


def judged_events(raw: bytes) -> list[Any]:
    """All events of a stream of a response, by both; it is whole, and numbered without a gap."""
    found: list[Any] = []
    for kind, data in frames(raw):
        event = _EVENTS.validate_json(data, strict=True)
        _MODELS[kind].model_validate_json(data, strict=True)
        assert set(_unknown(event)) <= _NOT_THE_SDKS, data
        assert event.type == kind
        assert event.sequence_number == len(found)
        found.append(event)
    assert raw.endswith(b"data: [DONE]\n\n")
    return found


def frames(raw: bytes) -> Iterator[tuple[str, bytes]]:
    """The type and data of each event in a stream, without the end."""
    for block in raw.split(b"\n\n"):
        lines = dict(line.split(b": ", 1) for line in block.split(b"\n") if line and not line.startswith(b":"))
        data = lines.get(b"data", b"[DONE]")
        if data != b"[DONE]":
            assert set(lines) <= {b"event", b"data"}, block
            yield lines.get(b"event", b"").decode(), data


def chunks(raw: bytes) -> list[Any]:
    """The chunks of a chat completion's stream."""
    return [orjson.loads(data) for _, data in frames(raw)]


def _unknown(value: Any) -> Iterator[str]:
    if isinstance(value, BaseModel):
        yield from value.model_extra or ()
        for name in type(value).model_fields:
            yield from _unknown(getattr(value, name))
    elif isinstance(value, list):
        for each in value:
            yield from _unknown(each)
