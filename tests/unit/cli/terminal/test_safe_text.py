"""What a terminal may see of a text."""

from __future__ import annotations

import io

import pytest

from cli.terminal.safe_text import safe, safe_line
from cli.terminal.screen import Screen, finished_part


@pytest.mark.parametrize(
    "hostile",
    [
        "\x1b[2J\x1b[1;1H",
        "\x1b]0;title\x07",
        "\x1b]8;;http://evil\x1b\\",
        "\x9b31m",
        "\x90q\x9c",
        "a\rb",
        "\x08\x7f",
        "\u202eabc",
    ],
)
def test_no_control_character_gets_through(hostile: str) -> None:
    assert not set(safe(f"Hello {hostile}!")) & {*map(chr, range(10)), "\r", "\x1b", "\x7f", "\x9b", "\x90", "\u202e"}
    kept = "Tab\tand\nlines, ümläuts, 数据库 and 🎉 stay"
    assert safe(kept) == kept
    assert "\n" not in safe_line("a\nb")


@pytest.mark.parametrize("show", ["show_answer", "show_said", "say", "warn", "note"])
def test_nothing_that_the_screen_shows_brings_escape_sequences_of_its_own(show: str) -> None:
    output = io.StringIO()
    getattr(Screen(output), show)("# A\x1b[31m [link](http://x\x1b]8;;y) `\x9b1m` [bold]b[/bold] :smile:")
    assert not set(output.getvalue()) & {"\x1b", "\x9b"}
    assert "[bold]b[/bold]" in output.getvalue()


@pytest.mark.parametrize(
    ("text", "finished"),
    [
        ("One\n\nTwo", "One\n\n"),
        ("One\n\n", ""),
        ("One\nTwo", ""),
        ("One\n\nTwo\n\nThree", "One\n\nTwo\n\n"),
        ("```\na\n\nb", ""),
        ("```py\na\n\n```\n\nAfter", "```py\na\n\n```\n\n"),
        ("~~~\n```\n\n~~~\n\nAfter", "~~~\n```\n\n~~~\n\n"),
        ("- a\n\n- b", ""),
        ("- a\n\n- b\n\nAfter", "- a\n\n- b\n\n"),
        ("Text\n\n    code", ""),
    ],
)
def test_a_block_is_finished_when_nothing_can_change_it_any_more(text: str, finished: str) -> None:
    assert text[: finished_part(text)] == finished
