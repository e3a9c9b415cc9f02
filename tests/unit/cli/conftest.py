"""Scratch programs for the tests of the command line."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from cli.child_process import Program
from tests.unit.cli.processes import MakeProgram


@pytest.fixture
def make_program(tmp_path: Path) -> MakeProgram:
    """Makes a program from Python source; it runs with the test's folder as FOLDER in its environment."""

    def make(source: str, *, name: str = "child", stage: int = 0) -> Program:
        environment = {**os.environ, "FOLDER": str(tmp_path)}
        return Program(name, (sys.executable, "-S", "-c", source), environment, tmp_path / f"{name}.log", stage)

    return make
