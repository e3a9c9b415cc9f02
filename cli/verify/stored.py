"""What an installation has stored, read from its database or over HTTP: the judge does not care which."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any

from shared.reply_status import LIVE, ReplyStatus

Place = tuple[str, int]  # a conversation's id and a turn


@dataclass(frozen=True, slots=True)
class Message:
    """What was said."""

    id: str
    conversation_id: str
    turn: int
    role: str
    content: str
    reply_id: str | None


@dataclass(frozen=True, slots=True)
class Reply:
    """Where a reply stands. Instants are milliseconds."""

    id: str
    conversation_id: str
    turn: int
    candidate: int
    status: str
    model: str
    content: str
    selected: bool
    deadline_at: int
    finished_at: int | None = None
    error_code: str | None = None
    incomplete_reason: str | None = None

    @property
    def is_live(self) -> bool:
        return ReplyStatus(self.status) in LIVE


@dataclass(frozen=True, slots=True)
class Attempt:
    """One try at a reply. HTTP does not tell whose, and then the worker's id is empty."""

    reply_id: str
    attempt: int
    worker_id: str
    started_at: int
    ended_at: int | None
    outcome: str | None


@dataclass(frozen=True)
class Stored:
    """Messages are in the order in which they are shown."""

    messages: list[Message] = field(default_factory=list)
    replies: list[Reply] = field(default_factory=list)
    attempts: list[Attempt] = field(default_factory=list)

    @cached_property
    def messages_of(self) -> dict[str, list[Message]]:
        """By conversation."""
        found: defaultdict[str, list[Message]] = defaultdict(list)
        for message in self.messages:
            found[message.conversation_id].append(message)
        return found

    @cached_property
    def replies_of(self) -> dict[Place, list[Reply]]:
        """By turn."""
        found: defaultdict[Place, list[Reply]] = defaultdict(list)
        for reply in self.replies:
            found[reply.conversation_id, reply.turn].append(reply)
        return found

    @cached_property
    def attempts_of(self) -> dict[str, list[Attempt]]:
        """By reply, in order."""
        found: defaultdict[str, list[Attempt]] = defaultdict(list)
        for attempt in self.attempts:
            found[attempt.reply_id].append(attempt)
        return found

    @cached_property
    def reply(self) -> dict[str, Reply]:
        """By id."""
        return {reply.id: reply for reply in self.replies}


def message_of_json(shown: dict[str, Any]) -> Message:
    """A message as the API shows it."""
    return Message(**{name: shown[name] for name in ("id", "conversation_id", "turn", "role", "content", "reply_id")})


def reply_of_json(shown: dict[str, Any]) -> Reply:
    """A reply as the API shows it."""
    same = ("id", "conversation_id", "turn", "candidate", "status", "model", "content", "selected", "incomplete_reason")
    return Reply(
        **{name: shown[name] for name in same},
        deadline_at=_milliseconds(shown["deadline_at"]),
        finished_at=_milliseconds(shown["finished_at"]) if shown["finished_at"] else None,
        error_code=shown["error"]["code"] if shown["error"] else None,
    )


def _milliseconds(instant: str) -> int:
    return round(datetime.fromisoformat(instant).timestamp() * 1000)
