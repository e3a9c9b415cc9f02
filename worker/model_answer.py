"""What a model answers, chunk by chunk: https://platform.openai.com/docs/api-reference/chat-streaming."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson

from shared.ending import Usage
from worker.model_failure import broke_off, cut_off, empty, malformed
from worker.model_text import storable

# One answer: far more than any model writes, far less than would hurt the process.
MAX_ANSWER_CHARS = 4_000_000

# What the columns hold.
_MAX_COUNT = 2**31 - 1


@dataclass(frozen=True, slots=True)
class Finished:
    """How the model ended: `stop`, `length` or `content_filter`, and what it counted."""

    reason: str
    usage: Usage | None


class Answer:
    """One answer while it comes. `on_text` is called with each piece of its text."""

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text
        self._chars = 0
        self._reason: str | None = None
        self.usage: Usage | None = None
        self._seen_choice = False
        self.has_begun = False

    @property
    def has_ended(self) -> bool:
        """Whether the model said why it ended."""
        return self._reason is not None

    def take(self, data: bytes) -> None:
        """One chunk, as it came.

        Raises:
            ModelFailure: it is not what the API sends, or says that the model broke off.
            ValueError: it is no JSON.
            RecursionError: it is nested without end.
        """
        self.has_begun = True
        fields = _object(_parsed(data), "a chunk")
        if error := fields.get("error"):
            raise broke_off(error)
        if usage := fields.get("usage"):
            self.usage = _usage_of(usage)
        choices = fields.get("choices") or []
        if not isinstance(choices, list):
            raise malformed("the choices are not a list")
        for item in choices:
            self._seen_choice = True
            choice = _object(item, "a choice")
            delta = _object(choice.get("delta") or {}, "a delta")
            if text := delta.get("content") or delta.get("refusal"):
                self._add(_string(text, "a piece of text"))
            if reason := choice.get("finish_reason"):
                self._reason = _string(reason, "a finish_reason")

    def _add(self, text: str) -> None:
        text = storable(text)
        self._chars += len(text)
        if self._chars > MAX_ANSWER_CHARS:
            raise malformed(f"the answer is longer than {MAX_ANSWER_CHARS} characters")
        self._on_text(text)

    def finished(self) -> Finished:
        """How it ended, once the stream has.

        Raises:
            ModelFailure: it is not whole, or says nothing.
        """
        if self._reason is None:
            raise cut_off() if self._seen_choice or not self.has_begun else empty()
        if self._chars == 0 and self._reason not in {"length", "content_filter"}:
            raise empty()
        return Finished(self._reason, self.usage)


def _parsed(data: bytes) -> object:
    try:
        return orjson.loads(data)
    except ValueError:
        # It takes halves of surrogate pairs, at a multiple of the cost.
        return json.loads(data)


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise malformed(f"{what} is not an object")
    return value


def _string(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise malformed(f"{what} is not a string")
    return value


def _usage_of(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(read) is not int or type(written) is not int:  # JSON's true is an int to isinstance
        return None
    return Usage(min(max(read, 0), _MAX_COUNT), min(max(written, 0), _MAX_COUNT))
