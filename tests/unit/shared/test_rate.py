"""Rates as settings write them."""

from __future__ import annotations

import pytest

from shared.errors import SettingsError
from shared.rate import Rate
from shared.settings import get_settings


@pytest.mark.parametrize(
    ("written", "rate"),
    [
        ("10/second", Rate(10, 1)),
        (" 600 / Minute ", Rate(600, 60)),
        ("1/hour", Rate(1, 3600)),
        ("7/day", Rate(7, 86_400)),
    ],
)
def test_a_rate_is_a_number_and_a_while(written: str, rate: Rate) -> None:
    assert Rate.parse(written) == rate


@pytest.mark.parametrize("written", ["", "10", "0/minute", "-1/minute", "1.5/second", "10/fortnight", "10/", "/minute"])
def test_anything_else_is_refused_with_examples(written: str) -> None:
    with pytest.raises(ValueError, match="600/minute"):
        Rate.parse(written)


def test_a_wrong_setting_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCHAT_WRITE_RATE", "often")
    with pytest.raises(SettingsError, match="ASYNCCHAT_WRITE_RATE: must be a number and a while"):
        get_settings()
