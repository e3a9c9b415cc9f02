"""Chat completions as OpenAI's SDKs read them, whole or in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import orjson

from api.openai_compat.errors import QUOTA, error_body
from api.rendering import Row
from shared.reply_status import IncompleteReason, ReplyError, ReplyStatus

# What a request gets for each error that a reply ended with; all others are a bad gateway.
STATUS_OF_ERROR = {
    ReplyError.RATE_LIMITED: 429,
    ReplyError.BUDGET_EXCEEDED: 429,
    ReplyError.CONTEXT_LENGTH_EXCEEDED: 400,
    ReplyError.CONTENT_FILTERED: 400,
    ReplyError.MODEL_NOT_FOUND: 404,
    ReplyError.DEADLINE_EXCEEDED: 504,
    ReplyError.UPSTREAM_TIMEOUT: 504,
}
_BAD_GATEWAY = 502
_REASONS: dict[str | None, str] = {
    IncompleteReason.MAX_OUTPUT_TOKENS: "length",
    IncompleteReason.CONTENT_FILTER: "content_filter",
}
_FAILED = frozenset({ReplyStatus.FAILED, ReplyStatus.CANCELLED})


def failure_of(rows: Sequence[Row]) -> tuple[int, dict[str, Any]] | None:
    """The status and body of the error if one of the replies came to nothing: a completion has all its choices."""
    for row in rows:
        if row["status"] in _FAILED:
            status = STATUS_OF_ERROR.get(row["error_code"], _BAD_GATEWAY)
            code = QUOTA if row["error_code"] == ReplyError.BUDGET_EXCEEDED else row["error_code"] or "cancelled"
            return status, error_body(code, status=status, message=_sentence(row))
    return None


def _sentence(row: Row) -> str:
    return "Somebody cancelled this." if row["error_message"] is None else str(row["error_message"])


def _id(row: Row) -> str:
    return f"chatcmpl-{row['id'].removeprefix('reply_')}"


def _finish_reason(row: Row) -> str:
    return _REASONS.get(row["incomplete_reason"], "stop")


def completion(rows: Sequence[Row]) -> dict[str, Any]:
    """All replies of a turn, as the choices of one completion."""
    first = rows[0]
    choices = [
        {
            "index": index,
            "message": {"role": "assistant", "content": row["content"], "refusal": None, "annotations": []},
            "logprobs": None,
            "finish_reason": _finish_reason(row),
        }
        for index, row in enumerate(rows)
    ]
    return {
        "id": _id(first),
        "object": "chat.completion",
        "created": first["created_at"] // 1000,
        "model": first["model"],
        "choices": choices,
        "usage": usage(rows),
        "service_tier": "default",
        "system_fingerprint": None,
    }


def usage(rows: Sequence[Row]) -> dict[str, Any] | None:
    """What all replies together have cost; the prompt is counted once, as OpenAI does. None if nobody knows."""
    if all(row["output_tokens"] is None for row in rows):
        return None
    read = max(row["input_tokens"] or 0 for row in rows)
    written = sum(row["output_tokens"] or 0 for row in rows)
    return {
        "prompt_tokens": read,
        "completion_tokens": written,
        "total_tokens": read + written,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {
            "reasoning_tokens": 0,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


class Chunks:
    """Writes the chunks of one completion. With `has_usage` each has the key, and one more at the end the figures."""

    def __init__(self, first: Row, *, has_usage: bool) -> None:
        self._head = {
            "id": _id(first),
            "object": "chat.completion.chunk",
            "created": first["created_at"] // 1000,
            "model": first["model"],
            "service_tier": "default",
            "system_fingerprint": None,
        }
        self._has_usage = has_usage

    def delta(self, index: int, delta: dict[str, Any], *, finish_reason: str | None = None) -> bytes:
        """One step of one choice."""
        choice = {"index": index, "delta": delta, "logprobs": None, "finish_reason": finish_reason}
        return self._chunk([choice], None)

    def end(self, index: int, row: Row) -> bytes:
        """The end of one choice."""
        return self.delta(index, {}, finish_reason=_finish_reason(row))

    def total(self, rows: Sequence[Row]) -> bytes:
        """What it has cost, if the client wants to know."""
        return self._chunk([], usage(rows)) if self._has_usage else b""

    def _chunk(self, choices: list[dict[str, Any]], figures: dict[str, Any] | None) -> bytes:
        known = {"usage": figures} if self._has_usage else {}
        return written({**self._head, "choices": choices, **known})


def written(content: dict[str, Any]) -> bytes:
    """An event as chat completions have them: without a type."""
    return b"data: %b\n\n" % orjson.dumps(content)
