"""Text as searching compares it: folded, in words, and as the trigrams that the index is made of."""

from __future__ import annotations

import unicodedata
import zlib
from collections.abc import Iterable, Sequence

# What an index is asked for at once. More would narrow nothing further: the text itself is compared anyway.
MAX_GRAMS = 24
GRAM_CHARS = 3
# A snippet has so much before what was found, and so much in all.
BEFORE_CHARS = 40
SNIPPET_CHARS = 160
# Which of them `lower` gives depends on what follows.
_LAST_SIGMA, _SIGMA = "\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}"


def composed(text: str) -> str:
    """Characters that look alike made alike: an umlaut is one character, not a letter and two dots."""
    return unicodedata.normalize("NFC", text)


def fold(text: str) -> str:
    """The text without the difference of cases, character for character as long as `composed` has it."""
    plain = composed(text)
    folded = plain.lower()
    if len(folded) != len(plain):  # A few capitals have small letters of two characters.
        folded = "".join(small if len(small := each.lower()) == 1 else each for each in plain)
    return folded.replace(_LAST_SIGMA, _SIGMA)


def words_of(query: str) -> list[str]:
    """The folded words of a query, each once. All of them must be in a text, wherever they are."""
    return list(dict.fromkeys(fold(query).split()))


def trigrams(text: str) -> list[str]:
    """Every three characters in a row, each once."""
    return list(dict.fromkeys(text[start : start + GRAM_CHARS] for start in range(len(text) - GRAM_CHARS + 1)))


def grams_to_ask(words: Iterable[str]) -> list[str]:
    """What the index is asked for: the trigrams of the words, thinned out evenly where there are many. Empty if all
    words are shorter than that.
    """
    found = list(dict.fromkeys(gram for word in words for gram in trigrams(word)))
    step = -(-len(found) // MAX_GRAMS) or 1
    return found[::step]


def numbers_of(grams: Iterable[str]) -> list[int]:
    """The trigrams as signed numbers of four bytes. Two may share one: what an index finds is compared again."""
    return [number - 2**32 if (number := zlib.crc32(gram.encode())) >= 2**31 else number for gram in grams]


def has_all(folded: str, words: Iterable[str]) -> bool:
    """Whether all words are in the folded text."""
    return all(word in folded for word in words)


def snippet(text: str, words: Sequence[str]) -> str:
    """A line of the text around the first place where one of the words stands."""
    shown = composed(text)
    folded = fold(text)
    places = [place for word in words if (place := folded.find(word)) >= 0]
    begin = max(0, min(places, default=0) - BEFORE_CHARS)
    end = begin + SNIPPET_CHARS
    line = " ".join(shown[begin:end].split())
    return f"{'…' if begin else ''}{line}{'…' if end < len(shown) else ''}"
