"""What clients of the façade send: OpenAI's fields as far as they mean something here. Unknown ones are refused."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

import orjson
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, model_validator

from api.openai_compat.unsupported import CHAT, RESPONSES, Refusal, without_unsupported
from api.schemas.requests import (
    MAX_END_USER_CHARS,
    Finite,
    Instructions,
    Metadata,
    Model,
    Stop,
)
from shared.store.candidates import MAX_CANDIDATES

MAX_TOKENS = 1_000_000
# It is read with every look at the reply.
MAX_FORMAT_BYTES = 32 * 1024

Temperature = Annotated[Finite, Field(ge=0, le=2)]
TopP = Annotated[Finite, Field(ge=0, le=1)]
Penalty = Annotated[Finite, Field(ge=-2, le=2)]
Tokens = Annotated[int, Field(ge=1, le=MAX_TOKENS)]
Effort = Literal["none", "minimal", "low", "medium", "high", "xhigh"]
Verbosity = Literal["low", "medium", "high"]
Name = Annotated[str, Field(max_length=MAX_END_USER_CHARS)]
# Read by hand, so that a mistake is told in one sentence and not once for each kind of item.
Items = Annotated[
    Any,
    WithJsonSchema(
        {"anyOf": [{"type": "string"}, {"type": "array", "items": {"type": "object"}}], "description": "Text only."}
    ),
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)
    unsupported: ClassVar[dict[str, Refusal]] = {}
    # Where in the request it stands, with a slash at the end.
    place: ClassVar[str] = ""

    @model_validator(mode="before")
    @classmethod
    def _refuse_unsupported(cls, body: Any) -> Any:
        return without_unsupported(body, cls.unsupported, place=cls.place)


def _require_modest(wanted: dict[str, Any] | None) -> dict[str, Any] | None:
    if wanted is not None and len(orjson.dumps(wanted)) > MAX_FORMAT_BYTES:
        raise ValueError(f"a schema has at most {MAX_FORMAT_BYTES} bytes")
    return wanted


Schema = Annotated[dict[str, Any] | None, AfterValidator(_require_modest)]


class TextFormat(_Body):
    """Plain text, any JSON, or JSON of a schema. Whether it is heeded is up to the model behind this server."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    name: Annotated[str, Field(min_length=1, max_length=64)] | None = None
    description: Annotated[str, Field(max_length=1000)] | None = None
    schema_: Schema = Field(None, alias="schema")
    strict: bool | None = None

    @model_validator(mode="after")
    def _require_schema(self) -> TextFormat:  # noqa: N804  pydantic calls it on the instance
        if self.type == "json_schema" and (self.schema_ is None or self.name is None):
            raise ValueError("a json_schema format needs a name and a schema")
        return self


class TextSettings(_Body):
    """How the text is to be."""

    format: TextFormat | None = None
    verbosity: Verbosity | None = None


class ReasoningSettings(_Body):
    """How hard the model is to think."""

    effort: Effort | None = None
    place: ClassVar[str] = "reasoning/"
    unsupported: ClassVar[dict[str, Refusal]] = {
        name: Refusal("What a model thinks is not told: leave this out.")
        for name in ("summary", "generate_summary", "encrypted_content", "mode", "context")
    }


class ConversationReference(_Body):
    """A conversation by its id."""

    id: str


class StreamOptions(_Body):
    """How a stream is to be. Nothing is padded here, so that obfuscation changes nothing."""

    include_obfuscation: bool | None = None
    include_usage: bool | None = None


class CreateResponse(_Body):
    """A response to be made."""

    unsupported: ClassVar[dict[str, Refusal]] = dict(RESPONSES)

    input: Items = None
    model: Model | None = None
    instructions: Instructions | None = None
    conversation: str | ConversationReference | None = None
    previous_response_id: str | None = None
    background: bool | None = None
    stream: bool | None = None
    store: bool | None = None
    metadata: Metadata | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_output_tokens: Tokens | None = None
    text: TextSettings | None = None
    reasoning: ReasoningSettings | None = None
    truncation: Literal["auto", "disabled"] | None = None
    parallel_tool_calls: bool | None = None
    stream_options: StreamOptions | None = None
    user: Name | None = None
    safety_identifier: Name | None = None
    prompt_cache_key: Name | None = None


class CreateConversation(_Body):
    """A conversation, perhaps with what was said before."""

    items: Items = None
    metadata: Metadata | None = None


class ChangeConversation(_Body):
    """New metadata in place of the old."""

    metadata: Metadata | None


class CreateItems(_Body):
    """Messages that are added to a conversation."""

    unsupported: ClassVar[dict[str, Refusal]] = {"include": RESPONSES["include"]}
    items: Items


class ResponseFormat(_Body):
    """As `text.format` is for responses, in the older spelling."""

    type: Literal["text", "json_object", "json_schema"]
    json_schema: Schema = None


class CreateChatCompletion(_Body):
    """A chat completion to be made."""

    unsupported: ClassVar[dict[str, Refusal]] = dict(CHAT)

    messages: Annotated[list[dict[str, Any]], Field(min_length=1)]
    model: Model | None = None
    n: Annotated[int, Field(ge=1, le=MAX_CANDIDATES)] | None = None
    stream: bool | None = None
    stream_options: StreamOptions | None = None
    temperature: Temperature | None = None
    top_p: TopP | None = None
    max_tokens: Tokens | None = None
    max_completion_tokens: Tokens | None = None
    presence_penalty: Penalty | None = None
    frequency_penalty: Penalty | None = None
    stop: Stop = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    reasoning_effort: Effort | None = None
    verbosity: Verbosity | None = None
    response_format: ResponseFormat | None = None
    metadata: Metadata | None = None
    parallel_tool_calls: bool | None = None
    user: Name | None = None
    safety_identifier: Name | None = None
    prompt_cache_key: Name | None = None
