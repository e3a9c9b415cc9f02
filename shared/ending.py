"""How a reply ends: what the worker knows of it when it is over."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from shared.reply_status import IncompleteReason, ReplyError, ReplyStatus


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a try or a reply failed, for a person and for a program."""

    code: ReplyError
    message: str
    retryable: bool


@dataclass(frozen=True, slots=True)
class Usage:
    """What the model says it read and wrote, in its own tokens, or what we estimate that it did."""

    input_tokens: int
    output_tokens: int
    is_estimated: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """How a reply ends."""

    status: ReplyStatus
    content: str = ""
    usage: Usage | None = None
    failure: Failure | None = None
    incomplete_reason: IncompleteReason | None = None


@dataclass(frozen=True, slots=True)
class Sent:
    """What went out to listeners in a try.

    `cursor` is the event that tells how it ended, `lengths` are the characters of each piece, and `text` is the text
    where it is kept nowhere else. `first_token_ms` is how long the model took to begin, if it did.
    """

    cursor: str | None = None
    lengths: Sequence[int] | None = None
    text: str | None = None
    first_token_ms: int | None = None


NOTHING_SENT = Sent()
TOO_LATE = Failure(ReplyError.DEADLINE_EXCEEDED, "There was no answer before the deadline.", retryable=True)
