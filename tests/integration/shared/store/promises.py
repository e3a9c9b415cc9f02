"""What holds after every step, whatever came before it: the promises, as a judge of what the tables show.

It looks at everything that is stored before and after one step and knows nothing of how the store works.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from sqlalchemy import Connection, Row, select

from shared.database.models import (
    attempts,
    conversations,
    idempotency_keys,
    messages,
    replies,
    webhook_deliveries,
    workers,
)
from shared.reply_status import LIVE, TERMINAL, IncompleteReason, ReplyStatus, StopRequest
from tests.integration.shared.rows import CAPS
from tests.integration.shared.store.states import STOPPED

WITH_TEXT = frozenset({ReplyStatus.COMPLETED, ReplyStatus.INCOMPLETE})
# By how much a move may raise the token: only the worker that holds a reply ends it without a new one.
_TOKENS = {
    **{(ReplyStatus.QUEUED, status): {1} for status in (ReplyStatus.IN_PROGRESS, *TERMINAL)},
    **{(ReplyStatus.IN_PROGRESS, status): {0, 1} for status in TERMINAL},
    (ReplyStatus.IN_PROGRESS, ReplyStatus.QUEUED): {1},
    (ReplyStatus.FAILED, ReplyStatus.QUEUED): {1},
    (ReplyStatus.CANCELLED, ReplyStatus.QUEUED): {1},
}
# Whatever of a reply that has ended a reader may see or a program may count on; `selected` may still move.
_END = (
    *("status", "token", "attempt", "tries", "model_calls", "stop_requested", "partial", "incomplete_reason"),
    *("error_code", "error_message", "error_retryable", "input_tokens", "output_tokens", "deadline_at"),
    *("created_at", "started_at", "finished_at", "on_crash", "model"),
)
_SHOWN = ("id", "status", "attempt", "selected", "stop_requested", "error_code", "incomplete_reason")

TurnKey = tuple[str, int]


@dataclass(frozen=True)
class World:
    """All that is stored at one moment."""

    conversations: Mapping[str, Row[Any]]
    replies: Mapping[str, Row[Any]]
    said: Mapping[TurnKey, tuple[str, str]]
    answers: Mapping[str, Row[Any]]
    attempts: Mapping[str, Sequence[Row[Any]]]
    beats: Mapping[str, int]
    keys: Mapping[str, str]
    told: Mapping[str, Sequence[str]]

    @classmethod
    def look(cls, connection: Connection) -> World:
        """As it is now."""

        def rows(table: Any) -> Sequence[Row[Any]]:
            return connection.execute(select(table).order_by(*table.primary_key.columns)).all()

        tries = defaultdict(list)
        for attempt in rows(attempts):
            tries[attempt.reply_id].append(attempt)
        told = defaultdict(list)
        for delivery in rows(webhook_deliveries):
            told[delivery.reply_id].append(delivery.event)
        spoken = rows(messages)
        answers = [row for row in spoken if row.reply_id is not None]
        assert len({row.reply_id for row in answers}) == len(answers), "a reply has two answers"
        return cls(
            conversations={row.id: row for row in rows(conversations)},
            replies={row.id: row for row in rows(replies)},
            said={(row.conversation_id, row.turn): (row.role, row.content) for row in spoken if row.position == 0},
            answers={row.reply_id: row for row in answers},
            attempts=tries,
            beats={row.id: row.beat for row in rows(workers)},
            keys={row.key: row.resource_id for row in rows(idempotency_keys)},
            told=told,
        )

    @cached_property
    def turns(self) -> Mapping[TurnKey, list[Row[Any]]]:
        """The candidates of each turn, in order."""
        found: dict[TurnKey, list[Row[Any]]] = defaultdict(list)
        for row in sorted(self.replies.values(), key=lambda row: row.candidate):
            found[row.conversation_id, row.turn].append(row)
        return found

    def selected(self, turn: TurnKey) -> Row[Any] | None:
        """The candidate that the conversation goes on from."""
        chosen = [row for row in self.turns.get(turn, []) if row.selected]
        assert len(chosen) <= 1, chosen
        return chosen[0] if chosen else None

    def live(self, conversation_id: str) -> list[Row[Any]]:
        """The conversation's replies that have not ended."""
        return [row for row in self.of(conversation_id) if row.status in LIVE]

    @cached_property
    def _by_conversation(self) -> Mapping[str, list[Row[Any]]]:
        found: dict[str, list[Row[Any]]] = defaultdict(list)
        for row in self.replies.values():
            found[row.conversation_id].append(row)
        return found

    def of(self, conversation_id: str) -> list[Row[Any]]:
        """The conversation's replies."""
        return self._by_conversation.get(conversation_id, [])

    def seen_in(self, conversation_id: str) -> object:
        """What a reader of the conversation sees, but for the text of what is under way."""
        own = self.of(conversation_id)
        shown = [tuple(getattr(row, name) for name in _SHOWN) for row in own]
        answers = [self.answers[row.id].content for row in own if row.id in self.answers]
        return (shown, answers, [said for (of, _), said in self.said.items() if of == conversation_id])

    def everything_of(self, conversation_id: str) -> object:
        """Every row of the conversation."""
        own = self.of(conversation_id)
        return (
            self.conversations.get(conversation_id),
            own,
            [(self.answers.get(row.id), self.attempts.get(row.id)) for row in own],
            [said for (of, _), said in self.said.items() if of == conversation_id],
        )


@dataclass
class Step:
    """What a step was about: no other conversation may change by it."""

    conversations: set[str] = field(default_factory=set)
    chosen: dict[TurnKey, str] = field(default_factory=dict)
    retried: str | None = None
    forked: str | None = None


@dataclass
class Promises:
    """Judges each step."""

    before: World
    said: dict[TurnKey, tuple[str, str]] = field(default_factory=dict)
    asked: dict[str, str] = field(default_factory=dict)  # replies that were accepted, and their conversations
    wanted: set[str] = field(default_factory=set)  # replies that take the selection once they are completed
    chosen: set[str] = field(default_factory=set)  # replies that somebody chose, and nobody another one since

    def judge(self, after: World, step: Step) -> None:
        """Nothing is promised that does not hold."""
        self._only_what_it_was_about(after, step)
        self._nothing_is_lost(after)
        for row in after.replies.values():
            self._row(row, after)
            if row.id in self.before.replies:
                self._since(self.before.replies[row.id], row, after, retried=row.id == step.retried)
        for turn, candidates in after.turns.items():
            if turn[0] in self.before.conversations:
                self._selection(turn, candidates, after, step)
        self._versions(after)
        self._order(after)
        self._told(after)
        self.before = after

    def _only_what_it_was_about(self, after: World, step: Step) -> None:
        for conversation_id in self.before.conversations.keys() - step.conversations:
            assert after.everything_of(conversation_id) == self.before.everything_of(conversation_id)
        assert after.conversations.keys() - self.before.conversations.keys() <= step.conversations

    def _nothing_is_lost(self, after: World) -> None:
        """Whatever was accepted is there until it is deleted."""
        self.said = {turn: said for turn, said in self.said.items() if turn[0] in after.conversations}
        self.asked = {reply: of for reply, of in self.asked.items() if of in after.conversations}
        assert after.said == self.said
        assert after.replies.keys() == self.asked.keys()
        assert after.answers.keys() | after.attempts.keys() <= after.replies.keys()

    def _row(self, row: Row[Any], world: World) -> None:
        status = ReplyStatus(row.status)
        answer = world.answers.get(row.id)
        tries = world.attempts.get(row.id, [])
        assert 0 <= row.tries <= min(row.attempt, CAPS.tries), row
        assert 0 <= row.model_calls <= CAPS.model_calls, row
        assert [each.attempt for each in tries] == list(range(row.attempt - len(tries) + 1, row.attempt + 1))
        assert all(each.outcome and each.ended_at is not None for each in tries[:-1])
        assert (row.worker_id is not None) == (status is ReplyStatus.IN_PROGRESS)
        if tries:
            assert (tries[-1].outcome is None) == (status is ReplyStatus.IN_PROGRESS)
        if status is ReplyStatus.IN_PROGRESS:
            assert tries[-1].worker_id == row.worker_id
            assert row.tries > 0
            assert row.model_calls > 0
        if status is ReplyStatus.QUEUED:
            assert row.stop_requested is None, "nobody may take it, and nobody ends it"
        if not status.is_terminal:
            assert (answer, row.finished_at, row.error_code, row.incomplete_reason) == (None, None, None, None)
            assert not row.selected
            return
        assert row.finished_at is not None
        assert answer is None or (status in WITH_TEXT and row.partial is None)
        assert (row.error_code is not None) == (status is ReplyStatus.FAILED)
        assert (row.incomplete_reason is not None) == (status is ReplyStatus.INCOMPLETE)
        assert not row.selected or status in WITH_TEXT
        assert row.stop_requested is None or status is STOPPED[StopRequest(row.stop_requested)]
        assert row.incomplete_reason != IncompleteReason.WORKER_LOST or answer is not None
        if answer is not None:
            place = (answer.conversation_id, answer.turn, answer.position, answer.role)
            assert place == (row.conversation_id, row.turn, row.candidate, "assistant")

    def _since(self, old: Row[Any], new: Row[Any], after: World, *, retried: bool) -> None:
        """What has ended stays as it is unless somebody asked for another try; a wish to stop is never forgotten."""
        assert new.token >= old.token
        if old.status in TERMINAL:
            if retried:
                assert (new.status, new.tries, new.model_calls) == (ReplyStatus.QUEUED, 0, 0)
                assert (new.partial, new.started_at, new.input_tokens) == (None, None, None)
            else:
                assert [getattr(new, name) for name in _END] == [getattr(old, name) for name in _END]
                assert after.answers.get(new.id) == self.before.answers.get(old.id)
        elif old.stop_requested is not None:
            assert new.stop_requested in (old.stop_requested, StopRequest.CANCEL)

    def _selection(self, turn: TurnKey, candidates: list[Row[Any]], after: World, step: Step) -> None:
        """The first that is completed, unless one was chosen; one that is wanted; at the end, the first with a text."""
        before = self.before.selected(turn)
        expected = before.id if before else None
        completed = [row.id for row in candidates if row.status == "completed" and self._was_live(row.id)]
        assert len(completed) <= 1
        if turn in step.chosen:
            expected = step.chosen[turn]
            self.wanted -= {row.id for row in candidates}
            self.chosen = self.chosen - {row.id for row in candidates} | {expected}
        elif completed and (expected is None or completed[0] in self.wanted):
            expected = completed[0]
        elif expected is None and all(row.status in TERMINAL for row in candidates):
            expected = next((row.id for row in candidates if row.id in after.answers), None)
        chosen = after.selected(turn)
        assert (chosen.id if chosen else None) == expected

    def _was_live(self, reply_id: str) -> bool:
        old = self.before.replies.get(reply_id)
        return old is not None and old.status in LIVE

    def _versions(self, after: World) -> None:
        for conversation_id in after.conversations.keys() & self.before.conversations.keys():
            old = self.before.conversations[conversation_id].version
            new = after.conversations[conversation_id].version
            assert new >= old
            if after.seen_in(conversation_id) != self.before.seen_in(conversation_id):
                assert new > old, "nobody who waits for a change would learn of this one"

    def _told(self, after: World) -> None:
        """Of each end somebody is told once, whoever ended the reply, and of nothing else."""
        for row in after.replies.values():
            has_ended = self._was_live(row.id) and row.status in TERMINAL
            is_kept = after.conversations[row.conversation_id].kind == "chat"
            expected = [*self.before.told.get(row.id, []), *([f"reply.{row.status}"] if has_ended and is_kept else [])]
            assert list(after.told.get(row.id, [])) == expected, row
        assert after.told.keys() <= after.replies.keys(), "what was erased is still told of"

    def _order(self, after: World) -> None:
        """Only the first live turn of a conversation is worked on."""
        for row in after.replies.values():
            if row.status == ReplyStatus.IN_PROGRESS:
                assert row.turn == min(each.turn for each in after.live(row.conversation_id))
            elif row.status == ReplyStatus.QUEUED and row.waits_for_turn:
                first = min(each.turn for each in after.live(row.conversation_id))
                assert first < row.turn, "no claim looks at it, and nobody would put it in line"


def check_tokens(moves: Sequence[Row[Any]]) -> None:
    """Every move is one that may be made, and raised the token by what it must."""
    for move in moves:
        made = (ReplyStatus(move.old_status), ReplyStatus(move.new_status))
        assert move.new_token - move.old_token in _TOKENS.get(made, set()), move
