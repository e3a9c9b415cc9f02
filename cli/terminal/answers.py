"""What becomes of the replies of a turn, as a stream tells it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from cli.terminal.server import Event

_LIVE = frozenset({"queued", "in_progress"})


@dataclass(slots=True)
class Answer:
    """One reply: what it has said, and what it is now. `dropped` counts the texts that another try did away with."""

    reply: dict[str, Any]
    text: str = ""
    dropped: int = 0

    @property
    def id(self) -> str:
        """The reply's id."""
        return str(self.reply["id"])

    @property
    def is_live(self) -> bool:
        """Whether it is still to end."""
        return self.reply["status"] in _LIVE

    def is_shown_as(self, text: str) -> None:
        """This is its text, whatever was told before."""
        if not text.startswith(self.text):
            self.dropped += 1
        self.text = text


@dataclass(slots=True)
class Answers:
    """The replies that are followed, by their ids."""

    by_id: dict[str, Answer] = field(default_factory=dict)

    @classmethod
    def of(cls, replies: Iterable[Mapping[str, Any]]) -> Answers:
        """Those of a turn as it was accepted."""
        return cls({reply["id"]: Answer(dict(reply)) for reply in replies})

    @property
    def all(self) -> list[Answer]:
        """In the order of their candidates."""
        return sorted(self.by_id.values(), key=lambda answer: int(answer.reply["candidate"]))

    @property
    def live(self) -> list[Answer]:
        """Those that are still to end."""
        return [answer for answer in self.all if answer.is_live]

    def know(self, reply: Mapping[str, Any]) -> None:
        """Notes a whole reply, as an end, a snapshot or an answer shows it."""
        answer = self.by_id.setdefault(reply["id"], Answer(dict(reply)))
        answer.reply = dict(reply)
        answer.is_shown_as(reply["content"])

    def take(self, event: Event) -> None:
        """Notes what an event tells."""
        data = event.data
        if "reply" in data:
            self.know(data["reply"])
            return
        found = self.by_id.get(data.get("reply_id", ""))
        if found is None:
            return
        if event.kind == "reply.delta":
            found.text += data["text"]
        elif event.kind == "reply.restarted":
            found.is_shown_as("")
        elif event.kind == "reply.started":
            found.reply["status"] = "in_progress"
        elif event.kind == "reply.queued":
            found.reply["status"] = "queued"


def failure_of(reply: Mapping[str, Any]) -> str | None:
    """Why a reply that has ended is not whole, in a sentence; None if it is."""
    if reply["status"] == "failed":
        error = reply["error"]
        again = " Trying again may help." if error["retryable"] else ""
        return f"No answer ({error['code']}): {error['message']}{again}"
    if reply["status"] == "cancelled":
        return "Stopped."
    if reply["status"] == "incomplete":
        return f"The answer is not complete ({reply['incomplete_reason']})."
    return None
