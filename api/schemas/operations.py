"""Operations as they are told."""

from __future__ import annotations

from pydantic import Field

from api.schemas.answers import Answer, Instant
from api.schemas.replies import Attempt, Queue, ReplyFailure
from api.schemas.usage import RepliesByEnd
from shared.reply_status import ReplyError, ReplyStatus, StopRequest


class WaitingFor(Answer):
    """How many queued replies wait for what."""

    worker: int
    turn: int = Field(description="For an earlier turn of their conversation.")
    retry: int = Field(description="For the time of their next try.")


class LiveCounts(Answer):
    """How many replies are being answered, and what the others wait for."""

    in_progress: int
    queued: int
    waiting_for: WaitingFor


class InstallationCounts(Answer):
    """The same of all tenants together."""

    queued: int
    in_progress: int


class ListedReply(Answer):
    """A reply without what is said in it."""

    id: str
    conversation_id: str
    turn: int
    candidate: int
    status: ReplyStatus
    model: str
    attempt: int = Field(description="How many tries have begun.")
    stop_requested: StopRequest | None
    worker: str | None = Field(description="The process that has it.")
    error: ReplyFailure | None
    queue: Queue
    created_at: Instant
    started_at: Instant | None
    finished_at: Instant | None


class FailedReply(ListedReply):
    """A reply that failed, with every try at it."""

    attempts: list[Attempt]


class Spread(Answer):
    """Half of them took no longer than `p50`, 95 of 100 no longer than `p95`."""

    p50: float
    p95: float


class Figures(Answer):
    """What happened in some time. Durations are null where there was none to measure."""

    accepted: int
    ended: RepliesByEnd
    failures: dict[ReplyError, int] = Field(description="Replies that failed, by why.")
    attempt_failures: dict[ReplyError, int] = Field(
        description="Tries that failed, by why. Others may have followed, and the reply been answered."
    )
    queue_wait_seconds: Spread | None = Field(description="From acceptance to the first try.")
    first_token_seconds: Spread | None = Field(description="From calling the model to the first piece of its answer.")
    total_seconds: Spread | None = Field(description="From acceptance to the end.")


class Minute(Figures):
    """One minute."""

    at: Instant = Field(description="Its beginning.")


class OperationsAnswer(Answer):
    """What is under way, and how it went."""

    queue: LiveCounts
    all_tenants: InstallationCounts
    live: list[ListedReply] = Field(description="Up to 50: those that are being answered first, then in order.")
    failed: list[FailedReply] = Field(description="Up to 50 of the same time as the figures, newest first.")
    from_: Instant = Field(alias="from")
    to: Instant
    complete_from: Instant = Field(description="Later than `from` where there were too many replies to look at all.")
    whole: Figures = Field(description="Of all of these minutes.")
    minutes: list[Minute] = Field(description="The oldest first; the last one is the present one.")
