"""Rows as OpenAI's SDKs read them: responses, items, conversations, models, and lists of them.

Every key of https://www.openresponses.org/specification is there, also where it says nothing; what differs between
the SDKs' types and that specification is as both can take it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.rendering import Row
from shared.ids import answer_id, is_id, response_id
from shared.reply_status import IncompleteReason, ReplyError, ReplyStatus
from shared.store.chains import is_own

# Where a request said nothing; OpenAI's own defaults.
_DEFAULTS = {"temperature": 1.0, "top_p": 1.0, "presence_penalty": 0.0, "frequency_penalty": 0.0}
# The SDKs know a closed list of codes; the sentence says more.
_ERROR_CODES = {
    ReplyError.RATE_LIMITED: "rate_limit_exceeded",
    ReplyError.BUDGET_EXCEEDED: "rate_limit_exceeded",
    ReplyError.CONTEXT_LENGTH_EXCEEDED: "invalid_prompt",
    ReplyError.CONTENT_FILTERED: "invalid_prompt",
    ReplyError.MODEL_NOT_FOUND: "invalid_prompt",
}
_REASONS = {
    IncompleteReason.MAX_OUTPUT_TOKENS: "max_output_tokens",
    IncompleteReason.CONTENT_FILTER: "content_filter",
    # Stopped for something newer, with what there was.
    IncompleteReason.INTERRUPTED: "steered",
}
_ITEM_STATUS = {ReplyStatus.COMPLETED: "completed", ReplyStatus.IN_PROGRESS: "in_progress"}


def reply_id_of(name: str) -> str | None:
    """The reply that is called so here, or None if the name is malformed."""
    reply_id = "reply_" + name.removeprefix("resp_")
    return reply_id if name.startswith("resp_") and is_id("reply", reply_id) else None


def request_of(row: Row) -> Mapping[str, Any]:
    """What was asked for in this dialect; of a reply that was asked for natively, how it looks from here."""
    return row["request"] or {"background": True}


def response(row: Row, *, status: ReplyStatus | None = None) -> dict[str, Any]:
    """A response. With a `status` it is as it was at that time, before there was any text."""
    request, parameters = request_of(row), row["parameters"]
    now = ReplyStatus(status or row["status"])
    is_whole = status is None
    return {
        "id": response_id(row["id"]),
        "object": "response",
        "created_at": _seconds(row["created_at"]),
        "completed_at": _seconds(row["finished_at"]) if is_whole and now is ReplyStatus.COMPLETED else None,
        "status": str(now),
        "background": bool(request.get("background", False)),
        "error": _error(row) if is_whole else None,
        "incomplete_details": _incomplete_details(row) if is_whole else None,
        "instructions": row["instructions"],
        "max_output_tokens": parameters.get("max_output_tokens"),
        "max_tool_calls": None,
        "model": row["model"],
        "output": _output(row) if is_whole else [],
        "parallel_tool_calls": request.get("parallel_tool_calls", True),
        "previous_response_id": request.get("previous_response_id"),
        "conversation": None if is_own(row["request"]) else {"id": row["conversation_id"]},
        "prompt_cache_key": request.get("prompt_cache_key"),
        "reasoning": {"effort": parameters.get("reasoning_effort"), "summary": None},
        "safety_identifier": request.get("safety_identifier"),
        "service_tier": "default",
        "store": request.get("store", True),
        **{name: _or_default(parameters.get(name), default) for name, default in _DEFAULTS.items()},
        "text": _text(parameters),
        "tool_choice": "auto",
        "tools": [],
        "top_logprobs": 0,
        "truncation": parameters.get("truncation", "auto"),
        "usage": usage(row) if is_whole else None,
        "user": request.get("user"),
        "metadata": row["metadata"],
    }


def _text(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """How the text was to be, with every key that the specification wants."""
    wanted = parameters.get("response_format") or {"type": "text"}
    told: dict[str, Any] = {"format": wanted}
    if wanted["type"] == "json_schema":
        told["format"] = {"type": "json_schema", "description": None, "strict": False, **wanted["json_schema"]}
    if verbosity := parameters.get("verbosity"):
        told["verbosity"] = verbosity
    return told


def _or_default(value: Any, default: Any) -> Any:
    return default if value is None else value


def _seconds(milliseconds: int) -> int:
    return milliseconds // 1000


def _error(row: Row) -> dict[str, str] | None:
    if row["error_code"] is None:
        return None
    return {"code": _ERROR_CODES.get(row["error_code"], "server_error"), "message": row["error_message"]}


def _incomplete_details(row: Row) -> dict[str, str] | None:
    reason = _REASONS.get(row["incomplete_reason"])
    return {"reason": reason} if reason else None


def _output(row: Row) -> list[dict[str, Any]]:
    if not row["content"]:
        return []
    status = _ITEM_STATUS.get(row["status"], "incomplete")
    return [answer_item(row["message_id"] or answer_id(row["id"], row["attempt"]), row["content"], status=status)]


def usage(row: Row) -> dict[str, Any] | None:
    """What was read and written, if anybody knows."""
    read, written = row["input_tokens"], row["output_tokens"]
    if read is None and written is None:
        return None
    read, written = read or 0, written or 0
    return {
        "input_tokens": read,
        "input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0},
        "output_tokens": written,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": read + written,
    }


def answer_item(item_id: str, text: str | None, *, status: str) -> dict[str, Any]:
    """What a model says, as an item. Without a text it has no content yet."""
    content = [] if text is None else [output_text(text)]
    return {"id": item_id, "type": "message", "role": "assistant", "status": status, "content": content}


def output_text(text: str) -> dict[str, Any]:
    """A part of an answer."""
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def item(row: Row) -> dict[str, Any]:
    """A message of a conversation."""
    if row["role"] == "assistant":
        return answer_item(row["id"], row["content"], status="completed")
    return {
        "id": row["id"],
        "type": "message",
        "role": (row["parts"] or {}).get("role", row["role"]),
        "status": "completed",
        "content": [{"type": "input_text", "text": row["content"]}],
    }


def conversation(row: Row) -> dict[str, Any]:
    """A conversation, as far as OpenAI's have anything of it."""
    return {
        "id": row["id"],
        "object": "conversation",
        "created_at": _seconds(row["created_at"]),
        "metadata": row["metadata"],
    }


def model(name: str, *, created: int) -> dict[str, Any]:
    """A name to choose."""
    return {"id": name, "object": "model", "created": created, "owned_by": "asyncchat"}


def page(shown: Sequence[dict[str, Any]], *, has_more: bool) -> dict[str, Any]:
    """A list. Where it is empty the ids are empty, too: the SDKs want texts there."""
    return {
        "object": "list",
        "data": shown,
        "first_id": shown[0]["id"] if shown else "",
        "last_id": shown[-1]["id"] if shown else "",
        "has_more": has_more,
    }
