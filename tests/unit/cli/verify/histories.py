"""A small run in which everything went well, for tests to spoil one thing of."""

from __future__ import annotations

import json

from cli.verify.choices import TRANSCRIPT
from cli.verify.faulted import Fault, FaultKind
from cli.verify.history import Accepted, Ask, Ending, History
from cli.verify.stored import Attempt, Message, Reply, Stored

CONVERSATION = "conv_1"
DEADLINE = 100_000
NOW = 50_000


def ask(turn: int, *, model: str = "demo-fast", n: int = 1) -> Ask:
    """An ask that was sent and accepted after the one before it."""
    found = Ask(f"key-{turn}", f"This is key-{turn}", model, n, conversation_id=CONVERSATION, sent_at=float(turn))
    found.accepted_at = turn + 0.5
    replies = frozenset(f"reply_{turn}_{candidate}" for candidate in range(1, n + 1))
    found.accepted.add(Accepted(CONVERSATION, turn, f"msg_{turn}", replies))
    return found


def question(turn: int) -> Message:
    """What the ask of this turn said."""
    return Message(f"msg_{turn}", CONVERSATION, turn, "user", f"This is key-{turn}", None)


def answer(turn: int, content: str = "Well said.", *, candidate: int = 1) -> Message:
    """What a reply of this turn said."""
    reply_id = f"reply_{turn}_{candidate}"
    return Message(f"msg_of_{reply_id}", CONVERSATION, turn, "assistant", content, reply_id)


def reply(turn: int, content: str = "Well said.", *, candidate: int = 1, model: str = "demo-fast") -> Reply:
    """A completed reply, the first candidate selected."""
    return Reply(
        f"reply_{turn}_{candidate}",
        CONVERSATION,
        turn,
        candidate,
        "completed",
        model,
        content,
        selected=candidate == 1,
        deadline_at=DEADLINE,
        finished_at=NOW - 1000,
    )


def attempt(reply_id: str, number: int = 1, *, outcome: str = "completed", ended_at: int = 2000) -> Attempt:
    """One try of the first worker, of a second."""
    return Attempt(reply_id, number, "worker_1", ended_at - 1000, ended_at, outcome)


def kill(at: int = 1500, *, kind: FaultKind = FaultKind.KILL_WORKER) -> Fault:
    """A fault that is healed ten seconds later."""
    return Fault(kind, "worker-1", at, at + 10_000)


TOLD = json.dumps(
    [
        {"role": "user", "content": "This is key-1"},
        {"role": "assistant", "content": "Well said."},
        {"role": "user", "content": "This is key-2"},
    ]
)


def history() -> History:
    """Two turns of one conversation, both seen completed."""
    found = History(asks=[ask(1, n=2), ask(2, model=TRANSCRIPT)])
    found.endings = {"reply_1_1": Ending("completed", "Well said."), "reply_2_1": Ending("completed", TOLD)}
    return found


def stored() -> Stored:
    """What is stored of it."""
    return Stored(
        messages=[question(1), answer(1), answer(1, "Or so.", candidate=2), question(2), answer(2, TOLD)],
        replies=[reply(1), reply(1, "Or so.", candidate=2), reply(2, TOLD, model=TRANSCRIPT)],
        attempts=[attempt("reply_1_1"), attempt("reply_1_2"), attempt("reply_2_1", ended_at=4000)],
    )
