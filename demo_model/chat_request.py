"""Reading the body of POST /v1/chat/completions, with OpenAI's complaints about wrong ones."""

import json
from dataclasses import dataclass
from typing import Any

from demo_model.openai_errors import bad_request

MAX_CHOICES = 128  # OpenAI's own limit of n
_ROLES = ("system", "developer", "user", "assistant", "tool", "function")


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """What the demo model honours of a chat completions body; all else in `body` is accepted and ignored."""

    body: dict[str, Any]
    model: str
    messages: list[dict[str, Any]]
    stream: bool
    include_usage: bool
    n: int
    max_tokens: int | None

    def user_texts(self) -> list[str]:
        """The text of every user message, oldest first."""
        return [_text(message) for message in self.messages if message["role"] == "user"]

    def last_user_text(self) -> str:
        texts = self.user_texts()
        return texts[-1] if texts else ""

    def prompt_tokens(self) -> int:
        """A word is a token, and every message costs four more, about as OpenAI counts them."""
        return sum(4 + len(_text(message).split()) for message in self.messages)


def parse(raw: bytes) -> ChatRequest:
    """Raises RequestRefused with the sentence OpenAI would send, or one like it."""
    try:
        body = json.loads(raw)
    except (ValueError, RecursionError):
        raise bad_request("We could not parse the JSON body of your request.") from None
    if not isinstance(body, dict):
        raise bad_request("The body of your request must be a JSON object.")
    model = body.get("model")
    if not isinstance(model, str) or not model:
        raise bad_request("you must provide a model parameter", param="model")
    stream = _boolean(body, "stream")
    limit = _whole_number(body, "max_completion_tokens", most=None)
    return ChatRequest(
        body=body,
        model=model,
        messages=_messages(body.get("messages")),
        stream=stream,
        include_usage=_include_usage(body, stream=stream),
        n=_whole_number(body, "n", most=MAX_CHOICES) or 1,
        max_tokens=limit or _whole_number(body, "max_tokens", most=None),
    )


def _messages(value: object) -> list[dict[str, Any]]:
    if not isinstance(value, list) or not value:
        raise bad_request("Invalid 'messages': expected a list with at least one message.", param="messages")
    for position, message in enumerate(value):
        where = f"messages[{position}]"
        if not isinstance(message, dict):
            raise bad_request(f"Invalid '{where}': expected an object.", param=where)
        if message.get("role") not in _ROLES:
            raise bad_request(f"Invalid '{where}.role': supported are {', '.join(_ROLES)}.", param=where)
        content = message.get("content")
        if not _is_content(content) or (content is None and message["role"] in ("user", "system", "developer")):
            raise bad_request(f"Invalid '{where}.content': expected a string or a list of parts.", param=where)
    return value


def _is_content(content: object) -> bool:
    if isinstance(content, list):
        return all(isinstance(part, dict) and isinstance(part.get("type"), str) for part in content)
    return content is None or isinstance(content, str)


def _text(message: dict[str, Any]) -> str:
    """A message's text: its content, or its text parts joined."""
    content = message.get("content")
    if isinstance(content, str):
        return content
    return "".join(text for part in content or () if isinstance(text := part.get("text"), str))


def _boolean(body: dict[str, Any], name: str) -> bool:
    value = body.get(name)
    if value is not None and not isinstance(value, bool):
        raise bad_request(f"Invalid type for '{name}': expected a boolean.", param=name)
    return bool(value)


def _whole_number(body: dict[str, Any], name: str, *, most: int | None) -> int | None:
    value = body.get(name)
    if value is None:
        return None
    if not isinstance(value, int) or isinstance(value, bool):
        raise bad_request(f"Invalid type for '{name}': expected an integer.", param=name)
    if value < 1 or (most is not None and value > most):
        raise bad_request(f"Invalid '{name}': expected a value from 1 to {most or 'any'}.", param=name)
    return value


def _include_usage(body: dict[str, Any], *, stream: bool) -> bool:
    options = body.get("stream_options")
    if options is None:
        return False
    if not isinstance(options, dict):
        raise bad_request("Invalid type for 'stream_options': expected an object.", param="stream_options")
    if not stream:
        raise bad_request("The 'stream_options' parameter is only allowed when 'stream' is enabled.", param="stream")
    return _boolean(options, "include_usage")
