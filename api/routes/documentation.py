"""What the routes' documentation has in common: parameters, error answers, examples."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import Path, Query
from fastapi.openapi.models import Example

from api.errors import MEDIA_TYPE
from api.problems import CATALOGUE
from api.schemas.problems import ProblemAnswer

_ULID = "[0-7][0-9a-hjkmnp-tv-z]{25}"

ConversationId = Annotated[str, Path(pattern=f"^conv_{_ULID}$", description="The conversation's id.")]
ReplyId = Annotated[str, Path(pattern=f"^reply_{_ULID}$", description="The reply's id.")]
TurnNumber = Annotated[int, Path(ge=1, le=2**31 - 1, description="The turn's number, from 1.")]
Limit = Annotated[int, Query(ge=1, le=100, description="How many at most.")]

JSON_LINES = "application/jsonl"

Documented = dict[int | str, dict[str, Any]]


def problems(*codes: str) -> Documented:
    """The error answers a route documents, besides those that any request may get."""
    described: dict[int | str, list[str]] = {}
    for code in (*codes, "internal_error", "storage_unavailable"):
        described.setdefault(CATALOGUE[code].status or 500, []).append(CATALOGUE[code].title)
    schema = {"$ref": f"#/components/schemas/{ProblemAnswer.__name__}"}
    return {
        status: {"description": "; ".join(titles), "content": {MEDIA_TYPE: {"schema": schema}}}
        for status, titles in described.items()
    }


def answer(model: type[Any], description: str, *, headers: dict[str, str] | None = None) -> dict[str, Any]:
    """A good answer's documentation."""
    documented: dict[str, Any] = {"model": model, "description": description}
    if headers:
        documented["headers"] = {
            name: {"description": text, "schema": {"type": "string"}} for name, text in headers.items()
        }
    return documented


EVENTS: dict[str, Any] = {
    "text/event-stream": {
        "schema": {
            "type": "object",
            "description": "One event.",
            "properties": {name: {"type": "string"} for name in ("id", "event", "data")},
            "required": ["data"],
        }
    }
}
BODY = ("invalid_json", "body_too_large", "unsupported_media_type", "invalid_value")
NOT_MODIFIED: Documented = {304: {"description": "The client has just this already (If-None-Match)"}}
ETAG = {"ETag": "A weak tag over the body, for If-None-Match."}
RETRY = {"Retry-After": "Seconds until it is worth asking again, while there are live replies."}
LINK = {"Link": 'Where the next page is, as `<…>; rel="next"`.'}

HELLO = {"content": "Hello, I am Ada"}
CREATE_EXAMPLES = {
    "with a message": Example(summary="With a first message", value={"message": HELLO}),
    "with settings": Example(
        summary="With settings and no message yet",
        value={
            "title": "Sums",
            "instructions": "Answer in one sentence.",
            "parameters": {"temperature": 0.2},
            "metadata": {"project": "school"},
            "end_user": "ada",
        },
    ),
}
ASK_EXAMPLES = {
    "short": Example(summary="A message", value={"content": "What is my name?"}),
    "full": Example(
        summary="Three candidates, with settings",
        value={
            "content": "What is 6 times 7?",
            "n": 3,
            "parameters": {"temperature": 0.9, "max_output_tokens": 200},
            "metadata": {"source": "docs"},
            "on_busy": "interrupt",
            "on_crash": "keep_partial",
            "deadline_seconds": 120,
        },
    ),
}
CHANGE_EXAMPLES = {"title": Example(summary="A new title", value={"title": "About Ada"})}
FORK_EXAMPLES = {"before": Example(summary="The first two turns", value={"up_to_turn": 2})}
REGENERATE_EXAMPLES = {"warmer": Example(summary="Less predictable", value={"parameters": {"temperature": 1.2}})}
RETRY_EXAMPLES = {"longer": Example(summary="With more time", value={"deadline_seconds": 900})}
WEBHOOK_EXAMPLES = {
    "our own": Example(
        summary="Told of every end",
        value={
            "url": "http://localhost:9000/hook",
            "events": ["reply.completed", "reply.incomplete", "reply.failed", "reply.cancelled"],
        },
    ),
    "OpenAI's": Example(
        summary="For a receiver that uses OpenAI's SDK",
        value={
            "url": "http://localhost:9000/openai",
            "events": ["response.completed", "response.failed"],
            "description": "The old receiver",
        },
    ),
}
FEEDBACK_EXAMPLES = {
    "up": Example(summary="Good", value={"rating": "up"}),
    "down": Example(summary="Not good, and why", value={"rating": "down", "comment": "The sum is wrong."}),
}
APPEND_EXAMPLES = {
    "assistant": Example(summary="An earlier answer", value={"role": "assistant", "content": "Good morning!"})
}
