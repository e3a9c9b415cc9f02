"""From a request in OpenAI's dialect to what is asked, and where."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from api.openai_compat.errors import Unsupported
from api.openai_compat.input_items import read_items, said
from api.openai_compat.objects import reply_id_of
from api.openai_compat.schemas import CreateChatCompletion, CreateResponse, TextFormat
from api.services.replies import deadline_ms
from api.services.responses import Place
from shared.errors import InvalidValue
from shared.ids import is_id
from shared.observability import tracing
from shared.settings import Settings
from shared.store.turns import Ask, Said

# What is told again as it was said.
_TOLD_AGAIN = ("user", "safety_identifier", "prompt_cache_key", "parallel_tool_calls", "previous_response_id")
_SAME_PARAMETERS = ("temperature", "top_p", "presence_penalty", "frequency_penalty", "seed", "stop", "verbosity")
# A message of the model's own or a tool's, with what cannot be kept.
_CHAT_FIELDS = frozenset({"role", "content", "name"})
_EMPTY_IN_CHAT = frozenset({"refusal", "audio", "annotations", "tool_calls", "function_call"})


def place_of(body: CreateResponse) -> Place:
    """Where the response is made.

    Raises:
        InvalidValue: the request contradicts itself.
        Unsupported: it wants to be forgotten and kept at once.
    """
    is_kept = body.store is not False
    reference = body.conversation
    conversation_id = reference if isinstance(reference, str) or reference is None else reference.id
    if conversation_id is not None and body.previous_response_id is not None:
        raise InvalidValue(
            "Give `conversation` or `previous_response_id`, not both: a conversation goes on from its last response.",
            pointer="#/previous_response_id",
        )
    if not is_kept and body.background:
        raise Unsupported("What is made in the background has to be stored: leave `store` out.", pointer="#/store")
    if not is_kept and conversation_id is not None:
        raise Unsupported("What is said in a conversation is stored: leave `store` out.", pointer="#/store")
    previous_id = None
    if body.previous_response_id is not None and (previous_id := reply_id_of(body.previous_response_id)) is None:
        raise InvalidValue("This is not the id of a response.", pointer="#/previous_response_id")
    if conversation_id is not None and not is_id("conv", conversation_id):
        raise InvalidValue("This is not the id of a conversation.", pointer="#/conversation")
    return Place(conversation_id, previous_id, is_kept=is_kept, end_user=body.user)


def response_asked(body: CreateResponse, settings: Settings, *, key_id: str | None) -> Ask:
    """What is asked for one response.

    Raises:
        InvalidValue: nothing is said, or something malformed.
        Unsupported: something is said that is not text.
    """
    if body.input is None:
        raise InvalidValue("Say something: `input` is a text, or a list of messages.", pointer="#/input")
    text_format = body.text.format if body.text else None
    parameters: dict[str, Any] = {
        "temperature": body.temperature,
        "top_p": body.top_p,
        "max_output_tokens": body.max_output_tokens,
        "reasoning_effort": body.reasoning.effort if body.reasoning else None,
        "verbosity": body.text.verbosity if body.text else None,
        "response_format": _response_format(text_format) if text_format else None,
        "truncation": body.truncation or "disabled",
    }
    request: dict[str, Any] = {
        "background": bool(body.background),
        "store": body.store is not False,
        "has_conversation": body.conversation is not None,
        **{name: getattr(body, name) for name in _TOLD_AGAIN if getattr(body, name) is not None},
    }
    return _ask(
        read_items(body.input, pointer="#/input"),
        settings=settings,
        chosen_model=body.model,
        parameters=parameters,
        metadata=body.metadata or {},
        instructions=body.instructions,
        request=request,
        key_id=key_id,
    )


def _ask(
    messages: Sequence[Said], *, settings: Settings, parameters: Mapping[str, Any], n: int = 1, **rest: Any
) -> Ask:
    last = messages[-1]
    return Ask(
        content=last.content,
        n=n,
        default_model=settings.model,
        deadline_ms=deadline_ms(None, settings),
        parameters={name: value for name, value in parameters.items() if value is not None},
        role=last.role,
        parts=last.parts,
        before=messages[:-1],
        traceparent=tracing.traceparent(),
        **rest,
    )


def _response_format(wanted: TextFormat) -> dict[str, Any] | None:
    """The format as chat completions spell it, which is what models are asked in."""
    if wanted.type == "text":
        return None
    if wanted.type == "json_object":
        return {"type": "json_object"}
    return {"type": "json_schema", "json_schema": wanted.model_dump(by_alias=True, exclude_none=True, exclude={"type"})}


def chat_asked(body: CreateChatCompletion, settings: Settings, *, key_id: str | None) -> Ask:
    """What is asked for one chat completion.

    Raises:
        InvalidValue: a message is malformed.
        Unsupported: a message is not text.
    """
    parameters: dict[str, Any] = {
        **{name: getattr(body, name) for name in _SAME_PARAMETERS},
        "max_output_tokens": body.max_completion_tokens or body.max_tokens,
        "reasoning_effort": body.reasoning_effort,
        "response_format": _chat_format(body),
        # The client sends what it wants to be read, all of it.
        "truncation": "disabled",
    }
    return _ask(
        [_chat_message(message, f"#/messages/{number}") for number, message in enumerate(body.messages)],
        settings=settings,
        n=body.n or 1,
        chosen_model=body.model,
        parameters=parameters,
        metadata=body.metadata or {},
        request={"store": False, "has_conversation": False},
        key_id=key_id,
    )


def _chat_format(body: CreateChatCompletion) -> dict[str, Any] | None:
    wanted = body.response_format
    return wanted.model_dump(exclude_none=True) if wanted and wanted.type != "text" else None


def _chat_message(message: Mapping[str, Any], pointer: str) -> Said:
    if message.get("role") in ("tool", "function"):
        raise Unsupported("Tools are not supported yet: send what they returned as a user's message.", pointer=pointer)
    for name in sorted(message.keys() - _CHAT_FIELDS):
        if name not in _EMPTY_IN_CHAT:
            raise InvalidValue("A message has no such field.", pointer=f"{pointer}/{name:.100}")
        if message[name]:
            raise Unsupported("Only messages of text are supported.", pointer=f"{pointer}/{name}")
    return said(message.get("role"), message.get("content"), pointer=pointer)
