"""What clients get. These models document the answers, and the tests hold the answers to them."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from shared.api_keys import Scope
from shared.reply_status import AttemptOutcome, IncompleteReason, ReplyError, ReplyStatus, StopRequest

Instant = Annotated[
    str,
    Field(
        pattern=r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$",
        examples=["2026-01-31T12:00:00.000Z"],
        json_schema_extra={"format": "date-time"},
    ),
]


class _Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


class Message(_Answer):
    """What was said."""

    id: str
    conversation_id: str
    turn: int
    role: Literal["user", "assistant", "system"]
    content: str
    reply_id: str | None = Field(description="The reply it is the text of, for an assistant's answer.")
    created_at: Instant


class Usage(_Answer):
    """Tokens, as the model counted them, or as we estimate where it did not."""

    input_tokens: int
    output_tokens: int
    total_tokens: int
    estimated: bool


class ReplyFailure(_Answer):
    """Why there is no answer."""

    code: ReplyError = Field(description="Each is explained at /errors/<code>.")
    message: str
    retryable: bool = Field(description="Whether asking again may help.")


class Queue(_Answer):
    """What a queued reply waits for."""

    turns_ahead: int = Field(description="Earlier turns of the conversation that are still to end.")
    waiting_for: Literal["turn", "worker", "retry"] | None
    next_attempt_at: Instant | None


class Feedback(_Answer):
    """What somebody thinks of a reply."""

    rating: Literal["up", "down"]
    comment: str | None
    given_at: Instant


class Reply(_Answer):
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


class AttemptError(_Answer):
    """Why a try did not end well."""

    code: ReplyError
    message: str


class Attempt(_Answer):
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


class Attempts(_Answer):
    """All tries at a reply, the first one first."""

    data: list[Attempt]


class Turn(_Answer):
    """A message and the replies it asked for."""

    conversation_id: str
    turn: int
    message: Message
    replies: list[Reply]


class ConversationHead(_Answer):
    """A conversation as lists show it."""

    id: str
    title: str | None
    instructions: str | None
    model: str | None
    parameters: dict[str, Any]
    metadata: dict[str, str]
    end_user: str | None
    version: int = Field(description="Grows with every message, setting and status change.")
    created_at: Instant
    updated_at: Instant


class Match(_Answer):
    """Where in a conversation it was found: in its title, else in the newest such message."""

    field: Literal["title", "message"]
    snippet: str = Field(description="A line of text around the first of the words, without line breaks.")
    message_id: str | None
    turn: int | None


class ListedConversation(ConversationHead):
    """A conversation in a list."""

    match: Match | None = Field(None, description="Only where the list was searched with `q`.")


class Conversation(ConversationHead):
    """A conversation with its newest messages, oldest of them first."""

    messages: list[Message]
    previous_messages: str | None = Field(description="Where the messages before these are, if there are any.")
    live_replies: list[Reply]


class CreatedConversation(Conversation):
    """A new conversation, with its first turn if one was asked."""

    turn: Turn | None = None


class _Page(_Answer):
    next_cursor: str | None
    has_more: bool


class ConversationPage(_Page):
    """A page of conversations."""

    data: list[ListedConversation]


class MessagePage(_Page):
    """A page of messages, oldest first."""

    data: list[Message]


class ReplyPage(_Page):
    """A page of replies, newest first."""

    data: list[Reply]


class OfferedModel(_Answer):
    """A model's name."""

    id: str
    default: bool = Field(description="Whether it answers when nothing else is named.")


class OfferedModels(_Answer):
    """The models this server offers."""

    data: list[OfferedModel]
    any_name: bool = Field(description="Whether names that are not listed are passed on to the model service too.")


class Health(_Answer):
    """Alive."""

    status: Literal["ok"]


class SqliteState(_Answer):
    """Which SQLite, and how it journals."""

    version: str
    journal_mode: str


class SweeperState(_Answer):
    """When this process last looked for stuck replies."""

    seconds_since_sweep: float


class Readiness(_Answer):
    """What this gateway leans on."""

    status: Literal["ready", "degraded", "unready"]
    database: Literal["ok", "down"]
    sqlite: SqliteState | None
    redis: Literal["ok", "down"]
    publisher: Literal["ok", "down"]
    sweeper: SweeperState
    workers: int | None = Field(description="Worker processes alive; null when the database does not say.")


class ErrorDetail(_Answer):
    """One mistake."""

    pointer: str = Field(description="`#/n` is a field of the body, `?limit` a query parameter.", examples=["#/n"])
    code: str
    detail: str


class ProblemAnswer(_Answer):
    """An error, as RFC 9457 has it."""

    type: str = Field(examples=["/errors/not_found"])
    title: str
    status: int
    detail: str
    code: str = Field(examples=["not_found"])
    request_id: str
    errors: list[ErrorDetail]


class ErrorExplanation(_Answer):
    """An error code, its cause and its cure."""

    type: str
    code: str
    status: int | None = Field(description="Null for the codes that a failed reply carries.")
    title: str
    cause: str
    cure: str


class ApiKey(_Answer):
    """A key, without its secret."""

    id: str
    name: str
    prefix: str = Field(description="What the key begins with, to tell keys apart.")
    scopes: list[Scope]
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None
    last_used_at: Instant | None = Field(description="To the minute.")


class NewApiKey(ApiKey):
    """A key that was made just now."""

    secret: str = Field(description="The whole key, for `Authorization: Bearer`. It is never shown again.")


class ApiKeyPage(_Answer):
    """A page of keys."""

    data: list[ApiKey]
    next_cursor: str | None
    has_more: bool


class NewConversationToken(_Answer):
    """A token for one conversation."""

    token: str
    expires_at: Instant


class ErasedCounts(_Answer):
    """How many of what were erased."""

    conversations: int
    messages: int
    replies: int
    attempts: int
    idempotency_keys: int
    webhook_deliveries: int
    event_logs: int


class Erasure(_Answer):
    """The receipt of an erasure. It does not name the end user."""

    id: str = Field(examples=["erasure_01m8376nm1zqqnsr0dt18yp372"])
    status: Literal["in_progress", "completed"]
    erased: ErasedCounts
    event_logs_gone_by: Instant | None = Field(
        description="Redis did not answer, or a worker was still speaking: what is left of event logs ends by then. "
        "Null if nothing is left of them."
    )
    started_at: Instant
    finished_at: Instant | None


class WorkerProcess(_Answer):
    """A worker or a gateway."""

    id: str
    role: Literal["worker", "api"]
    host: str
    started_at: Instant
    is_beating: bool = Field(description="Whether its beat moved lately. One that stands still is soon taken for dead.")
    seconds_since_beat: float = Field(description="How long this gateway has seen its beat stand still.")
    slots: int | None = Field(description="How many replies it makes at once; null for a gateway.")
    live_replies: int = Field(description="How many it holds.")


class WorkerProcesses(_Answer):
    """Every worker and gateway."""

    data: list[WorkerProcess]
