"""Whatever a command reads from and writes to, it ends with a sentence and an exit code."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.fixtures.up import ROOT

COMMAND = f'PYTHONPATH="{ROOT}" "{sys.executable}" -P -m cli'


def run(line: str, **environment: str) -> tuple[int, bytes]:
    """The exit code of a line of shell, and what it wrote on standard error."""
    ended = subprocess.run(["/bin/sh", "-c", line], check=False, stderr=subprocess.PIPE, env=environment)
    return ended.returncode, ended.stderr


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="there is no full device here")
def test_a_full_disk_is_one_sentence() -> None:
    code, told = run(f"{COMMAND} --help > /dev/full")
    assert code == 1
    assert told.startswith(b"asyncchat: ")
    assert told.endswith(b"No space left on device\n")
    assert told.count(b"\n") == 1


def test_closed_streams_are_as_good_as_empty_ones() -> None:
    assert run(f"{COMMAND} --help >&-") == (0, b"")
    code, told = run(f"{COMMAND} ask <&- >&-")
    assert code == 2
    assert told.startswith(b"asyncchat: give a message")


def test_what_is_no_text_is_said_so_and_not_sent() -> None:
    """Nothing listens there; it is not even asked."""
    line = f"{COMMAND} ask --url http://127.0.0.1:9 "
    for rest in ("\"$(printf '\\377')\"", "Hi --model \"$(printf '\\377')\""):
        code, told = run(line + rest, LC_ALL="C.UTF-8")
        assert told.count(b"\n") == 1
        assert code in {1, 2}


def test_an_encoding_that_knows_few_characters_writes_question_marks() -> None:
    code, told = run(f"{COMMAND} ask --url 'n\u00f6' Hi", LC_ALL="C", PYTHONUTF8="0", PYTHONCOERCECLOCALE="0")
    assert code == 1
    assert told.count(b"\n") == 1
    assert told.isascii()
