"""What each model name does. A name chooses the pace, the words, and what goes wrong."""

import re
from collections.abc import Callable
from dataclasses import dataclass, replace

from demo_model import delivery, openai_errors, speech
from demo_model.chat_request import ChatRequest
from demo_model.delivery import Delivery, paced
from demo_model.openai_errors import Refusal
from demo_model.pacing import LIVE, spread, steady
from demo_model.wire import Choice

PREFIX = "demo"
ONCE = "-once"
SLOW_SECONDS = 2.0

_TIMED = re.compile(r"demo-([0-9]{1,7})ms")
# OpenAI's own names, so that a script that was written for one of them runs here as it is.
_OPENAI = re.compile(r"(gpt-[0-9]|chatgpt-|o[0-9])[-.0-9a-z]*")


@dataclass(frozen=True, slots=True)
class Behaviour:
    """One row of the table of names."""

    name: str
    meaning: str
    says: Callable[[ChatRequest], list[Choice]] = speech.conversation
    refusal: Refusal | None = None
    deliver: Delivery = delivery.UNDELAYED
    once: bool = False  # only the first time a model and a last user message are seen together


def _refuses(name: str, meaning: str, refusal: Refusal) -> Behaviour:
    return Behaviour(name, meaning, refusal=refusal)


def _breaks(name: str, meaning: str, deliver: Delivery) -> Behaviour:
    return Behaviour(name, meaning, deliver=deliver)


_SPEEDS = (
    Behaviour("demo", "first word after 50 ms, then one every 20 ms", deliver=paced(LIVE)),
    Behaviour("demo-fast", "no delays"),
    Behaviour("demo-slow", "2 s in all, spread over the words", deliver=paced(spread(SLOW_SECONDS))),
    Behaviour(
        "demo-load",
        "always the same 41 tokens: the first after 0.5 s, the last after 2 s",
        deliver=paced(spread(2.0, first=0.5)),
        says=speech.load,
    ),
    Behaviour("demo-drip", "one word every 20 s", deliver=paced(steady(first=0, each=20))),
    Behaviour("demo-flood", "200,000 words as fast as they can be sent", says=speech.flood),
)
_WORDS = (
    Behaviour("demo-echo", "exactly the text of the last user message", says=speech.echo),
    Behaviour("demo-transcript", "the messages it was sent, as JSON", says=speech.transcript),
)
_REFUSALS = (
    _refuses("demo-fail-400", "400, a bad request", openai_errors.BAD_REQUEST),
    _refuses("demo-fail-401", "401, code invalid_api_key", openai_errors.WRONG_KEY),
    _refuses("demo-fail-403", "403, code unsupported_country_region_territory", openai_errors.FORBIDDEN),
    _refuses("demo-fail-404", "404, code model_not_found", openai_errors.UNKNOWN_MODEL),
    _refuses("demo-fail-429", "429, code rate_limit_exceeded, Retry-After: 1", openai_errors.RATE_LIMITED),
    _refuses("demo-fail-quota", "429, code insufficient_quota", openai_errors.QUOTA_USED_UP),
    _refuses("demo-fail-context", "400, code context_length_exceeded", openai_errors.CONTEXT_TOO_LONG),
    _refuses("demo-fail-filter", "400, code content_filter", openai_errors.PROMPT_FILTERED),
    _refuses("demo-fail-500", "500, type server_error", openai_errors.SERVER_ERROR),
    _refuses("demo-fail-503", "503, type server_error", openai_errors.OVERLOADED),
)
_ENDINGS = (
    Behaviour("demo-filtered", "some words, then finish_reason content_filter", says=speech.filtered),
    Behaviour("demo-filtered-empty", "no word, finish_reason content_filter", says=speech.filtered_at_once),
    Behaviour("demo-length", "some words, then finish_reason length", says=speech.cut_short),
    Behaviour("demo-empty", "no word, finish_reason stop", says=speech.nothing),
)
_FAULTS = (
    _breaks("demo-silent", "accepts the request and sends no byte for an hour", delivery.silent),
    _breaks("demo-stall", "some words (or half a body), then nothing for an hour", delivery.stall),
    _breaks("demo-reset", "some words (or half a body), then a TCP reset", delivery.reset),
    _breaks("demo-cut", "some words, then a clean end without finish_reason and [DONE] (or half a body)", delivery.cut),
    _breaks("demo-error-event", "some words, then an error object inside the 200 answer", delivery.error_event),
    _breaks("demo-malformed", "some words, then broken JSON (or a broken body)", delivery.malformed),
    _breaks("demo-html", "200 with a web page, as a captive portal gives", delivery.html),
    _breaks("demo-no-choices", "usage and an empty list of choices", delivery.no_choices),
)

BEHAVIOURS = {row.name: row for row in (*_SPEEDS, *_WORDS, *_REFUSALS, *_ENDINGS, *_FAULTS)}


def find(model: str) -> Behaviour | None:
    """The behaviour a name asks for; None where there is no such model.

    Any other name that starts with `demo` answers as `demo` does, so that a test can have a name of its own; and so do
    the names of OpenAI's models.
    """
    if model in BEHAVIOURS:
        return BEHAVIOURS[model]
    if model.endswith(ONCE) and (base := BEHAVIOURS.get(model.removesuffix(ONCE))) is not None:
        return replace(base, once=True)
    if timed := _TIMED.fullmatch(model):
        return Behaviour(model, "a chosen time in all", deliver=paced(spread(int(timed[1]) / 1000)))
    return BEHAVIOURS[PREFIX] if model.startswith(PREFIX) or _OPENAI.fullmatch(model) else None
