"""A command in a sentence can be pasted."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.invocation import to_type


@pytest.mark.parametrize(
    ("called", "path", "shown"),
    [
        (".venv/bin/asyncchat", "", ".venv/bin/asyncchat"),
        (".venv/bin/asyncchat", ".venv/bin", "asyncchat"),
        (".venv/bin/asyncchat", "elsewhere", ".venv/bin/asyncchat"),
        ("cli/__main__.py", ".venv/bin", "asyncchat"),
    ],
)
def test_it_is_called_again_as_it_was_unless_its_name_is_enough(
    called: str, path: str, shown: str, *, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for folder in (".venv/bin", "elsewhere"):
        there = tmp_path / folder / "asyncchat"
        there.parent.mkdir(parents=True)
        there.touch(mode=0o755)
    monkeypatch.setenv("PATH", str(tmp_path / path) if path else "")
    monkeypatch.setattr("sys.argv", [called])
    assert to_type() == shown
