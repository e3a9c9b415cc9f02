"""Compares what clients were told with what is stored. Pure functions: the same for the database and for HTTP."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from itertools import pairwise

from cli.verify.choices import TRANSCRIPT, expected_text
from cli.verify.history import INTERRUPT, Ask, History
from cli.verify.stored import Message, Place, Reply, Stored
from shared.reply_status import TERMINAL, IncompleteReason, ReplyStatus

# A reply ends by its deadline and a few seconds: a sweep, a freeze of the process that holds the write lock.
LATE_MS = 10_000


class Kind(StrEnum):
    """What can be wrong, in the words of the report."""

    LOST = "lost"
    DUPLICATED = "duplicated"
    OUT_OF_ORDER = "out of order"
    STUCK = "stuck"
    UNEXPECTED = "unexpected"
    EXTRA_CALL = "extra model calls"


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong. `subject` is an id or a key; the same is counted once, however often it is seen."""

    kind: Kind
    subject: str
    sentence: str


def judge(history: History, stored: Stored, *, now: int) -> list[Finding]:
    """Everything that is wrong with what is stored. `now` in milliseconds: when it was read."""
    return [
        *_lost_asks(history, stored),
        *_lost_answers(history, stored),
        *_changed_endings(history, stored),
        *_ended_unasked(history, stored),
        *_duplicated_asks(history, stored),
        *_duplicated_rows(history, stored),
        *_ended_twice(stored),
        *_misordered_turns(history),
        *_misordered_messages(stored),
        *_wrong_prompts(stored),
        *_stuck(history, stored, now=now),
    ]


def _lost_asks(history: History, stored: Stored) -> Iterator[Finding]:
    """A 2xx answer whose message or replies are not there."""
    present = {(m.conversation_id, m.turn, m.id): m for m in stored.messages}
    for ask in history.asks:
        for accepted in ask.accepted:
            message = present.get((accepted.conversation_id, accepted.turn, accepted.message_id))
            if message is None or message.content != ask.content or message.role != "user":
                yield Finding(
                    Kind.LOST, ask.key, f"{accepted.message_id} was accepted and is not stored as it was said"
                )
            for reply_id in accepted.reply_ids:
                reply = stored.reply.get(reply_id)
                if reply is None or (reply.conversation_id, reply.turn) != (accepted.conversation_id, accepted.turn):
                    yield Finding(Kind.LOST, reply_id, "the reply was accepted and is not stored")


def _lost_answers(history: History, stored: Stored) -> Iterator[Finding]:
    """A completed reply without its message, or with another text than the model gave."""
    answered = {message.reply_id for message in stored.messages if message.role == "assistant"}
    asked = {place: ask for ask in history.asks if (place := ask.place)}
    for reply in stored.replies:
        if reply.status != ReplyStatus.COMPLETED or (ask := asked.get((reply.conversation_id, reply.turn))) is None:
            continue
        if reply.id not in answered:
            yield Finding(Kind.LOST, reply.id, "the reply is completed and has no message")
        expected = expected_text(reply.model, ask.content)
        if expected is not None and reply.content != expected:
            yield Finding(
                Kind.LOST, reply.id, f"the reply is completed and is not what the model said: {reply.content!r}"
            )


def _changed_endings(history: History, stored: Stored) -> Iterator[Finding]:
    """A reply that a client saw ended, and that is something else now."""
    for reply_id, ending in history.endings.items():
        reply = stored.reply.get(reply_id)
        if reply is not None and (reply.status, reply.content) != (ending.status, ending.content):
            sentence = f"a client was shown {ending.status} with {len(ending.content)} characters, stored is"
            yield Finding(Kind.LOST, reply_id, f"{sentence} {reply.status} with {len(reply.content)}")


def _ended_unasked(history: History, stored: Stored) -> Iterator[Finding]:
    """A reply that was stopped although nobody asked for it, or was not although somebody did."""
    interrupted = {ask.conversation_id for ask in history.asks if ask.on_busy == INTERRUPT}
    for reply in stored.replies:
        if reply.conversation_id in interrupted:
            continue
        if reply.id in history.cancels:
            # Once the answer to a cancel showed it as running, the stop wins over every other ending.
            if history.cancels[reply.id] == ReplyStatus.IN_PROGRESS and reply.status != ReplyStatus.CANCELLED:
                sentence = f"it was still running when its cancel was answered, and is {reply.status}"
                yield Finding(Kind.UNEXPECTED, reply.id, sentence)
        elif reply.status == ReplyStatus.CANCELLED or reply.incomplete_reason == IncompleteReason.INTERRUPTED:
            yield Finding(Kind.LOST, reply.id, f"the reply is {reply.status}, and nobody asked for that")


def _duplicated_asks(history: History, stored: Stored) -> Iterator[Finding]:
    """A key with two turns, a turn with two keys, and what was stored though it was refused."""
    times_said = Counter(message.content for message in stored.messages if message.role == "user")
    keys_of: defaultdict[Place, list[str]] = defaultdict(list)
    for ask in history.asks:
        if len(ask.accepted) > 1:
            yield Finding(
                Kind.DUPLICATED, ask.key, f"one key was answered with different turns: {sorted(map(str, ask.accepted))}"
            )
        if times_said[ask.content] > 1:
            yield Finding(Kind.DUPLICATED, ask.key, f"it is stored {times_said[ask.content]} times")
        if ask.refusals and not ask.accepted and times_said[ask.content]:
            yield Finding(Kind.DUPLICATED, ask.key, f"it was refused ({ask.refusals[0]}) and is stored")
        if place := ask.place:
            keys_of[place].append(ask.key)
    for place, keys in keys_of.items():
        if len(keys) > 1:
            yield Finding(Kind.LOST, keys[-1], f"turn {place[1]} of {place[0]} was given to {len(keys)} asks")


def _duplicated_rows(history: History, stored: Stored) -> Iterator[Finding]:
    """A reply with two answers, a turn with two questions, more or fewer candidates than were asked for."""
    for reply_id, count in Counter(m.reply_id for m in stored.messages if m.reply_id).items():
        if count > 1:
            yield Finding(Kind.DUPLICATED, str(reply_id), f"the reply has {count} messages")
    questions = Counter((m.conversation_id, m.turn) for m in stored.messages if m.reply_id is None)
    for (conversation_id, turn), count in questions.items():
        if count > 1:
            yield Finding(Kind.DUPLICATED, f"{conversation_id}/{turn}", f"{count} messages share the turn")
    more = Counter((each.conversation_id, each.turn) for each in history.regenerations if each.is_accepted)
    for ask in history.asks:
        if (place := ask.place) is None:
            continue
        replies = stored.replies_of.get(place, ())
        if not replies and any(accepted.reply_ids for accepted in ask.accepted):
            continue  # Each of them is told as lost by its own id.
        wanted = ask.n + more[place]
        candidates = {reply.candidate for reply in replies}
        if len(replies) > wanted or len(candidates) < len(replies):
            yield Finding(Kind.DUPLICATED, ask.key, f"{wanted} candidates were asked for, {len(replies)} are stored")
        elif len(replies) < wanted:
            yield Finding(Kind.LOST, ask.key, f"{wanted} candidates were asked for, {len(replies)} are stored")


def _ended_twice(stored: Stored) -> Iterator[Finding]:
    """A reply of which more than one try said how it ended, as when a worker wakes that others took for dead."""
    for reply_id, attempts in stored.attempts_of.items():
        ends = [attempt.attempt for attempt in attempts if attempt.outcome in TERMINAL]
        if len(ends) > 1 or (ends and ends[0] != attempts[-1].attempt):
            tries = ", ".join(f"{attempt.attempt} {attempt.outcome}" for attempt in attempts)
            yield Finding(Kind.DUPLICATED, reply_id, f"the reply went on after its end ({tries})")


def _misordered_turns(history: History) -> Iterator[Finding]:
    """Asks of which the second was sent after the first was accepted, and that have turns the other way round."""
    by_conversation: defaultdict[str, list[Ask]] = defaultdict(list)
    for ask in history.asks:
        if place := ask.place:
            by_conversation[place[0]].append(ask)
    for asks in by_conversation.values():
        latest: Ask | None = None  # of those with an earlier turn the one that was sent last
        for ask in sorted(asks, key=_turn):
            if latest and ask.accepted_at is not None and ask.accepted_at < latest.sent_at:
                sentence = f"it was accepted before {latest.key} was sent, and comes after it"
                yield Finding(Kind.OUT_OF_ORDER, ask.key, sentence)
            latest = max(latest or ask, ask, key=lambda each: each.sent_at)


def _turn(ask: Ask) -> int:
    return ask.place[1] if ask.place else 0


def _misordered_messages(stored: Stored) -> Iterator[Finding]:
    """Messages that are shown in another order than turn by turn, each question before its answers."""
    for messages in stored.messages_of.values():
        for earlier, later in pairwise(messages):
            if (later.turn, later.role != "user") < (earlier.turn, earlier.role != "user"):
                yield Finding(Kind.OUT_OF_ORDER, later.id, f"it is shown after {earlier.id} of turn {earlier.turn}")


def _wrong_prompts(stored: Stored) -> Iterator[Finding]:
    """Answers of the model that repeats its prompt: each must have been shown all that was said before."""
    for reply in stored.replies:
        if reply.model != TRANSCRIPT or reply.status != ReplyStatus.COMPLETED:
            continue
        try:
            shown = [(message["role"], message["content"]) for message in json.loads(reply.content)]
        except (ValueError, KeyError, TypeError):
            yield Finding(Kind.LOST, reply.id, "the answer is not whole")
            continue
        expected = _prompt(reply, stored)
        if shown != expected:
            sentence = f"the model was shown {len(shown)} messages and not the {len(expected)} before it"
            yield Finding(Kind.OUT_OF_ORDER, reply.id, sentence)


def _prompt(reply: Reply, stored: Stored) -> list[tuple[str, str]]:
    """What an answer must follow from: every question up to its own, and the selected answer of each turn before."""

    def belongs(message: Message) -> bool:
        if message.reply_id is None:
            return message.turn <= reply.turn
        answer = stored.reply.get(message.reply_id)
        return message.turn < reply.turn and answer is not None and answer.selected

    return [(m.role, m.content) for m in stored.messages_of.get(reply.conversation_id, ()) if belongs(m)]


def _stuck(history: History, stored: Stored, *, now: int) -> Iterator[Finding]:
    """What did not end in time, or was never answered."""
    for reply in stored.replies:
        bound = reply.deadline_at + LATE_MS
        if reply.is_live and now > bound:
            yield Finding(Kind.STUCK, reply.id, f"the reply is still {reply.status} {now - reply.deadline_at} ms late")
        elif reply.finished_at is not None and reply.finished_at > bound:
            yield Finding(Kind.STUCK, reply.id, f"the reply ended {reply.finished_at - reply.deadline_at} ms late")
    for ask in history.asks:
        if not ask.accepted and not ask.refusals:
            yield Finding(Kind.STUCK, ask.key, "the ask was never answered")
