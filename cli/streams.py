"""Standard input, output and error of a command: closed, full, or with an encoding that knows few characters."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TextIO, cast


def make_usable() -> None:
    """One that is closed gives nothing and takes all. What an encoding cannot write becomes a question mark; what it
    cannot read is kept aside, see `cli.terminal.safe_text.as_typed`.
    """
    for name, mode in (("stdin", "r"), ("stdout", "w"), ("stderr", "w")):
        if getattr(sys, name) is None:
            setattr(sys, name, Path(os.devnull).open(mode, encoding="utf-8"))  # noqa: SIM115 - for as long as it runs
    for stream, errors in ((sys.stdin, "surrogateescape"), (sys.stdout, "replace"), (sys.stderr, "replace")):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=errors)


def flush() -> str | None:
    """Writes what is left of the output; None if all of it could be written, or else why not.

    A reader that has gone is no reason. Afterwards the interpreter finds nothing to complain of when it ends.
    """
    output = cast(TextIO, sys.stdout)
    try:
        output.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
        return "" if isinstance(error, BrokenPipeError) else f"cannot write the output: {error.strerror}"
    return None
