"""`curl -N` shows words as they come, straight and through nginx."""

from __future__ import annotations

import itertools
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.wire.asking import Asking

SECONDS = 60
LONG_MODEL = "demo-15000ms"
SOME = 3


@contextmanager
def curl(*arguments: str) -> Iterator[Iterator[str]]:
    """The lines it shows, when it shows them."""
    command = ["curl", "-N", "--silent", "--show-error", "--fail", "--max-time", str(SECONDS), *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        try:
            yield iter(process.stdout)
        finally:
            process.kill()


def shows_words_as_they_come(url: str, ask: Asking) -> None:
    """Long before the last one, some are there: the answer is to be a long one, and nobody waits for its end."""
    asked = ask(LONG_MODEL)
    with curl(url + asked.events) as lines:
        words = (line for line in lines if line == "event: reply.delta\n")
        assert len(list(itertools.islice(words, SOME))) == SOME
        assert asked.stored()["status"] == "in_progress"


def test_words_are_shown_as_they_come(url: str, ask: Asking) -> None:
    shows_words_as_they_come(url, ask)


def test_a_conversation_can_be_watched(url: str, ask: Asking) -> None:
    asked = ask("demo-fast")
    with curl(f"{url}/conversations/{asked.conversation_id}/events/") as lines:
        assert next(lines) == "event: snapshot\n"
        # Perhaps the first is answered by now.
        ask.once_more(asked)
        assert "event: reply.completed\n" in lines
