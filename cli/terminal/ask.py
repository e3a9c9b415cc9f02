"""`asyncchat ask`: one question from a script or a shell, and its answer."""

from __future__ import annotations

import contextlib
import sys
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

import click
import orjson

from cli.terminal.answers import Answers, failure_of
from cli.terminal.safe_text import as_typed, safe
from cli.terminal.server import Server, ServerError, TimeIsUp

COMPLETED, FAILED, STILL_RUNNING = 0, 1, 3


@dataclass(frozen=True, slots=True)
class AskOptions:
    """What is asked, of whom, and how long to wait. Without `wait_seconds` until it has ended."""

    message: str | None
    url: str
    key: str | None
    conversation: str | None
    model: str | None
    n: int
    wait_seconds: float | None
    as_json: bool


def run_ask(options: AskOptions) -> int:
    """Asks, prints, and returns the exit code."""
    content = _content(options.message)
    until = None if options.wait_seconds is None else time.monotonic() + options.wait_seconds
    with Server(options.url, options.key, on_trouble=_tell_trouble) as server:
        turn = _asked(server, options, content)
        answers = Answers.of(turn["replies"])
        path = f"/conversations/{turn['conversation_id']}/turns/{turn['turn']}/"
        shown = _Shown(server.url, is_live=options.n == 1 and not options.as_json and sys.stdout.isatty())
        try:
            if options.wait_seconds != 0:
                for event in server.follow(f"{path}events/").events(until=until):
                    answers.take(event)
                    shown.show(answers)
        except TimeIsUp:
            pass
        except KeyboardInterrupt:
            for answer in answers.live:
                with contextlib.suppress(ServerError):
                    server.post(f"/replies/{answer.id}/cancel/")
            raise
        turn = server.get(path)
        if options.as_json:
            _print(orjson.dumps(turn, option=orjson.OPT_INDENT_2).decode())
        else:
            shown.end(turn["replies"])
        return _exit_code(turn["replies"])


def _content(message: str | None) -> str:
    """The message, and what comes on standard input behind it.

    Raises:
        click.UsageError: there is neither.
    """
    piped = "" if sys.stdin.isatty() else _read_stdin()
    content = "\n\n".join(part for part in (as_typed(message or "").strip(), piped.strip()) if part)
    if not content:
        raise click.UsageError("give a message, as an argument or on standard input")
    return content


def _read_stdin() -> str:
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError:
        raise click.UsageError("standard input is not text in UTF-8") from None


def _asked(server: Server, options: AskOptions, content: str) -> Any:
    body = {"content": content, "n": options.n, **({"model": options.model} if options.model else {})}
    if options.conversation is None:
        return server.post("/conversations/", {"message": body})["turn"]
    return server.post(f"/conversations/{quote(options.conversation, safe='')}/ask-message/", body)


class _Shown:
    """What has been printed. `is_live` prints a text while it comes, for somebody who looks at it."""

    def __init__(self, url: str, *, is_live: bool) -> None:
        self._url = url
        self._is_live = is_live
        self._text = ""
        self._dropped = 0

    def show(self, answers: Answers) -> None:
        """Prints what is new."""
        if not self._is_live:
            return
        (answer,) = answers.all
        if answer.dropped != self._dropped:
            self._dropped = answer.dropped
            if self._text:
                _print("\n(another try begins)\n")
            self._text = ""
        _print(safe(answer.text[len(self._text) :]), end="")
        self._text = answer.text

    def end(self, replies: list[dict[str, Any]]) -> None:
        """Prints what is left: the texts, and on standard error what was not to be."""
        for number, reply in enumerate(replies, start=1):
            if reply["status"] in {"queued", "in_progress"}:
                if self._text:
                    _print("")
                _print(reply["id"])
                _note(f"not there yet, and being made: {self._url}{reply['url']}?wait=20")
                continue
            if len(replies) > 1:
                _print(f"{'' if number == 1 else chr(10)}--- {number} of {len(replies)} ---")
            if reply["content"]:
                _print("" if self._text == reply["content"] else safe(reply["content"]))
            if why := failure_of(reply):
                _note(safe(why))


def _exit_code(replies: list[dict[str, Any]]) -> int:
    statuses = {reply["status"] for reply in replies}
    if statuses & {"queued", "in_progress"}:
        return STILL_RUNNING
    return COMPLETED if statuses == {"completed"} else FAILED


def _print(text: str, *, end: str = "\n") -> None:
    if text or end:
        print(text, end=end, flush=True)


def _note(sentence: str) -> None:
    print(f"asyncchat: {sentence}", file=sys.stderr, flush=True)


def _tell_trouble(sentence: str | None) -> None:
    if sentence:
        _note(sentence)
