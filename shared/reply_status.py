"""The statuses of a reply and the moves between them. Nobody compares strings."""

from __future__ import annotations

from enum import StrEnum


class ReplyStatus(StrEnum):
    """Where a reply stands. The words are OpenAI's, as its Responses API has them."""

    QUEUED = "queued"  # waits for its turn, for a worker, or for its next try
    IN_PROGRESS = "in_progress"  # a worker holds it
    COMPLETED = "completed"  # the model's whole answer is stored
    INCOMPLETE = "incomplete"  # the answer ended early and its text is kept
    FAILED = "failed"  # there is no answer; `error` says why
    CANCELLED = "cancelled"  # somebody asked to stop it

    @property
    def is_terminal(self) -> bool:
        """Whether nothing moves the reply any more by itself."""
        return self not in LIVE


LIVE = frozenset({ReplyStatus.QUEUED, ReplyStatus.IN_PROGRESS})
TERMINAL = frozenset(ReplyStatus) - LIVE

TRANSITIONS: dict[ReplyStatus, frozenset[ReplyStatus]] = {
    ReplyStatus.QUEUED: frozenset(
        {ReplyStatus.IN_PROGRESS, ReplyStatus.FAILED, ReplyStatus.CANCELLED, ReplyStatus.INCOMPLETE}
    ),
    ReplyStatus.IN_PROGRESS: frozenset({ReplyStatus.QUEUED, *TERMINAL}),
    # An answer stays as it is; without one, somebody may ask for another try.
    ReplyStatus.COMPLETED: frozenset(),
    ReplyStatus.INCOMPLETE: frozenset(),
    ReplyStatus.FAILED: frozenset({ReplyStatus.QUEUED}),
    ReplyStatus.CANCELLED: frozenset({ReplyStatus.QUEUED}),
}


class StopRequest(StrEnum):
    """What somebody asked of a reply that a worker holds."""

    CANCEL = "cancel"  # end as cancelled
    INTERRUPT = "interrupt"  # end as incomplete, keep the text


class OnBusy(StrEnum):
    """What a new turn does about live replies before it."""

    ENQUEUE = "enqueue"  # wait for them
    REJECT = "reject"  # refuse the new turn
    INTERRUPT = "interrupt"  # stop them


class OnCrash(StrEnum):
    """What becomes of a reply whose worker dies."""

    RESTART = "restart"  # another try, from the beginning
    KEEP_PARTIAL = "keep_partial"  # end as incomplete with the text so far, if there is any
    FAIL = "fail"  # end as failed


class AttemptOutcome(StrEnum):
    """What became of a try. The first four are the statuses in which it ended its reply."""

    COMPLETED = "completed"
    INCOMPLETE = "incomplete"
    FAILED = "failed"
    CANCELLED = "cancelled"
    RETRIED = "retried"  # it failed, and another one follows
    HANDED_BACK = "handed_back"  # its worker was told to stop
    LOST = "lost"  # its worker died


class IncompleteReason(StrEnum):
    """Why an answer ended early."""

    MAX_OUTPUT_TOKENS = "max_output_tokens"
    CONTENT_FILTER = "content_filter"
    INTERRUPTED = "interrupted"
    WORKER_LOST = "worker_lost"


class ReplyError(StrEnum):
    """Why a reply failed: the public `error.code`."""

    INVALID_API_KEY = "invalid_api_key"
    MODEL_NOT_FOUND = "model_not_found"
    UPSTREAM_UNREACHABLE = "upstream_unreachable"
    UPSTREAM_TIMEOUT = "upstream_timeout"
    RATE_LIMITED = "rate_limited"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    CONTENT_FILTERED = "content_filtered"
    UPSTREAM_CUT_OFF = "upstream_cut_off"
    UPSTREAM_MALFORMED = "upstream_malformed"
    UPSTREAM_EMPTY = "upstream_empty"
    UPSTREAM_ERROR = "upstream_error"
    WORKER_LOST = "worker_lost"
    ATTEMPTS_EXHAUSTED = "attempts_exhausted"
    DEADLINE_EXCEEDED = "deadline_exceeded"
    BUDGET_EXCEEDED = "budget_exceeded"
