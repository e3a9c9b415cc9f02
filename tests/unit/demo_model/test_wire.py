"""The bytes of an answer."""

import json
from typing import Any

import pytest

from demo_model.wire import Choice, Completion, split_tokens


def completion(*choices: Choice, include_usage: bool = False) -> Completion:
    return Completion(
        number=1, model='demo "quoted"', choices=choices, prompt_tokens=4, stream=True, include_usage=include_usage
    )


def events(raw: bytes) -> list[dict[str, Any]]:
    return [
        json.loads(line.removeprefix("data: ")) for line in raw.decode().split("\n\n") if line[6:] not in ("", "[DONE]")
    ]


@pytest.mark.parametrize(
    "text",
    ["", "one", "two words", "  spaces  around\n", "我爱北京天安门" * 20, "\ud800 lone", "a" * 100, "🦄 " * 5, "\t"],
)
def test_tokens_joined_are_the_text(text: str) -> None:
    assert "".join(split_tokens(text)) == text


def test_text_without_spaces_is_several_tokens() -> None:
    assert len(split_tokens("字" * 40)) == 3


@pytest.mark.parametrize("token", ["plain", 'quote " and \\', "new\nline", "snow ☃", "\ud800", "\u2028"])
def test_a_token_travels_unchanged_on_one_line(token: str) -> None:
    raw = completion(Choice([token], "stop")).events().tokens(0)
    assert raw.count(b"\n") == 2
    (event,) = events(raw)
    assert event["choices"][0]["delta"] == {"content": token}
    assert event["model"] == 'demo "quoted"'


def test_choices_are_interleaved_and_shorter_ones_fall_silent() -> None:
    writer = completion(Choice(["a", "b"], "stop"), Choice(["c"], "length")).events()
    assert [event["choices"][0]["index"] for event in events(writer.tokens(0))] == [0, 1]
    assert [event["choices"][0]["index"] for event in events(writer.tokens(1))] == [0]
    assert [event["choices"][0]["finish_reason"] for event in events(writer.closing())] == ["stop", "length"]


def test_usage_comes_last_and_only_when_asked_for() -> None:
    choice = Choice(["a", "b"], "stop")
    *_, end = events(completion(choice, include_usage=True).events().closing())
    assert (end["choices"], end["usage"]) == ([], {"prompt_tokens": 4, "completion_tokens": 2, "total_tokens": 6})
    assert b"usage" not in completion(choice).events().closing()
