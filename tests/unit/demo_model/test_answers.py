"""What the demo model says."""

from itertools import pairwise
from pathlib import Path

import pytest

import demo_model
from demo_model.answers import LABEL, answer, ordinal

README = Path(demo_model.__file__).with_name("README.md")


def talk(*messages: str) -> list[str]:
    return [answer(messages[: turn + 1]) for turn in range(len(messages))]


def test_the_conversation_in_the_readme_is_a_real_one() -> None:
    lines = README.read_text().splitlines()
    spoken = [
        (you.removeprefix("you:").strip(), demo.removeprefix("demo:").strip())
        for you, demo in pairwise(lines)
        if you.startswith("you:")
    ]
    assert len(spoken) == 4
    assert talk(*(you for you, _ in spoken)) == [demo for _, demo in spoken]


@pytest.mark.parametrize(
    "first",
    [
        "Hello",
        "Hello, I am Ada",
        "What is 12 * 7?",
        "1/0",
        "who are you?",
        "help",
        "thanks",
        "bye",
        "Tell me a story",
        "",
    ],
)
def test_the_first_answer_says_that_this_is_a_demo_and_how_to_leave_it(first: str) -> None:
    said = answer([first])
    assert said.count(LABEL) == 1
    assert "OPENAI_API_KEY" in LABEL


def test_the_label_is_not_repeated() -> None:
    first, *later = talk("Hello", "What is 1 + 1?", "Thanks", "Tell me a story", "Bye")
    assert LABEL in first
    assert not any(LABEL in said for said in later)


def test_the_latest_name_is_remembered() -> None:
    *_, said = talk("I am Ada", "Tell me a story", "Call me Grace", "What is my name?")
    assert said == "Your name is Grace. This is our fourth exchange."


def test_an_unknown_name_is_admitted() -> None:
    assert "not told me your name" in answer(["What is my name?"])


def test_the_exchanges_are_counted() -> None:
    *_, said = talk("Hi", "Hi", "Hi", "How many messages was that?")
    assert said == "This is our fourth exchange."


def test_the_previous_message_can_be_asked_for() -> None:
    assert talk("I like tea", "What did I say?")[1] == 'Before this you said: "I like tea"'


def test_powers_are_refused_in_words() -> None:
    assert talk("Hi", "what is 9 ** 9 ** 9?")[1].startswith("Powers are beyond me")


@pytest.mark.parametrize(
    "text", ["Tell me about the sea", "Why is the sky blue?", "¿Por qué?", "为什么\uff1f", "🦄🦄", "لماذا؟"]
)
def test_other_words_come_back_in_the_answer(text: str) -> None:
    assert f'"{text}"' in answer([text])


def test_long_words_come_back_shortened() -> None:
    assert len(answer(["word " * 10_000])) < 300


@pytest.mark.parametrize("text", ["\x00", "\ud800", "\u202e reversed", "a\u0301" * 3000, "\n\n\n", '"', "{}", "%s"])
def test_strange_text_is_answered(text: str) -> None:
    assert answer([text])
    assert answer([text] * 3) == answer([text] * 3)


def test_no_user_message_at_all_is_answered() -> None:
    assert LABEL in answer([])


def test_candidates_differ_and_are_always_the_same() -> None:
    candidates = [answer(["Hello"], candidate=index) for index in range(8)]
    assert len(set(candidates)) == 8
    assert candidates == [answer(["Hello"], candidate=index) for index in range(8)]


@pytest.mark.parametrize(
    ("number", "word"),
    [(1, "first"), (10, "tenth"), (11, "11th"), (12, "12th"), (21, "21st"), (112, "112th"), (103, "103rd")],
)
def test_ordinals(number: int, word: str) -> None:
    assert ordinal(number) == word
