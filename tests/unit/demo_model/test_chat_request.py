"""Reading chat completions bodies."""

import json
from typing import Any

import pytest

from demo_model.chat_request import parse
from demo_model.openai_errors import RequestRefused

HELLO = {"role": "user", "content": "Hello there"}


def body(**fields: Any) -> bytes:
    return json.dumps({"model": "demo", "messages": [HELLO], **fields}).encode()


def test_a_minimal_body() -> None:
    request = parse(body())
    assert (request.model, request.n, request.stream, request.max_tokens) == ("demo", 1, False, None)
    assert request.user_texts() == ["Hello there"]


def test_unknown_fields_are_accepted() -> None:
    assert parse(body(temperature=0.5, metadata={"a": "b"})).body["temperature"] == 0.5


def test_text_parts_are_joined_and_other_parts_have_no_text() -> None:
    parts = [{"type": "text", "text": "a"}, {"type": "image_url", "image_url": {}}, {"type": "text", "text": "b"}]
    assert parse(body(messages=[{"role": "user", "content": parts}])).last_user_text() == "ab"


def test_the_newer_token_limit_wins() -> None:
    assert parse(body(max_tokens=3, max_completion_tokens=5)).max_tokens == 5


def test_words_and_messages_count_as_prompt_tokens() -> None:
    assert parse(body(messages=[HELLO, {"role": "assistant", "content": None}, HELLO])).prompt_tokens() == 16


@pytest.mark.parametrize("raw", [b"", b"{", b"\xff\xfe", b"[" * 100_000, b"[]", b'"demo"', b"null"])
def test_what_is_not_a_json_object_is_refused(raw: bytes) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse(raw)
    assert refused.value.refusal.status == 400


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"model": None}, "model"),
        ({"model": 7}, "model"),
        ({"messages": None}, "messages"),
        ({"messages": []}, "messages"),
        ({"messages": ["hi"]}, "messages[0]"),
        ({"messages": [HELLO, {"role": "king", "content": "hi"}]}, "messages[1]"),
        ({"messages": [{"role": ["user"], "content": "hi"}]}, "messages[0]"),
        ({"messages": [{"role": "user"}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": 7}]}, "messages[0]"),
        ({"messages": [{"role": "user", "content": ["hi"]}]}, "messages[0]"),
        ({"stream": "yes"}, "stream"),
        ({"n": 0}, "n"),
        ({"n": 129}, "n"),
        ({"n": True}, "n"),
        ({"n": 1.5}, "n"),
        ({"max_tokens": 0}, "max_tokens"),
        ({"max_completion_tokens": "many"}, "max_completion_tokens"),
        ({"stream": True, "stream_options": []}, "stream_options"),
        ({"stream": True, "stream_options": {"include_usage": 1}}, "include_usage"),
        ({"stream_options": {"include_usage": True}}, "stream"),
    ],
)
def test_wrong_values_are_refused_by_name(fields: dict[str, Any], param: str) -> None:
    with pytest.raises(RequestRefused) as refused:
        parse(body(**fields))
    assert (refused.value.refusal.status, refused.value.refusal.param) == (400, param)
