"""Input items: messages of text in all the spellings that OpenAI takes, and what is said of all others."""

from __future__ import annotations

from typing import Any

import pytest

from api.openai_compat.errors import Unsupported
from api.openai_compat.input_items import read_items
from shared.errors import InvalidValue
from shared.store.turns import Said


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("Hi", [Said("Hi")]),
        ([{"role": "user", "content": "Hi"}], [Said("Hi")]),
        ([{"type": "message", "role": "system", "content": "Be brief"}], [Said("Be brief", "system")]),
        ([{"role": "developer", "content": "Be brief"}], [Said("Be brief", "system", {"role": "developer"})]),
        ([{"role": "user", "content": [{"type": "input_text", "text": "Hi"}]}], [Said("Hi")]),
        (
            [{"role": "user", "content": [{"type": "input_text", "text": "a"}, {"type": "text", "text": "b"}]}],
            [Said("a\nb")],
        ),
        (
            [
                {
                    "id": "msg_1",
                    "type": "message",
                    "role": "assistant",
                    "status": "completed",
                    "phase": None,
                    "content": [{"type": "output_text", "text": "Hello", "annotations": [], "logprobs": []}],
                },
                {"role": "user", "content": "And?"},
            ],
            [Said("Hello", "assistant"), Said("And?")],
        ),
        (
            [{"role": "assistant", "content": [{"type": "refusal", "refusal": "I will not."}]}],
            [Said("I will not.", "assistant")],
        ),
    ],
)
def test_messages_of_text_are_taken(given: Any, expected: list[Said]) -> None:
    assert read_items(given, pointer="#/input") == expected


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        (None, "#/input"),
        ([], "#/input"),
        (7, "#/input"),
        ({"role": "user"}, "#/input"),
        ("", "#/input"),
        (" \n", "#/input"),
        (["Hi"], "#/input/0"),
        ([{"role": "user", "content": "Hi"}, {"role": "king", "content": "Hi"}], "#/input/1/role"),
        ([{"content": "Hi"}], "#/input/0/role"),
        ([{"role": ["user"], "content": "Hi"}], "#/input/0/role"),
        ([{"role": "user"}], "#/input/0/content"),
        ([{"role": "user", "content": []}], "#/input/0/content"),
        ([{"role": "user", "content": ""}], "#/input/0/content"),
        ([{"role": "user", "content": ["Hi"]}], "#/input/0/content/0"),
        ([{"role": "user", "content": [{"type": "input_text"}]}], "#/input/0/content/0/text"),
        ([{"role": "user", "content": [{"type": ["a"], "text": "b"}]}], "#/input/0/content/0"),
        ([{"role": "user", "content": "Hi", "colour": "red"}], "#/input/0/colour"),
    ],
)
def test_what_is_malformed_is_named_by_its_place(given: Any, pointer: str) -> None:
    with pytest.raises(InvalidValue) as caught:
        read_items(given, pointer="#/input")
    assert caught.value.pointer == pointer
    assert not isinstance(caught.value, Unsupported)


@pytest.mark.parametrize(
    ("given", "pointer"),
    [
        ([{"type": "reasoning", "id": "rs_1", "summary": []}], "#/input/0/type"),
        ([{"type": "function_call_output", "call_id": "c", "output": "4"}], "#/input/0/type"),
        ([{"type": "item_reference", "id": "msg_1"}], "#/input/0/type"),
        ([{"type": {"a": 1}}], "#/input/0/type"),
        ([{"role": "user", "content": [{"type": "input_image", "image_url": "x"}]}], "#/input/0/content/0/type"),
        ([{"role": "user", "content": [{"type": "input_audio"}]}], "#/input/0/content/0/type"),
    ],
)
def test_what_is_not_text_is_refused_in_a_sentence(given: Any, pointer: str) -> None:
    with pytest.raises(Unsupported, match="not supported") as caught:
        read_items(given, pointer="#/input")
    assert caught.value.pointer == pointer


def test_a_text_is_as_long_as_the_server_allows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("api.openai_compat.input_items.get_settings", type("", (), {"max_content_chars": 3}))
    assert read_items("abc", pointer="#/input") == [Said("abc")]
    with pytest.raises(InvalidValue, match="at most 3"):
        read_items("abcd", pointer="#/input")
