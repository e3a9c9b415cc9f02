"""What the clients of one run asked and were answered. The judge compares it with what is stored."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from shared.reply_status import LIVE, ReplyStatus

ENQUEUE, REJECT, INTERRUPT = "enqueue", "reject", "interrupt"


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a 2xx answer to an ask said was stored."""

    conversation_id: str
    turn: int
    message_id: str
    reply_ids: frozenset[str]


@dataclass(slots=True)
class Ask:
    """One thing said by one client, under one Idempotency-Key, however often it was sent.

    `content` is of this ask alone. Times are of the client's monotonic clock.
    """

    key: str
    content: str
    model: str
    n: int = 1
    on_busy: str = ENQUEUE
    on_crash: str = "restart"
    conversation_id: str | None = None
    sent_at: float = 0.0
    accepted_at: float | None = None
    accepted: set[Accepted] = field(default_factory=set)
    refusals: list[int] = field(default_factory=list)

    @property
    def place(self) -> tuple[str, int] | None:
        """Its conversation and turn, once it was accepted."""
        for each in self.accepted:
            return each.conversation_id, each.turn
        return None


@dataclass(slots=True)
class Regeneration:
    """One more candidate that was asked for under one key."""

    key: str
    conversation_id: str
    turn: int
    is_accepted: bool = False


@dataclass(frozen=True, slots=True)
class Ending:
    """How a reply had ended when a client was shown it."""

    status: str
    content: str


@dataclass(slots=True)
class History:
    """Everything the clients of a run saw."""

    asks: list[Ask] = field(default_factory=list)
    regenerations: list[Regeneration] = field(default_factory=list)
    # The status that the answer to a cancel showed, by reply; None if it was not answered.
    cancels: dict[str, str | None] = field(default_factory=dict)
    endings: dict[str, Ending] = field(default_factory=dict)
    # What no client should ever see, as sentences.
    surprises: list[str] = field(default_factory=list)

    @property
    def conversation_ids(self) -> list[str]:
        """The conversations in which something was accepted, in order of the first ask."""
        return list(self.turns)

    @property
    def turns(self) -> dict[str, list[int]]:
        """The accepted turns of each conversation; a key that was answered with several has all of them here."""
        found: defaultdict[str, set[int]] = defaultdict(set)
        for ask in self.asks:
            for accepted in ask.accepted:
                found[accepted.conversation_id].add(accepted.turn)
        return {conversation_id: sorted(turns) for conversation_id, turns in found.items()}

    def accept(self, ask: Ask, turn: dict[str, Any], *, at: float) -> None:
        """Notes a 2xx answer to the ask. The answer to a repeat may show more candidates than were asked for."""
        asked_for = sorted(turn["replies"], key=lambda reply: int(reply["candidate"]))[: ask.n]
        ask.conversation_id = turn["conversation_id"]
        ask.accepted.add(
            Accepted(
                turn["conversation_id"],
                turn["turn"],
                turn["message"]["id"],
                frozenset(reply["id"] for reply in asked_for),
            )
        )
        if ask.accepted_at is None:
            ask.accepted_at = at
        self.see(turn["replies"])

    def see(self, replies: Iterable[dict[str, Any]]) -> None:
        """Notes replies as a client was shown them: one that has ended stays as it is for ever."""
        for reply in replies:
            shown = Ending(reply["status"], reply["content"])
            if ReplyStatus(shown.status) not in LIVE and self.endings.setdefault(reply["id"], shown) != shown:
                self.surprises.append(f"{reply['id']} was shown with two different endings")
