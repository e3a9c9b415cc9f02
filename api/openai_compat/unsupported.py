"""What OpenAI's API takes and this server does not: what each of them is, and what to do instead."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from starlette.requests import Request

from api.openai_compat.errors import Unsupported


def _is_empty(value: Any) -> bool:
    return not value


def _is_plain_tier(value: Any) -> bool:
    return value in (None, "auto", "default")


def _is_no_choice(value: Any) -> bool:
    return value in (None, "auto", "none")


def _is_text_only(value: Any) -> bool:
    return value in (None, ["text"])


def _is_no_logprob(value: Any) -> bool:
    return value is None or (isinstance(value, list) and "message.output_text.logprobs" not in value)


class Refusal(NamedTuple):
    """A parameter that is refused unless it says nothing, and the sentence that goes with it."""

    sentence: str
    says_nothing: Callable[[Any], bool] = _is_empty


_TOOLS = Refusal("Tools are not supported yet: call them in your own code, and send what they returned as a message.")
_TIER = Refusal("There is one service tier here: leave `service_tier` out.", _is_plain_tier)
_CACHE = Refusal("Prompts are cached as the model's provider does it by itself: leave this out.")
_MODERATION = Refusal("Nothing is moderated here: call a moderation service of your own before you ask.")
_LOGPROBS = Refusal("Log probabilities are not kept: leave this out.")

RESPONSES: Mapping[str, Refusal] = {
    "tools": _TOOLS,
    "tool_choice": Refusal(_TOOLS.sentence, _is_no_choice),
    "max_tool_calls": _TOOLS,
    "prompt": Refusal("Stored prompts are not supported: send their text as `instructions`."),
    "include": Refusal(_LOGPROBS.sentence, _is_no_logprob),
    "top_logprobs": _LOGPROBS,
    "service_tier": _TIER,
    "prompt_cache_options": _CACHE,
    "prompt_cache_retention": _CACHE,
    "moderation": _MODERATION,
    "context_management": Refusal("Use `truncation: auto`, which leaves out the oldest turns."),
    "background_options": Refusal("Leave it out: work in the background begins at once and cannot be bought cheaper."),
    "access_programs": Refusal("It concerns OpenAI's own service: leave it out."),
    "image": Refusal("Only text is supported: leave this out."),
}
CHAT: Mapping[str, Refusal] = {
    "tools": _TOOLS,
    "tool_choice": Refusal(_TOOLS.sentence, _is_no_choice),
    "functions": _TOOLS,
    "function_call": Refusal(_TOOLS.sentence, _is_no_choice),
    "logprobs": _LOGPROBS,
    "top_logprobs": _LOGPROBS,
    "logit_bias": Refusal("Models behind this server do not all know it: leave `logit_bias` out."),
    "modalities": Refusal("Only text is supported.", _is_text_only),
    "audio": Refusal("Only text is supported: leave this out."),
    "prediction": Refusal("Predicted outputs are not supported: leave this out."),
    "web_search_options": Refusal("Searching the web is not supported: leave this out."),
    "store": Refusal("Chat completions are not kept. Use POST /v1/responses for what you want to fetch again."),
    "service_tier": _TIER,
    "prompt_cache_options": _CACHE,
    "prompt_cache_retention": _CACHE,
    "moderation": _MODERATION,
}


def refuse_include(request: Request) -> None:
    """Refuses what the query wants to have included and is not there.

    Raises:
        Unsupported: it wants log probabilities.
    """
    query = request.query_params
    wanted = [*query.getlist("include"), *query.getlist("include[]")]
    if not RESPONSES["include"].says_nothing(wanted):
        raise Unsupported(RESPONSES["include"].sentence, pointer="?include")


def without_unsupported(body: Any, refusals: Mapping[str, Refusal], *, place: str = "") -> Any:
    """The body, or the part of it at `place`, without those of the parameters that say nothing.

    Raises:
        Unsupported: one of them says something.
    """
    if not isinstance(body, Mapping):
        return body
    for name in refusals.keys() & body.keys():
        if not refusals[name].says_nothing(body[name]):
            raise Unsupported(refusals[name].sentence, pointer=f"#/{place}{name}")
    return {name: value for name, value in body.items() if name not in refusals}
