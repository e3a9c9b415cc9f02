"""`asyncchat bench`: the benchmarks of a checkout, which are no part of the package."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NoReturn

from cli.child_commands import child_python_path, python_module
from shared.errors import AsyncChatError

CHECKOUT = Path(__file__).resolve().parent.parent


class NoBenchmarksError(AsyncChatError):
    """They are not here. The message is one sentence that says where they are."""


def run_benchmarks(arguments: Sequence[str]) -> NoReturn:
    """Become `python -m bench` with these arguments.

    Raises:
        NoBenchmarksError: this is an installed package.
    """
    if not (CHECKOUT / "bench" / "frame.py").is_file():
        raise NoBenchmarksError(
            "the benchmarks are in the bench/ folder of the project's repository and no part of the package: run "
            "`make bench` in a checkout, where docs/performance.md tells what each of them measures"
        )
    command = python_module("bench", *arguments)
    os.environ["PYTHONPATH"] = child_python_path()
    sys.stdout.flush()
    os.execv(command[0], command)  # noqa: S606 - our own interpreter
