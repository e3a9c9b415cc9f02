"""What all answers have in common. The models document the answers, and the tests hold the answers to them."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

Instant = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        examples=["2026-01-31T12:00:00.000Z"],
        json_schema_extra={"format": "date-time"},
    ),
]


class Answer(BaseModel):
    """What a client gets: these fields and no others."""

    model_config = ConfigDict(extra="forbid")


class Page(Answer):
    """A part of a list."""

    next_cursor: str | None
    has_more: bool
