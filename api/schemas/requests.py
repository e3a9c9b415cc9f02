"""What clients send. Unknown fields are refused, and nothing is converted: `"3"` and `true` are no numbers."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, WithJsonSchema, WrapValidator
from pydantic_core import PydanticCustomError

from shared.api_keys import Scope
from shared.reply_status import OnBusy, OnCrash
from shared.settings import get_settings
from shared.store.candidates import MAX_CANDIDATES

MAX_TITLE_CHARS = 500
MAX_END_USER_CHARS = 255
MAX_MODEL_CHARS = 200
MAX_DEADLINE_SECONDS = 86_400
MAX_METADATA_PAIRS = 16
MAX_STOPS = 4
MAX_KEY_NAME_CHARS = 200
# A hundred years and thirty days.
MAX_KEY_SECONDS = 100 * 365 * 86_400
MAX_TOKEN_SECONDS = 86_400
MAX_OVERLAP_SECONDS = 30 * 86_400
MAX_STOP_CHARS = 500
# What a sum of tokens may come to in JSON.
MAX_BUDGET_TOKENS = 2**53
# A refusal names the models on offer, up to so many.
MAX_NAMED_MODELS = 20
MAX_COMMENT_CHARS = 2000

CONTENT_NOTE = "As long as the server allows: 200,000 characters unless it is set up otherwise."


def _check_length(text: str) -> str:
    limit = get_settings().max_content_chars
    if len(text) > limit:
        raise PydanticCustomError("string_too_long", "Text should have at most {limit} characters", {"limit": limit})
    return text


def _check_content(text: str) -> str:
    if not text or text.isspace():
        raise PydanticCustomError("blank", "Text should have something other than white space")
    return _check_length(text)


def _check_model(name: str) -> str:
    settings = get_settings()
    if settings.models and name not in settings.offered_models:
        offered = ", ".join(settings.offered_models[:MAX_NAMED_MODELS])
        more = ", …; see GET /models/" if len(settings.offered_models) > MAX_NAMED_MODELS else ""
        raise PydanticCustomError(
            "unknown_model", "This server does not offer this model; it offers {offered}", {"offered": offered + more}
        )
    return name


def _check_stop(value: Any, _handler: Any) -> list[str] | str | None:
    """One string or up to four. By hand, so that a mistake is told once and not for each branch of a union."""
    stops = [value] if isinstance(value, str) else value
    if value is None:
        return None
    if not isinstance(stops, list) or not 1 <= len(stops) <= MAX_STOPS:
        raise PydanticCustomError("stop", "Input should be a string, or a list of 1 to 4 strings")
    if not all(isinstance(stop, str) and 0 < len(stop) <= MAX_STOP_CHARS for stop in stops):
        raise PydanticCustomError("stop", "Each stop should be a string of 1 to 500 characters")
    return value  # type: ignore[no-any-return]  # it was checked just now


Content = Annotated[
    str,
    AfterValidator(_check_content),
    WithJsonSchema({"type": "string", "minLength": 1, "description": f"Not only white space. {CONTENT_NOTE}"}),
]
Instructions = Annotated[
    str,
    AfterValidator(_check_length),
    WithJsonSchema({"type": "string", "description": f"What the model is told before everything else. {CONTENT_NOTE}"}),
]
Model = Annotated[str, Field(min_length=1, max_length=MAX_MODEL_CHARS), AfterValidator(_check_model)]
Metadata = Annotated[
    dict[Annotated[str, Field(max_length=64)], Annotated[str, Field(max_length=512)]],
    Field(max_length=MAX_METADATA_PAIRS),
]
Stop = Annotated[
    list[str] | str | None,
    WrapValidator(_check_stop),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARS},
                {
                    "type": "array",
                    "items": {"type": "string", "minLength": 1, "maxLength": MAX_STOP_CHARS},
                    "minItems": 1,
                    "maxItems": MAX_STOPS,
                },
                {"type": "null"},
            ]
        }
    ),
]
Finite = Annotated[float, Field(allow_inf_nan=False)]
DeadlineSeconds = Annotated[
    Annotated[Finite, Field(gt=0, le=MAX_DEADLINE_SECONDS)] | None,
    Field(description="The reply ends by then, time in the queue included. 600 unless the server is set up otherwise."),
]
# A name from JSON; strict checking would want the member itself.
OnBusyName = Annotated[
    OnBusy,
    Field(
        strict=False,
        description="What to do about live replies before it: wait for them, refuse with 409, or stop them.",
    ),
]
OnCrashName = Annotated[
    OnCrash,
    Field(
        strict=False,
        description="What becomes of the reply if its worker dies: another try, the text so far, or an error.",
    ),
]
ScopeName = Annotated[
    Scope, Field(strict=False, description="read: look and listen. write: ask and change. admin: keys.")
]


class _Body(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)


class Parameters(_Body):
    """How the model is to answer. What is not given is the model's own default."""

    temperature: Annotated[Finite, Field(ge=0, le=2)] | None = None
    top_p: Annotated[Finite, Field(ge=0, le=1)] | None = None
    max_output_tokens: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    presence_penalty: Annotated[Finite, Field(ge=-2, le=2)] | None = None
    frequency_penalty: Annotated[Finite, Field(ge=-2, le=2)] | None = None
    seed: Annotated[int, Field(ge=-(2**63), le=2**63 - 1)] | None = None
    stop: Stop = None
    reasoning_effort: Literal["none", "minimal", "low", "medium", "high", "xhigh"] | None = None


class AskBody(_Body):
    """A message, and how its replies are to be made."""

    content: Content
    n: Annotated[int, Field(ge=1, le=MAX_CANDIDATES, description="How many replies, side by side.")] = 1
    model: Model | None = None
    parameters: Parameters | None = Field(None, description="Over those of the conversation.")
    metadata: Metadata | None = Field(None, description="Kept with the replies.")
    on_busy: OnBusyName = OnBusy.ENQUEUE
    on_crash: OnCrashName = OnCrash.RESTART
    deadline_seconds: DeadlineSeconds = None


class RegenerateBody(_Body):
    """What is to be different in the new candidate. What is not given is as in the one it is made from."""

    model: Model | None = None
    parameters: Parameters | None = Field(None, description="Over those of the reply.")
    metadata: Metadata | None = Field(None, description="Kept with the new reply.")
    on_crash: OnCrashName | None = None
    deadline_seconds: DeadlineSeconds = None


class RetryBody(_Body):
    """How long the new tries may take."""

    deadline_seconds: DeadlineSeconds = None


class ForkBody(_Body):
    """Where the copy ends."""

    up_to_turn: Annotated[int, Field(ge=0, le=2**31 - 1)] | None = Field(
        None, description="The last turn that is copied. All of them if it is not given; none if it is 0."
    )


class FeedbackBody(_Body):
    """What somebody thinks of a reply. Null takes it back."""

    rating: Literal["up", "down"] | None
    comment: Annotated[str, Field(max_length=MAX_COMMENT_CHARS)] | None = None


class _ConversationSettings(_Body):
    title: Annotated[str, Field(max_length=MAX_TITLE_CHARS)] | None = Field(
        None, description="Unset, it is the beginning of the first message."
    )
    instructions: Instructions | None = None
    model: Model | None = Field(None, description="Unset, it is the server's default; see GET /models/.")
    parameters: Parameters | None = None
    metadata: Metadata | None = None
    end_user: Annotated[str, Field(max_length=MAX_END_USER_CHARS)] | None = Field(
        None, description="Whose conversation it is, in your own words. Lists can be narrowed to it."
    )


class CreateConversationBody(_ConversationSettings):
    """A new conversation; with `message`, its first turn is asked at once."""

    message: AskBody | None = None


class ChangeConversationBody(_ConversationSettings):
    """What is to change. Fields that are absent stay; null resets."""


class AppendMessageBody(_Body):
    """A message that asks for nothing, such as one of an imported history."""

    role: Literal["user", "assistant", "system"]
    content: Content


class CreateKeyBody(_Body):
    """A key for somebody or something."""

    name: Annotated[str, Field(min_length=1, max_length=MAX_KEY_NAME_CHARS, description="What it is for.")]
    scopes: Annotated[list[ScopeName], Field(min_length=1, max_length=len(Scope))] = Field(
        default_factory=lambda: [Scope.READ, Scope.WRITE]
    )
    expires_in_seconds: Annotated[Finite, Field(gt=0, le=MAX_KEY_SECONDS)] | None = Field(
        None, description="Unset, it is good until it is revoked."
    )
    budget_tokens_per_day: Annotated[int, Field(ge=0, le=MAX_BUDGET_TOKENS)] | None = Field(
        None, description="How many tokens may be used with it in a UTC day; see /budgets/keys/."
    )
    budget_tokens_per_month: Annotated[int, Field(ge=0, le=MAX_BUDGET_TOKENS)] | None = Field(
        None, description="The same in a calendar month."
    )


class RotateKeyBody(_Body):
    """How long the old key is good beside the new one."""

    overlap_seconds: Annotated[Finite, Field(ge=0, le=MAX_OVERLAP_SECONDS)] = 86_400


class CreateTokenBody(_Body):
    """How long the token is good."""

    expires_in_seconds: Annotated[Finite, Field(gt=0, le=MAX_TOKEN_SECONDS)] = 3600
