"""The screen: Markdown that grows without flicker in a terminal, plain text anywhere else."""

from __future__ import annotations

import re
import sys
import time
from collections.abc import Iterable
from typing import IO, Any, Self

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.markdown import Markdown
from rich.rule import Rule
from rich.segment import Segment
from rich.text import Text

from cli.terminal.safe_text import safe, safe_line

# Faster is not seen, and every frame costs.
FRAME_SECONDS = 0.06
# A list or a quotation may go on behind a blank line; so may nothing at all, for now.
_MAY_GO_ON = frozenset({"", "\n", *" \t-*+>|0123456789"})
_FENCE = re.compile(r" {0,3}(`{3,}|~{3,})")


def markdown(text: str) -> RenderableType:
    """Markdown whose links show where they lead, instead of hiding it behind an escape sequence."""
    return Markdown(safe(text), hyperlinks=False)


def finished_part(text: str) -> int:
    """How many characters of a growing Markdown text will look the same whatever comes: whole blocks, up to a blank
    line that is in no fence of code, and behind which something begins that cannot belong to the block before.
    """
    finished, place, fence = 0, 0, ""
    for line in text.splitlines(keepends=True):
        place += len(line)
        if found := _FENCE.match(line):
            if not fence:
                fence = found[1]
            elif found[1].startswith(fence) and line.strip() == found[1]:
                fence = ""
        is_blank = not line.strip() and line.endswith("\n")
        if not fence and is_blank and text[place : place + 1] not in _MAY_GO_ON:
            finished = place
    return finished


class Screen:
    """What the person sees. All text is made safe here."""

    def __init__(self, output: IO[str] | None = None) -> None:
        self._console = Console(file=output or sys.stdout, highlight=False, markup=False, emoji=False, soft_wrap=False)
        self.is_terminal = self._console.is_terminal

    def say(self, text: str, *, style: str = "") -> None:
        """Some lines of ours."""
        self._console.print(Text(safe(text), style=style), soft_wrap=not self.is_terminal)

    def note(self, text: str) -> None:
        """A line beside the conversation."""
        self.say(text, style="dim")

    def offer(self, command: str) -> None:
        """A command to paste: without line breaks of ours."""
        self._console.print(Text(safe(command), style="dim"), soft_wrap=True)

    def warn(self, text: str) -> None:
        """A line that should be seen."""
        self.say(text, style="yellow")

    def show_said(self, content: str) -> None:
        """What the person said earlier."""
        self._console.print(Text("> " + safe(content).replace("\n", "\n  "), style="bold"))

    def show_answer(self, content: str) -> None:
        """What was answered earlier."""
        self._console.print(
            markdown(content) if self.is_terminal else Text(safe(content)), soft_wrap=not self.is_terminal
        )

    def table(self, rows: Iterable[tuple[str, ...]]) -> None:
        """Lines of columns."""
        listed = [tuple(safe_line(cell) for cell in row) for row in rows]
        widths = [max(map(len, column)) for column in zip(*listed, strict=True)]
        for row in listed:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True))
            self._console.print(Text(line.rstrip(), no_wrap=True, overflow="ellipsis"))

    def growing(self) -> Growing:
        """A place for an answer that is being made."""
        return Growing(self._console) if self.is_terminal else PlainGrowing(self._console)


class Growing:
    """An answer while it comes. Blocks that are finished are printed for good, so that they can be scrolled back to;
    only the last one is drawn anew, in one piece.
    """

    def __init__(self, console: Console) -> None:
        self._console = console
        self._printed = 0
        self._text = ""
        self._waiting = ""
        self._drawn_at = 0.0
        self._live = Live(console=console, auto_refresh=False, transient=True, vertical_overflow="crop")

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.update("", refresh=True)
        self._live.stop()
        self._print_rest()

    def wait(self, what_for: str) -> None:
        """Says what the answer waits for, until there is some of it."""
        self._waiting = safe_line(what_for)
        self._draw()

    def show(self, text: str) -> None:
        """The text so far."""
        self._text, self._waiting = text, ""
        if time.monotonic() - self._drawn_at >= FRAME_SECONDS:
            self._draw()

    def start_over(self) -> None:
        """Another try begins: what was shown does not count."""
        if self._printed:
            self._console.print(Rule("another try", style="dim"))
        self._text, self._printed = "", 0

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()
        rest = self._text[self._printed :]
        if finished := finished_part(rest):
            self._console.print(Group(markdown(rest[:finished]), Text("")))
            self._printed += finished
            rest = rest[finished:]
        shown: Any = markdown(rest) if rest.strip() else Text(self._waiting, style="dim")
        self._live.update(_Tail(Group(shown)), refresh=True)

    def _print_rest(self) -> None:
        rest = self._text[self._printed :]
        if rest.strip():
            self._console.print(markdown(rest))
        self._printed = len(self._text)


class PlainGrowing(Growing):
    """The same where nobody looks: the text once it is whole."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._print_rest()

    def _draw(self) -> None:
        self._drawn_at = time.monotonic()

    def start_over(self) -> None:
        """What was not printed need not be taken back."""
        self._text = ""

    def _print_rest(self) -> None:
        if self._text.strip():
            self._console.print(Text(safe(self._text)), soft_wrap=True)


class _Tail:
    """The last lines of something, as many as the terminal has, so that a long block is seen where it grows."""

    def __init__(self, inner: RenderableType) -> None:
        self._inner = inner

    def __rich_console__(self, console: Console, options: Any) -> Any:
        lines = console.render_lines(self._inner, options, pad=False)
        for number, line in enumerate(lines[-max(1, console.size.height - 1) :]):
            if number:
                yield Segment.line()
            yield from line
