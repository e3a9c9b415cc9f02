"""The words of an answer: conversation by default, other texts for the models that need them."""

import json

from demo_model import answers
from demo_model.chat_request import ChatRequest
from demo_model.wire import Choice, split_tokens

WORDS_BEFORE_AN_EARLY_END = 5
FLOOD_TOKENS = 200_000
LOAD_TOKENS = 41

_LOAD = [f" token{number:02d}" for number in range(1, LOAD_TOKENS + 1)]
_FLOOD = [" flood"] * FLOOD_TOKENS


def conversation(request: ChatRequest) -> list[Choice]:
    texts = request.user_texts()
    return [_spoken(answers.answer(texts, candidate=index)) for index in range(request.n)]


def load(request: ChatRequest) -> list[Choice]:
    return [Choice(_LOAD, "stop")] * request.n


def flood(request: ChatRequest) -> list[Choice]:
    return [Choice(_FLOOD, "stop")] * request.n


def echo(request: ChatRequest) -> list[Choice]:
    return [_spoken(request.last_user_text())] * request.n


def transcript(request: ChatRequest) -> list[Choice]:
    return [_spoken(json.dumps(request.messages, ensure_ascii=False))] * request.n


def filtered(request: ChatRequest) -> list[Choice]:
    return _shortened(request, "content_filter")


def filtered_at_once(request: ChatRequest) -> list[Choice]:
    return [Choice((), "content_filter")] * request.n


def cut_short(request: ChatRequest) -> list[Choice]:
    return _shortened(request, "length")


def nothing(request: ChatRequest) -> list[Choice]:
    return [Choice((), "stop")] * request.n


def _spoken(text: str) -> Choice:
    return Choice(split_tokens(text), "stop")


def _shortened(request: ChatRequest, finish_reason: str) -> list[Choice]:
    """The first words of each answer, ended for the given reason however short the answer is."""
    return [Choice(choice.tokens[:WORDS_BEFORE_AN_EARLY_END], finish_reason) for choice in conversation(request)]
