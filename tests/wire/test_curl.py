"""`curl -N` shows words as they come, straight and through nginx."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager

from tests.wire.asking import Asked, Asking

SECONDS = 60


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


def shows_words_as_they_come(url: str, asked: Asked) -> None:
    """Long before the last one, the first one is there."""
    with curl(url + asked.events) as lines:
        first = last = 0.0
        for line in lines:
            if line == "event: reply.delta\n":
                if not first:
                    first = time.monotonic()
                    assert asked.stored()["status"] == "in_progress"
                last = time.monotonic()
    assert first, "it showed no word"
    assert last - first > 1


def test_words_are_shown_as_they_come(url: str, ask: Asking) -> None:
    shows_words_as_they_come(url, ask("demo-3000ms"))


def test_a_conversation_can_be_watched(url: str, ask: Asking) -> None:
    asked = ask("demo-1000ms")
    with curl(f"{url}/conversations/{asked.conversation_id}/events/") as lines:
        assert next(lines) == "event: snapshot\n"
        assert "event: reply.completed\n" in lines
