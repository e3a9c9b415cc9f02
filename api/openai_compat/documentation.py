"""What the documentation of the façade's routes has in common."""

from __future__ import annotations

from typing import Annotated

from fastapi import Path, Query

from api.problems import CATALOGUE
from api.routes.documentation import EVENTS, Documented

_ULID = "[0-7][0-9a-hjkmnp-tv-z]{25}"

ResponseName = Annotated[str, Path(max_length=100, description="The response's id.")]
ConversationName = Annotated[str, Path(pattern=f"^conv_{_ULID}$", description="The conversation's id.")]
ItemName = Annotated[str, Path(pattern=f"^msg_{_ULID}$", description="The item's id.")]
PAGE = Annotated[int, Query(ge=1, le=100, description="How many at most.")]

_ERROR = {
    "type": "object",
    "properties": {
        "error": {
            "type": "object",
            "properties": {
                "message": {"type": "string"},
                "type": {"type": "string"},
                "param": {"type": ["string", "null"]},
                "code": {"type": ["string", "null"]},
            },
        }
    },
}


def answer_or_events(description: str) -> Documented:
    """A good answer that with `stream` is told by its events."""
    return {200: {"description": description, "content": EVENTS}}


def refusals(*codes: str) -> Documented:
    """The error answers of a route, in OpenAI's form."""
    statuses = {400: "What was asked is not possible; `param` says what", 503: "Not now; Retry-After says when"}
    statuses |= {CATALOGUE[code].status or 500: CATALOGUE[code].title for code in codes}
    content = {"application/json": {"schema": _ERROR}}
    return {status: {"description": title, "content": content} for status, title in sorted(statuses.items())}
