"""API keys: what they look like, and what is kept of them."""

from __future__ import annotations

from shared.api_keys import digest_of, is_same, new_key, prefix_of


def test_a_key_is_found_by_its_prefix_and_known_by_its_digest() -> None:
    key = new_key("pepper")
    assert prefix_of(key.text) == key.prefix
    assert is_same(key.text, key.digest, "pepper")
    assert key.text not in key.digest
    assert len(key.digest) == 64


def test_no_two_are_the_same_and_none_is_good_with_another_pepper() -> None:
    first, second = new_key(""), new_key("")
    assert first.text != second.text
    assert not is_same(second.text, first.digest, "")
    assert not is_same(first.text, first.digest, "salt")
    assert not is_same(first.text, None, "")


def test_what_is_no_key_has_no_prefix() -> None:
    good = new_key("").text
    for text in (
        "",
        "ak_",
        good[:-1],
        good + "a",
        good.replace("ak_", "sk_"),
        good.upper(),
        good[:-1] + "é",
        "a" * 9999,
    ):
        assert prefix_of(text) is None
        assert not is_same(text, digest_of(good, ""), "")
