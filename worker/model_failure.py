"""What can go wrong at a model, as one of the public error codes and a sentence a person understands."""

from __future__ import annotations

import json
from collections.abc import Iterator

import aiohttp
import openai

from shared.ending import Failure, Usage
from shared.reply_status import ReplyError
from worker.model_text import storable
from worker.retry_after import seconds_of

# A provider that asks for more than a day does not mean this reply.
MAX_RETRY_AFTER_SECONDS = 86_400.0
# How much of a provider's own words goes into ours.
_QUOTED_CHARS = 300

_CONTEXT_CODES = frozenset({"context_length_exceeded", "string_above_max_length"})
# llama.cpp's server says it in the error's type: its code repeats the status.
_CONTEXT_TYPE = "exceed_context_size_error"
_FILTER_CODES = frozenset({"content_filter", "content_policy_violation"})
_NOT_FOUND, _REQUEST_TIMEOUT, _TOO_LARGE, _SERVER_ERRORS = 404, 408, 413, 500


# Whose fault it is that there is no answer. Of an error of the provider's own that depends on whether it may pass.
_UPSTREAMS_FAULT = frozenset(
    {
        ReplyError.INVALID_API_KEY,
        ReplyError.UPSTREAM_UNREACHABLE,
        ReplyError.UPSTREAM_TIMEOUT,
        ReplyError.RATE_LIMITED,
        ReplyError.UPSTREAM_CUT_OFF,
        ReplyError.UPSTREAM_MALFORMED,
    }
)
_MODELS_FAULT = frozenset({ReplyError.MODEL_NOT_FOUND, ReplyError.UPSTREAM_EMPTY})
_REQUESTS_FAULT = frozenset({ReplyError.CONTEXT_LENGTH_EXCEEDED, ReplyError.CONTENT_FILTERED})


class ModelFailure(Exception):
    """A call that gave no whole answer.

    `counts` tells whether it counts against the cap on model calls: one that was refused before the model saw it
    costs nothing. `retry_after` is what the provider asked for, in seconds, and `usage` what it counted, if it did.
    """

    def __init__(
        self, failure: Failure, *, counts: bool = True, retry_after: float | None = None, usage: Usage | None = None
    ) -> None:
        super().__init__(failure.message)
        self.failure = failure
        self.counts = counts
        self.retry_after = retry_after
        self.usage = usage

    @property
    def is_upstreams_fault(self) -> bool:
        """Whether another reply would meet the same at this upstream."""
        failure = self.failure
        return failure.code in _UPSTREAMS_FAULT or (failure.code is ReplyError.UPSTREAM_ERROR and failure.retryable)

    @property
    def may_pass_elsewhere(self) -> bool:
        """Whether another upstream, or another model, may answer the same request."""
        return self.is_upstreams_fault or self.failure.code in _MODELS_FAULT

    @property
    def shows_life(self) -> bool:
        """Whether the upstream did its work, and only this request or this model was at fault."""
        failure = self.failure
        refused = failure.code is ReplyError.UPSTREAM_ERROR and not failure.retryable
        return refused or failure.code in _MODELS_FAULT | _REQUESTS_FAULT

    @property
    def code(self) -> ReplyError:
        """What went wrong."""
        return self.failure.code


def _fail(code: ReplyError, message: str, *, retryable: bool) -> Failure:
    return Failure(code, message, retryable)


def timed_out(*, has_begun: bool) -> ModelFailure:
    """The model was silent for too long."""
    words = "stopped sending in the middle of its answer" if has_begun else "sent nothing in time"
    return ModelFailure(_fail(ReplyError.UPSTREAM_TIMEOUT, f"The model {words}.", retryable=True))


def cut_off() -> ModelFailure:
    """The stream ended before the model said that it was done."""
    return ModelFailure(
        _fail(ReplyError.UPSTREAM_CUT_OFF, "The connection to the model ended before its answer did.", retryable=True)
    )


def empty() -> ModelFailure:
    """The model was done and had said nothing."""
    return ModelFailure(_fail(ReplyError.UPSTREAM_EMPTY, "The model answered without any text.", retryable=True))


def malformed(what: str) -> ModelFailure:
    """The answer is not what the chat completions API sends."""
    return ModelFailure(
        _fail(ReplyError.UPSTREAM_MALFORMED, f"The model's answer could not be read: {what}.", retryable=True)
    )


def not_offered(model: str) -> ModelFailure:
    """The models file has no such name, or no more."""
    message = f"This server does not offer the model {model!r}; choose another from GET /models/."
    return ModelFailure(_fail(ReplyError.MODEL_NOT_FOUND, message, retryable=False), counts=False)


def filtered() -> ModelFailure:
    """The provider's filter let nothing through."""
    return ModelFailure(
        _fail(ReplyError.CONTENT_FILTERED, "The provider's content filter stopped the answer.", retryable=False)
    )


def broke_off(error: object) -> ModelFailure:
    """An error inside the stream, whose status had promised an answer."""
    said = error.get("message") if isinstance(error, dict) else error
    words = _quote(said) if isinstance(said, str) else "."
    return ModelFailure(_fail(ReplyError.UPSTREAM_ERROR, f"The model broke off with an error{words}", retryable=True))


def of_exception(error: Exception, *, has_begun: bool) -> ModelFailure:
    """What an exception of the SDK, or of the HTTP client below it, means."""
    if isinstance(error, openai.APIStatusError):
        return _of_status(error)
    if isinstance(error, json.JSONDecodeError | UnicodeDecodeError):
        return malformed("a line of it is not JSON")
    return _of_causes(list(_causes(error)), has_begun=has_begun)


def _of_causes(causes: list[BaseException], *, has_begun: bool) -> ModelFailure:
    """By what lies below the SDK's error, since the HTTP layer reports a dropped connection as a time-out."""

    def caused_by(*types: type[BaseException]) -> bool:
        return any(isinstance(cause, types) for cause in causes)

    if caused_by(aiohttp.ClientConnectorError, aiohttp.ConnectionTimeoutError):
        return _unreachable()
    if caused_by(aiohttp.ServerDisconnectedError, aiohttp.ClientPayloadError):
        return cut_off()
    if caused_by(TimeoutError):
        return timed_out(has_begun=has_begun)
    if caused_by(OSError):
        return cut_off()
    return malformed(type(causes[-1]).__name__)


def _unreachable() -> ModelFailure:
    message = "The model's server could not be reached. Check OPENAI_BASE_URL or models.toml, or that the server runs."
    return ModelFailure(_fail(ReplyError.UPSTREAM_UNREACHABLE, message, retryable=True), counts=False)


def _of_status(error: openai.APIStatusError) -> ModelFailure:
    status, words = error.status_code, _words(error)
    match status:
        case 401 | 403:
            message = f"The provider refused the API key (HTTP {status}). Check OPENAI_API_KEY or models.toml."
            return ModelFailure(_fail(ReplyError.INVALID_API_KEY, message, retryable=False), counts=False)
        case 429:
            return _of_rate_limit(error)
        case 503:
            failure = _fail(ReplyError.UPSTREAM_ERROR, f"The provider is overloaded (HTTP 503){words}", retryable=True)
            return ModelFailure(failure, counts=False, retry_after=_retry_after(error))
        case _ if status == _REQUEST_TIMEOUT or status >= _SERVER_ERRORS:
            message = f"The provider failed (HTTP {status}){words}"
            failure = _fail(ReplyError.UPSTREAM_ERROR, message, retryable=True)
            return ModelFailure(failure, retry_after=_retry_after(error))
    return ModelFailure(_of_refusal(error, words), counts=False)


def _of_rate_limit(error: openai.APIStatusError) -> ModelFailure:
    if error.code == "insufficient_quota":
        message = "The provider's quota for this API key is used up. Check the plan and billing there."
        return ModelFailure(_fail(ReplyError.RATE_LIMITED, message, retryable=False), counts=False)
    failure = _fail(ReplyError.RATE_LIMITED, "The provider's rate limit was reached (HTTP 429).", retryable=True)
    return ModelFailure(failure, counts=False, retry_after=_retry_after(error))


def _of_refusal(error: openai.APIStatusError, words: str) -> Failure:
    """A 4xx that the same request would meet again."""
    status, code = error.status_code, error.code
    if code in _CONTEXT_CODES or error.type == _CONTEXT_TYPE or status == _TOO_LARGE:
        message = "The conversation is longer than the model can read. Start a new one, or lower the prompt budget."
        return _fail(ReplyError.CONTEXT_LENGTH_EXCEEDED, message, retryable=False)
    if code in _FILTER_CODES:
        return filtered().failure
    if code == "model_not_found" or status == _NOT_FOUND:
        return _fail(
            ReplyError.MODEL_NOT_FOUND,
            f"The provider does not offer this model (HTTP {status}){words}",
            retryable=False,
        )
    return _fail(ReplyError.UPSTREAM_ERROR, f"The provider refused the request (HTTP {status}){words}", retryable=False)


def _retry_after(error: openai.APIStatusError) -> float | None:
    """What the provider asks us to wait, in seconds."""
    seconds = seconds_of(error.response.headers.get("retry-after", ""))
    return None if seconds is None else min(seconds, MAX_RETRY_AFTER_SECONDS)


def _words(error: openai.APIStatusError) -> str:
    """The provider's own words, which the SDK puts after the status."""
    _, _, words = error.message.partition(f"Error code: {error.status_code} - ")
    return _quote(words)


def _quote(words: str) -> str:
    """What ends one of our sentences: a colon and somebody else's words, or only the full stop."""
    one_line = " ".join(storable(words).split())
    if len(one_line) > _QUOTED_CHARS:
        return f": {one_line[:_QUOTED_CHARS]}…"
    said = one_line.rstrip(".")
    return f": {said}" if said.endswith(("!", "?")) else f": {said}." if said else "."


def _causes(error: BaseException) -> Iterator[BaseException]:
    cause: BaseException | None = error
    while cause is not None:
        yield cause
        cause = cause.__cause__ or cause.__context__
