"""Usage as it is told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.answers import Answer


class RepliesByEnd(Answer):
    """How many replies ended so. One that is tried again on request ends once more."""

    completed: int
    incomplete: int
    failed: int
    cancelled: int


class UsageSum(Answer):
    """What was used in one group. The group is named by the fields of `by`; null where there is none."""

    day: str | None = Field(None, examples=["2026-01-31"], description="In UTC.")
    model: str | None = Field(None, description="As it was asked for.")
    end_user: str | None = None
    key: str | None = Field(None, description="The id of the API key that asked.")
    replies: RepliesByEnd
    attempts: int = Field(description="How many tries ended, whatever became of them.")
    input_tokens: int
    output_tokens: int
    total_tokens: int
    estimated_tokens: int = Field(description="The part of `total_tokens` that the model did not count itself.")


class UsagePage(Answer):
    """Sums, in the order of their groups."""

    from_: str = Field(alias="from", description="The first day.", examples=["2026-01-01"])
    to: str = Field(description="The last day.", examples=["2026-01-31"])
    by: list[Literal["day", "model", "end_user", "key"]]
    data: list[UsageSum]
    next_cursor: str | None
    has_more: bool
