"""Text as searching compares it."""

from __future__ import annotations

import unicodedata

import pytest

from shared.search_text import (
    BEFORE_CHARS,
    MAX_GRAMS,
    SNIPPET_CHARS,
    composed,
    fold,
    grams_to_ask,
    has_all,
    numbers_of,
    snippet,
    trigrams,
    words_of,
)


@pytest.mark.parametrize(
    ("text", "query"),
    [
        ("Grüße aus Köln", "GRÜSSE"[:3]),
        ("Grüße aus Köln", "KÖLN"),
        (unicodedata.normalize("NFD", "Köln"), "köln"),
        ("ΟΔΟΣ", "οδός"[:2]),
        ("ΟΔΟΣ", "οδος"),
        ("数据库很快", "据库"),
        ("İstanbul", "stanbul"),
        ('say "no" AND (go) -- 100% _', '"no" (go) 100% _'),
    ],
)
def test_what_differs_in_case_or_in_how_it_is_composed_is_the_same(text: str, query: str) -> None:
    assert has_all(fold(text), words_of(query))


@pytest.mark.parametrize("text", ["", "abc", "İİİ", "ẞ", "e\u0301", "数据库", "👩‍👩‍👧", "\ufb01"])
def test_folding_keeps_every_place_where_it_was(text: str) -> None:
    assert len(fold(text)) == len(composed(text))
    assert fold(fold(text)) == fold(text)


def test_words_are_told_apart_by_white_space_and_named_once() -> None:
    assert words_of("  Rust\tasync\u3000RUST \n") == ["rust", "async"]
    assert words_of(" \n ") == []


def test_short_words_have_no_trigrams_and_many_are_thinned_out() -> None:
    assert grams_to_ask(["ab", "c"]) == []
    assert grams_to_ask(["abcd", "ab", "bcd"]) == ["abc", "bcd"]
    many = grams_to_ask(["".join(map(chr, range(200, 400)))])
    assert MAX_GRAMS / 2 < len(many) <= MAX_GRAMS


def test_trigrams_as_numbers_fit_four_bytes() -> None:
    numbers = numbers_of(trigrams("the quick brown fox jumps over 数据库"))
    assert all(-(2**31) <= number < 2**31 for number in numbers)
    assert min(numbers) < 0 < max(numbers)


def test_a_snippet_is_a_line_around_what_was_found() -> None:
    text = "x" * 300 + "\n\n Here is   KÖLN, my town. " + "y" * 300
    line = snippet(text, ["köln"])
    assert "Here is KÖLN, my town." in line
    assert line[0] == line[-1] == "…"
    assert len(line) <= SNIPPET_CHARS + 2
    assert line.index("KÖLN") <= BEFORE_CHARS + 1
    assert snippet("Short.", ["short"]) == "Short."
