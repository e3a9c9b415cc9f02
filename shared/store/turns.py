"""Turns: accepting what a user says and the replies it asks for, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, bindparam, func, update

from shared.database.models import conversations
from shared.database.prepared import Prepared
from shared.errors import Busy, NotFound
from shared.ids import new_message_id, new_reply_id
from shared.reply_status import OnBusy, OnCrash, ReplyStatus
from shared.store import messages, replies, stops
from shared.store.stops import NOTHING_STOPPED, Stopped

# An unset title becomes the beginning of the first message.
TITLE_CHARS = 60

_OPEN = Prepared(
    update(conversations)
    .where(conversations.c.tenant_id == bindparam("of_tenant"), conversations.c.id == bindparam("of_conversation"))
    .values(
        next_turn=conversations.c.next_turn + bindparam("more"),
        version=conversations.c.version + 1,
        updated_at=bindparam("now"),
        title=func.coalesce(conversations.c.title, bindparam("first_title")),
    )
    .returning(conversations.c.next_turn, conversations.c.model, conversations.c.parameters)
)


@dataclass(frozen=True, slots=True)
class Said:
    """One message: who says what. `parts` has what the text does not say."""

    content: str
    role: str = "user"
    parts: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Ask:
    """What is asked: the text, how many candidates, and how to make them.

    `default_model` is used if neither this ask, in `chosen_model`, nor the conversation names one. `before` is said
    first, each message as a turn of its own. `request` is kept for the dialect in which it was asked, and
    `key_id` for whose usage it is.
    """

    content: str
    n: int
    chosen_model: str | None
    default_model: str
    deadline_ms: int
    on_busy: OnBusy = OnBusy.ENQUEUE
    on_crash: OnCrash = OnCrash.RESTART
    parameters: Mapping[str, Any] = field(default_factory=dict)
    metadata: Mapping[str, str] = field(default_factory=dict)
    role: str = "user"
    parts: Mapping[str, Any] | None = None
    before: Sequence[Said] = ()
    instructions: str | None = None
    request: Mapping[str, Any] | None = None
    key_id: str | None = None
    traceparent: str | None = None

    @property
    def messages(self) -> list[Said]:
        """All that is said, in order."""
        return [*self.before, Said(self.content, self.role, self.parts)]


@dataclass(frozen=True, slots=True)
class Turn:
    """A message and the replies it asked for, as rows of the shape that reading gives.

    `stopped` is what became of earlier replies that had to make way.
    """

    conversation_id: str
    turn: int
    message: Mapping[str, Any]
    replies: list[Mapping[str, Any]]
    stopped: Stopped = NOTHING_STOPPED

    @property
    def resource_id(self) -> str:
        """What the row of an idempotency key calls it."""
        return f"{self.conversation_id}/{self.turn}"


def title_of(content: str) -> str:
    """What a conversation is called that begins with this: as many of its words as there is room for."""
    words = " ".join(content.split())
    if len(words) <= TITLE_CHARS:
        return words
    # No word is cut, unless there is none that ends in the second half.
    end = words.rfind(" ", TITLE_CHARS // 2, TITLE_CHARS)
    return f"{words[: TITLE_CHARS - 1 if end < 0 else end]}…"


def first_title(connection: Connection, conversation_id: str) -> str | None:
    """The title of a conversation that was given none, or None while no user has said anything."""
    content = messages.first_of_user(connection, conversation_id)
    return None if content is None else title_of(content)


def _open(connection: Connection, tenant_id: str, conversation_id: str, *, said: Sequence[Said], now: int) -> Any:
    """Takes the conversation's next turns, one for each message; its row stays locked until the commit."""
    title = next((title_of(each.content) for each in said if each.role == "user"), None)
    keys = {"of_tenant": tenant_id, "of_conversation": conversation_id, "now": now, "first_title": title}
    row = _OPEN.one_or_none(connection, {**keys, "more": len(said)})
    if row is None:
        raise NotFound("There is no such conversation.")
    return row


def _add(
    connection: Connection, tenant_id: str, conversation_id: str, *, said: Sequence[Said], last_turn: int, now: int
) -> list[dict[str, Any]]:
    """Adds the messages, each to a turn of its own, the last one to `last_turn`."""
    rows: list[dict[str, Any]] = [
        {
            "id": new_message_id(),
            "tenant_id": tenant_id,
            "conversation_id": conversation_id,
            "turn": turn,
            "position": 0,
            "role": each.role,
            "content": each.content,
            "parts": each.parts,
            "reply_id": None,
            "created_at": now,
        }
        for turn, each in enumerate(said, last_turn - len(said) + 1)
    ]
    messages.add(connection, rows)
    return rows


def append(
    connection: Connection, tenant_id: str, conversation_id: str, *, said: Sequence[Said], now: int
) -> list[dict[str, Any]]:
    """Adds messages that ask for nothing, each as a turn of its own.

    Raises:
        NotFound: the tenant has no such conversation.
    """
    opened = _open(connection, tenant_id, conversation_id, said=said, now=now)
    return _add(connection, tenant_id, conversation_id, said=said, last_turn=opened.next_turn - 1, now=now)


def ask(connection: Connection, tenant_id: str, conversation_id: str, *, asked: Ask, now: int) -> Turn:
    """Adds the user's message and `n` queued replies as the conversation's next turn.

    Raises:
        NotFound: the tenant has no such conversation.
        Busy: it has live replies, and `asked` would not wait for them.
    """
    said = asked.messages
    opened = _open(connection, tenant_id, conversation_id, said=said, now=now)
    turn = opened.next_turn - 1
    stopped = _make_way(connection, conversation_id, turn, on_busy=asked.on_busy, now=now)
    added = _add(connection, tenant_id, conversation_id, said=said, last_turn=turn, now=now)
    request = None if asked.request is None else {**asked.request, "first_turn": added[0]["turn"]}
    rows = [
        {
            "id": new_reply_id(),
            "tenant_id": tenant_id,
            "conversation_id": conversation_id,
            "turn": turn,
            "candidate": candidate,
            "status": ReplyStatus.QUEUED,
            "model": asked.chosen_model or opened.model or asked.default_model,
            "parameters": {**opened.parameters, **asked.parameters},
            "metadata": dict(asked.metadata),
            "on_crash": asked.on_crash,
            "instructions": asked.instructions,
            "request": request,
            "key_id": asked.key_id,
            "traceparent": asked.traceparent,
            "available_at": now,
            "deadline_at": now + asked.deadline_ms,
            "created_at": now,
        }
        for candidate in range(1, asked.n + 1)
    ]
    shown: list[Mapping[str, Any]] = [
        {**_UNTOUCHED, **row, "turns_ahead": replies.add(connection, row)} for row in rows
    ]
    return Turn(conversation_id, turn, added[-1], shown, stopped)


def _make_way(connection: Connection, conversation_id: str, turn: int, *, on_busy: OnBusy, now: int) -> Stopped:
    """Does about earlier live replies what was asked for."""
    if on_busy is OnBusy.INTERRUPT:
        return stops.interrupt(connection, conversation_id, now=now)
    if on_busy is OnBusy.REJECT and replies.turns_ahead(connection, conversation_id, turn):
        raise Busy("The conversation has replies that have not ended yet.")
    return NOTHING_STOPPED


# The columns of a reply that nobody has touched, as a reader would find them.
_UNTOUCHED: Mapping[str, Any] = {
    "content": "",
    "message_id": None,
    "attempt": 0,
    "selected": False,
    "stop_requested": None,
    "error_code": None,
    "error_message": None,
    "error_retryable": None,
    "incomplete_reason": None,
    "input_tokens": None,
    "output_tokens": None,
    "feedback_rating": None,
    "feedback_comment": None,
    "feedback_at": None,
    "usage_estimated": None,
    "started_at": None,
    "finished_at": None,
}
