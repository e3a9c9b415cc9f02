"""Every error this project raises on purpose.

AsyncChatError
├── SettingsError            a setting is missing or wrong; the message is the sentence to print
├── RequestError             the caller asked for something that cannot be; mapped to a 4xx at the edge
│   ├── NotFound             there is no such thing (or it is another tenant's)
│   ├── Conflict             the thing is in a state that does not allow it
│   │   ├── Busy             the conversation has live replies, and the request would not wait for them
│   │   ├── NotLastTurn      the conversation has gone on since that turn
│   │   ├── NotSelectable    the reply has no text to go on from
│   │   ├── NotRetryable     the reply neither failed nor was cancelled
│   │   └── NotEnded         the reply is still being made
│   ├── CannotCancel         the response has ended, and its client has it
│   ├── NotFinished          the process had to stop waiting for the answer
│   ├── QueueFull            as many replies are live as may be
│   ├── BudgetExceeded       somebody's budget of tokens is used up
│   ├── TooManyStreams       this process serves as many streams as it may
│   ├── TooManyAtOnce        this process answers as many requests of the key or its tenant as it may
│   ├── TooManyCandidates    the turn has as many replies as it may have
│   ├── InvalidValue         a value is outside what is allowed; names the field
│   └── IdempotencyMismatch  the Idempotency-Key was used for another request
└── StorageError             the database could not answer; the caller may try again
    ├── StorageBusy          the write did not begin in time and was withdrawn: nothing was stored
    ├── StorageUnavailable   the database refused or failed: nothing was stored
    └── OutcomeUnknown       the connection was lost at COMMIT: stored or not, nobody knows
"""

from __future__ import annotations


class AsyncChatError(Exception):
    """Base of every error this project raises on purpose."""


class SettingsError(AsyncChatError):
    """A setting is missing or wrong. The message is one sentence that says what to do."""


class RequestError(AsyncChatError):
    """The request cannot be fulfilled as asked. `code` is the public error code."""

    code = "invalid_request"


class NotFound(RequestError):
    """There is no such thing, or it belongs to somebody else."""

    code = "not_found"


class Conflict(RequestError):
    """The thing is in a state that does not allow what was asked."""

    code = "conflict"


class Busy(Conflict):
    """The conversation has live replies, and the request said not to wait for them."""

    code = "busy"


class NotLastTurn(Conflict):
    """The conversation has gone on since that turn, from the reply that was selected."""

    code = "not_last_turn"


class NotSelectable(Conflict):
    """The reply has no text to go on from."""

    code = "not_selectable"


class NotRetryable(Conflict):
    """The reply neither failed nor was cancelled."""

    code = "not_retryable"


class NotEnded(Conflict):
    """The reply is still being made."""

    code = "not_ended"


class CannotCancel(RequestError):
    """The response has ended, and its client has it."""

    code = "cannot_cancel"


class NotFinished(RequestError):
    """The answer was not there when the process had to stop waiting for it. It is still being made."""

    code = "not_finished"


class QueueFull(RequestError):
    """As many replies are live as may be."""

    code = "queue_full"


class BudgetExceeded(RequestError):
    """The tenant, the key or the end user has used up a budget. It lasts for so many seconds more."""

    code = "budget_exceeded"

    def __init__(self, message: str, *, retry_after_seconds: int) -> None:
        super().__init__(message)
        self.retry_after_seconds = retry_after_seconds


class TooManyStreams(RequestError):
    """This process serves as many streams as it may."""

    code = "too_many_streams"


class TooManyAtOnce(RequestError):
    """This process answers as many requests of the key, or of its tenant, as it may at once."""

    code = "too_many_at_once"


class TooManyCandidates(RequestError):
    """The turn has as many replies as it may have."""

    code = "too_many_candidates"


class InvalidValue(RequestError):
    """A value is outside what is allowed.

    `pointer` names the place: a JSON Pointer fragment into the body (`#/n`) or `?name` of a query parameter.
    """

    code = "invalid_value"

    def __init__(self, message: str, *, pointer: str) -> None:
        super().__init__(message)
        self.pointer = pointer


class IdempotencyMismatch(RequestError):
    """The Idempotency-Key was already used for another method, path or body."""

    code = "idempotency_mismatch"


class StorageError(AsyncChatError):
    """The database could not answer. Trying again later may help. `code` is the public error code."""

    code = "storage_unavailable"


class StorageBusy(StorageError):
    """The write did not begin in time and was withdrawn. Nothing was stored."""

    code = "storage_busy"


class StorageUnavailable(StorageError):
    """The database refused or failed. Nothing was stored."""


class OutcomeUnknown(StorageError):
    """The connection was lost while committing. Whether it was stored is not known."""

    code = "outcome_unknown"
