"""Replies and the attempts at them, as they are told."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.answers import Answer, Instant, Page
from shared.reply_status import AttemptOutcome, IncompleteReason, ReplyError, ReplyStatus, StopRequest


class Usage(Answer):
    """Tokens, as the model counted them, or as we estimate where it did not."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    estimated: bool


class ReplyFailure(Answer):
    """Why there is no answer."""

    code: ReplyError = Field(description="Each is explained at /errors/<code>.")
    message: str
    retryable: bool = Field(description="Whether asking again may help.")


class Queue(Answer):
    """What a queued reply waits for."""

    turns_ahead: int = Field(description="Earlier turns of the conversation that are still to end.")
    waiting_for: Literal["turn", "worker", "retry"] | None
    next_attempt_at: Instant | None


class Feedback(Answer):
    """What somebody thinks of a reply."""

    rating: Literal["up", "down"]
    comment: str | None
    given_at: Instant


class Reply(Answer):
    """One answer in the making, or made."""

    id: str
    url: str
    conversation_id: str
    turn: int
    candidate: int
    status: ReplyStatus
    content: str = Field(description="The text; of a live reply what is there so far, at most a second old.")
    model: str
    attempt: int
    selected: bool = Field(description="Whether the conversation continues from it.")
    message_id: str | None
    usage: Usage | None
    error: ReplyFailure | None
    incomplete_reason: IncompleteReason | None
    stop_requested: StopRequest | None
    metadata: dict[str, str]
    feedback: Feedback | None
    queue: Queue
    created_at: Instant
    started_at: Instant | None
    finished_at: Instant | None
    deadline_at: Instant


class AttemptError(Answer):
    """Why a try did not end well."""

    code: ReplyError
    message: str


class Attempt(Answer):
    """One try at a reply."""

    attempt: int
    worker: str = Field(description="The process that made it.")
    upstream: str | None = Field(description="Who was asked: an upstream of models.toml, or `default` without one.")
    upstream_model: str | None = Field(description="The model's name there.")
    started_at: Instant
    first_token_seconds: float | None = Field(
        description="From calling the model to the first piece of its answer; null where none came, and while it runs."
    )
    ended_at: Instant | None
    outcome: AttemptOutcome | None = Field(description="Null while it runs.")
    error: AttemptError | None
    usage: Usage | None


class Attempts(Answer):
    """All tries at a reply, the first one first."""

    data: list[Attempt]


class ReplyPage(Page):
    """A page of replies, newest first."""

    data: list[Reply]
