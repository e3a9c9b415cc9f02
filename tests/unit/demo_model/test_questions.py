"""What is recognised in a person's words."""

import time

import pytest

from demo_model.questions import asked_sum, introduced_name, readable


@pytest.mark.parametrize(
    ("text", "name"),
    [
        ("Hello, I am Ada", "Ada"),
        ("my name is ada", "Ada"),
        ("My name's Ada.", "Ada"),
        ("Please call me Ada!", "Ada"),
        ("I'm Ada Lovelace and I count", "Ada Lovelace"),
        ("I\u2019m Zoë O\u2019Brien-Smith", "Zoë O'Brien-Smith"),
        ("I am 明子", "明子"),
        ("My name is Ада", "Ада"),
    ],
)
def test_a_name_is_heard(text: str, name: str) -> None:
    assert introduced_name(text) == name


@pytest.mark.parametrize(
    "text",
    [
        "I am tired",
        "I AM TIRED",
        "I'm not Bob",
        "I'm OK",
        "call me later",
        "my name is not important",
        "What is my name?",
        "Ada is a language",
        "Miriam Adams",
        "",
    ],
)
def test_other_words_are_no_name(text: str) -> None:
    assert introduced_name(text) is None


def test_a_name_has_a_bounded_length() -> None:
    assert introduced_name("call me " + "A" * 5000) == "A" * 40


@pytest.mark.parametrize(
    ("text", "expression"),
    [
        ("What is 12 * 7?", "12 * 7"),
        ("12*7", "12*7"),
        ("12 * 7 = ?", "12 * 7"),
        ("Hello! How much is (2 + 3) * 4, please?", "(2 + 3) * 4"),
        ("what's 6 times 7", "6 * 7"),
        ("compute 9 divided by 3.", "9 / 3"),
        ("what is 1,000 x 3?", "1000 * 3"),
        ("what is 8 \u00d7 2 \u2212 6 \u00f7 3", "8 * 2 - 6 / 3"),
        ("And 3 + 4?", "3 + 4"),
        ("2 ** 99", "2 ** 99"),
    ],
)
def test_a_sum_is_found(text: str, expression: str) -> None:
    assert asked_sum(text) == expression


@pytest.mark.parametrize(
    "text",
    ["open 24/7", "on 2024-01-02 I left", "call 555-1234", "Ada and 555-1234", "what is love?", "42", "what is 7?"],
)
def test_numbers_in_passing_are_no_sum(text: str) -> None:
    assert asked_sum(text) is None


@pytest.mark.parametrize("piece", ["what is ", "I am A", "call me ", "(1+", "1 ", " ", "'", "my name is my name is "])
def test_long_hostile_text_is_read_quickly(piece: str) -> None:
    text = readable(piece * 100_000)
    started = time.process_time()
    introduced_name(text)
    asked_sum(text)
    assert time.process_time() - started < 0.5
