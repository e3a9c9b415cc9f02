"""What people do with what they asked for: stop it, choose, try again, fork, delete."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import precondition, rule
from sqlalchemy import Connection

from shared.database.models import DEFAULT_TENANT
from shared.errors import NotRetryable, NotSelectable, TooManyCandidates
from shared.reply_status import TERMINAL, ReplyStatus, StopRequest
from shared.store import candidates, erasures, forks, messages, stops
from shared.store.candidates import Again
from shared.store.stops import Stopped
from tests.integration.shared.store.asking_rules import DEADLINE_MS, NUMBER, AskingRules
from tests.integration.shared.store.promises import World

MAX_CONVERSATIONS = 3
# Fewer than there may be in truth, so that a walk gets there.
MAX_CANDIDATES = 4
RETRYABLE = frozenset({ReplyStatus.FAILED, ReplyStatus.CANCELLED})


def _history(connection: Connection, conversation_id: str, turn: int) -> list[tuple[int, str, str]]:
    return list(messages.history(connection, conversation_id, turn))[::-1]


class GatewayRules(AskingRules):
    """Each rule knows from the row before whether it must succeed."""

    @precondition(lambda self: self.world.replies)
    @rule(number=NUMBER)
    def cancel(self, number: int) -> None:
        """One that waits ends at once, one that runs is told, one that has ended stays."""
        row = self.some_reply(number, lambda row: row.status == "in_progress")
        if row.status in TERMINAL:
            self.step.conversations.clear()
        stopped = self.do(stops.cancel, DEFAULT_TENANT, row.id, now=self.now)
        now = self.tables.reply(row.id)
        self.outcomes[f"cancel while {row.status}"] += 1
        match row.status:
            case "queued":
                assert (stopped, now["status"]) == (Stopped([], [row.id]), "cancelled")
            case "in_progress":
                assert (stopped, now["status"]) == (Stopped([row.id], []), "in_progress")
                assert now["stop_requested"] == StopRequest.CANCEL
            case _:
                assert stopped == Stopped()

    @precondition(lambda self: self.world.replies)
    @rule(number=NUMBER, deadline_ms=DEADLINE_MS)
    def regenerate(self, number: int, deadline_ms: int) -> None:
        """One more candidate of the last turn, whatever the others do."""
        row = self.some_reply(number, lambda row: row.status in TERMINAL and not self.not_last(row))
        highest = max(each.candidate for each in self.world.turns[row.conversation_id, row.turn])
        refusal = self.not_last(row) or (TooManyCandidates if highest >= MAX_CANDIDATES else None)
        made = self.attempt(
            refusal, candidates.regenerate, DEFAULT_TENANT, row.id, again=Again(deadline_ms), now=self.now
        )
        if made is not None:
            self.promises.asked[made] = row.conversation_id
            self.promises.wanted.add(made)

    @precondition(lambda self: self.world.answers)
    @rule(number=NUMBER)
    def choose(self, number: int) -> None:
        """The one to go on from."""
        row = self.some_reply(number, lambda row: row.id in self.world.answers and not self.not_last(row))
        refusal = self.not_last(row) or (None if row.id in self.world.answers else NotSelectable)
        self.attempt(refusal, candidates.choose, DEFAULT_TENANT, row.id, now=self.now)
        if refusal is None:
            self.step.chosen[row.conversation_id, row.turn] = row.id

    @precondition(lambda self: any(row.status in RETRYABLE for row in self.world.replies.values()))
    @rule(number=NUMBER, deadline_ms=DEADLINE_MS)
    def retry(self, number: int, deadline_ms: int) -> None:
        """As if it had never been tried."""
        row = self.some_reply(number, lambda row: row.status in RETRYABLE and not self.not_last(row))
        refusal = self.not_last(row) or (None if row.status in RETRYABLE else NotRetryable)
        self.attempt(refusal, candidates.retry, DEFAULT_TENANT, row.id, deadline_ms=deadline_ms, now=self.now)
        if refusal is None:
            self.step.retried = row.id
            selected = self.world.selected((row.conversation_id, row.turn))
            if selected is not None and selected.status == "incomplete" and selected.id not in self.promises.chosen:
                self.outcomes["retry for a whole answer"] += 1
                self.promises.wanted.add(row.id)

    # --- whole conversations ---

    @precondition(lambda self: len(self.world.conversations) < MAX_CONVERSATIONS and self.world.answers)
    @rule(number=NUMBER, back=st.sampled_from([0, 0, 1]))
    def fork(self, number: int, back: int) -> None:
        """The past of one in a new one: what it says, and what has ended."""
        source = self.some_conversation(number)
        self.step.conversations.clear()  # The source stays as it is.
        last = self.world.conversations[source].next_turn - 1
        up_to = max(last - back, 0)
        made = self.do(forks.fork, DEFAULT_TENANT, source, up_to_turn=up_to if back else None, now=self.now)
        self.about(made)
        said = {turn: said for turn, said in self.promises.said.items() if turn[0] == source and turn[1] <= up_to}
        self.promises.said |= {(made, turn): words for (_, turn), words in said.items()}
        self.check_copies(source, made, up_to=up_to)

    def check_copies(self, source: str, made: str, *, up_to: int) -> None:
        """The same replies with the same answers, but for those that are live; each turn goes on from one."""
        world = self.tables(World.look)
        # A copy that is selected where its model was not is so by default; who wants to be is seen when it ends.
        own = {"id", "conversation_id", "selected", "becomes_selected", "uncounted_end"}
        for turn, rows in self.world.turns.items():
            if turn[0] != source or turn[1] > up_to:
                continue
            ended = [row for row in rows if row.status in TERMINAL]
            copied = world.turns.get((made, turn[1]), [])
            for old, new in zip(ended, copied, strict=True):
                assert {name: old._mapping[name] for name in old._mapping.keys() - own} == {
                    name: new._mapping[name] for name in new._mapping.keys() - own
                }
                answers = [getattr(world.answers.get(row.id), "content", None) for row in (old, new)]
                assert answers[0] == answers[1]
                self.promises.asked[new.id] = made
                for those in (self.promises.wanted, self.promises.chosen):
                    if old.id in those:
                        those.add(new.id)
            texts = [old.candidate for old in ended if old.id in world.answers]
            chosen = [old.candidate for old in ended if old.selected] or texts[:1]
            assert [new.candidate for new in copied if new.selected] == chosen
        assert {turn[1] for turn in world.turns if turn[0] == made} <= set(range(1, up_to + 1))

    @precondition(lambda self: len(self.world.conversations) >= MAX_CONVERSATIONS)
    @rule(number=NUMBER)
    def delete(self, number: int) -> None:
        """With all that belongs to it, whoever is at work on it."""
        conversation_id = self.some_conversation(number)
        assert self.do(erasures.erase_one, DEFAULT_TENANT, conversation_id).conversation_ids == [conversation_id]

    @rule(number=NUMBER)
    def read(self, number: int) -> None:
        """The model is shown what was said, with the answers that were selected and no others."""
        conversation_id = self.some_conversation(number)
        last = self.world.conversations[conversation_id].next_turn - 1
        expected = []
        for turn in range(1, last + 1):
            expected.append((turn, *self.promises.said[conversation_id, turn]))
            selected = self.world.selected((conversation_id, turn))
            if turn < last and selected is not None and selected.id in self.world.answers:
                expected.append((turn, "assistant", self.world.answers[selected.id].content))
        assert self.tables(_history, conversation_id, last) == expected
