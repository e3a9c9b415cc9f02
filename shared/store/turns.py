"""Turns: accepting what a user says and the replies it asks for, in one transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from sqlalchemy import Connection, Integer, String, Update, bindparam, column, func, update, values

from shared.database.models import conversations
from shared.database.prepared import PreparedRows
from shared.errors import Busy, NotFound
from shared.ids import new_message_id, new_reply_id
from shared.reply_status import OnBusy, OnCrash, ReplyStatus
from shared.store import messages, replies, stops
from shared.store.stops import NOTHING_STOPPED, Stopped

# An unset title becomes the beginning of the first message.
TITLE_CHARS = 60


def _opening(length: int) -> Update:
    """Takes the next turns of so many conversations, each of them once."""
    names = ("of_tenant", "of_conversation", "more", "first_title")
    opened = (
        values(*(column(name, Integer if name == "more" else String) for name in names))
        .data([tuple(bindparam(f"{name}_{number}") for name in names) for number in range(length)])
        .cte("opened")
    )
    return (
        update(conversations)
        .where(conversations.c.tenant_id == opened.c.of_tenant, conversations.c.id == opened.c.of_conversation)
        .values(
            next_turn=conversations.c.next_turn + opened.c.more,
            version=conversations.c.version + 1,
            updated_at=bindparam("now"),
            title=func.coalesce(conversations.c.title, opened.c.first_title),
        )
        .returning(
            *(conversations.c.tenant_id, conversations.c.id),
            *(conversations.c.next_turn, conversations.c.model, conversations.c.parameters),
        )
    )


_OPEN = PreparedRows(_opening, may_repeat=True)


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


@dataclass(frozen=True, slots=True)
class Where:
    """Whose conversation, and which."""

    tenant_id: str
    conversation_id: str


def _conversation_of(said: tuple[Where, Sequence[Said]]) -> str:
    return said[0].conversation_id


def _open(connection: Connection, said: Sequence[tuple[Where, Sequence[Said]]], *, now: int) -> list[Any]:
    """Takes the next turns of the conversations, one for each message; their rows stay locked until the commit.

    In the order of their ids, so that no two that open several wait for each other. Returns of each what there is to
    know; None where the tenant has no such conversation.
    """
    rows = [
        {
            "of_tenant": where.tenant_id,
            "of_conversation": where.conversation_id,
            "more": len(messages),
            "first_title": next((title_of(each.content) for each in messages if each.role == "user"), None),
        }
        for where, messages in sorted(said, key=_conversation_of)
    ]
    opened = {Where(row.tenant_id, row.id): row for row in _OPEN.all(connection, rows, now=now)}
    return [opened.get(where) for where, _ in said]


def _message_rows(where: Where, said: Sequence[Said], *, last_turn: int, now: int) -> list[dict[str, Any]]:
    """The messages, each in a turn of its own, the last one in `last_turn`."""
    return [
        {
            "id": new_message_id(),
            "tenant_id": where.tenant_id,
            "conversation_id": where.conversation_id,
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


def _open_one(connection: Connection, where: Where, said: Sequence[Said], *, now: int) -> Any:
    """The same of one.

    Raises:
        NotFound: the tenant has no such conversation.
    """
    (opened,) = _open(connection, [(where, said)], now=now)
    if opened is None:
        raise NotFound("There is no such conversation.")
    return opened


def append(
    connection: Connection, tenant_id: str, conversation_id: str, *, said: Sequence[Said], now: int
) -> list[dict[str, Any]]:
    """Adds messages that ask for nothing, each as a turn of its own.

    Raises:
        NotFound: the tenant has no such conversation.
    """
    where = Where(tenant_id, conversation_id)
    opened = _open_one(connection, where, said, now=now)
    rows = _message_rows(where, said, last_turn=opened.next_turn - 1, now=now)
    messages.add(connection, rows)
    return rows


def ask(connection: Connection, tenant_id: str, conversation_id: str, *, asked: Ask, now: int) -> Turn:
    """Adds the user's message and `n` queued replies as the conversation's next turn.

    Raises:
        NotFound: the tenant has no such conversation.
        Busy: it has live replies, and `asked` would not wait for them.
    """
    where = Where(tenant_id, conversation_id)
    opened = _open_one(connection, where, asked.messages, now=now)
    stopped = _make_way(connection, conversation_id, opened.next_turn - 1, on_busy=asked.on_busy, now=now)
    (turn,) = _store(connection, [(where, asked, opened)], now=now)
    return replace(turn, stopped=stopped)


def ask_many(connection: Connection, asks: Sequence[tuple[Where, Ask]], *, now: int) -> list[Turn | None]:
    """`ask` in several conversations, each of them once, with as many statements as in one.

    All of them wait for the turns before. None where the tenant has no such conversation.
    """
    opened = _open(connection, [(where, asked.messages) for where, asked in asks], now=now)
    found = [(*each, row) for each, row in zip(asks, opened, strict=True) if row is not None]
    stored = iter(_store(connection, found, now=now))
    return [None if row is None else next(stored) for row in opened]


def _store(connection: Connection, asks: Sequence[tuple[Where, Ask, Any]], *, now: int) -> list[Turn]:
    """Adds what is said in the conversations, which are open and locked, and the replies that are asked for."""
    live = replies.live_turns(connection, [where.conversation_id for where, _, _ in asks])
    stored, message_rows, reply_rows = [], [], []
    for where, asked, opened in asks:
        turn, ahead = opened.next_turn - 1, live[where.conversation_id]
        said = _message_rows(where, asked.messages, last_turn=turn, now=now)
        wanted = _reply_rows(where, asked, opened, first_turn=said[0]["turn"], is_next=not ahead, now=now)
        message_rows += said
        reply_rows += wanted
        shown: list[Mapping[str, Any]] = [{**_UNTOUCHED, **row, "turns_ahead": ahead} for row in wanted]
        stored.append(Turn(where.conversation_id, turn, said[-1], shown))
    messages.add(connection, message_rows)
    replies.add(connection, reply_rows)
    return stored


def _reply_rows(
    where: Where, asked: Ask, opened: Any, *, first_turn: int, is_next: bool, now: int
) -> list[dict[str, Any]]:
    """The replies that are asked for, as candidates of the turn that was just opened."""
    return [
        {
            "id": new_reply_id(),
            "tenant_id": where.tenant_id,
            "conversation_id": where.conversation_id,
            "turn": opened.next_turn - 1,
            "candidate": candidate,
            "status": ReplyStatus.QUEUED,
            "model": asked.chosen_model or opened.model or asked.default_model,
            "parameters": {**opened.parameters, **asked.parameters},
            "metadata": dict(asked.metadata),
            "on_crash": asked.on_crash,
            "instructions": asked.instructions,
            "request": None if asked.request is None else {**asked.request, "first_turn": first_turn},
            "key_id": asked.key_id,
            "traceparent": asked.traceparent,
            "available_at": now,
            "deadline_at": now + asked.deadline_ms,
            "waits_for_turn": not is_next,
            "created_at": now,
        }
        for candidate in range(1, asked.n + 1)
    ]


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
