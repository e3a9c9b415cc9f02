"""What a person types: a line with editing and history, or several that end with a backslash."""

from __future__ import annotations

import contextlib
import sys
import termios
from collections.abc import Iterator

_PROMPT, _GOES_ON = "> ", ". "


class Line:
    """Reads from standard input. Where that is no terminal, each line of it is a message."""

    def __init__(self, *, is_terminal: bool) -> None:
        self._is_terminal = is_terminal
        if is_terminal:
            try:
                import readline  # Makes `input` edit, for as long as it is imported.

                # What is pasted is one message, however many lines it has.
                readline.parse_and_bind("set enable-bracketed-paste on")
            except ImportError:
                pass

    def read(self) -> str | None:
        """What was typed, without white space around it; None at the end. Ctrl-C throws the line away."""
        parts: list[str] = []
        while True:
            try:
                part = self._read_one(_GOES_ON if parts else _PROMPT)
            except KeyboardInterrupt:
                print()
                parts = []
                continue
            if part is None:
                return "\n".join(parts).strip() if parts else None
            if not part.endswith("\\"):
                return "\n".join([*parts, part]).strip()
            parts.append(part[:-1])

    def _read_one(self, prompt: str) -> str | None:
        if not self._is_terminal:
            line = sys.stdin.readline()
            return line.rstrip("\n") if line else None
        try:
            return input(prompt)
        except EOFError:
            print()
            return None


@contextlib.contextmanager
def keyboard_is_silent() -> Iterator[None]:
    """While something is drawn: what is typed waits for the next line, and Ctrl-C writes and drops nothing."""
    if not sys.stdin.isatty():
        yield
        return
    keyboard = sys.stdin.fileno()
    before = termios.tcgetattr(keyboard)
    silent = [*before]
    silent[3] = (silent[3] & ~termios.ECHO) | termios.NOFLSH
    termios.tcsetattr(keyboard, termios.TCSADRAIN, silent)
    try:
        yield
    finally:
        termios.tcsetattr(keyboard, termios.TCSADRAIN, before)
