"""The README's lines, pasted one by one, print what it shows."""

from __future__ import annotations

from tests.fixtures.pages import assert_commands_print_what_is_shown
from tests.fixtures.up import ROOT, StartUp


def test_each_command_prints_what_the_readme_shows(start_up: StartUp) -> None:
    up = start_up()
    up.wait_until_ready()
    assert_commands_print_what_is_shown(ROOT / "README.md", url=up.url)
