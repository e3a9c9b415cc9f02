"""`asyncchat bench`: the benchmarks of a checkout."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from bench.__main__ import NAMES
from cli import benchmarks
from cli.child_commands import child_python_path
from cli.main import main


def test_an_installed_package_says_where_the_benchmarks_are(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(benchmarks, "CHECKOUT", tmp_path)
    monkeypatch.setattr(sys, "argv", ["asyncchat", "bench", "accept", "--quick"])
    with pytest.raises(SystemExit) as caught:
        main()
    said = capsys.readouterr().err
    assert caught.value.code == 1
    assert said.startswith("asyncchat: the benchmarks are in the bench/ folder of the project's repository")
    assert said.count("\n") == 1


def test_in_a_checkout_it_hands_everything_on_to_the_benchmarks(tmp_path: Path) -> None:
    """From whatever folder."""
    command = [sys.executable, "-m", "cli", "bench", "--quick", "nothing"]
    said = subprocess.run(
        command, cwd=tmp_path, env={"PYTHONPATH": child_python_path()}, capture_output=True, text=True, check=False
    )
    assert said.returncode == 1
    assert "there is no benchmark 'nothing'" in said.stderr
    assert NAMES[0] in said.stderr
