"""What people ask, and what is promised to them with it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from typing import Any

from hypothesis import strategies as st
from hypothesis.stateful import initialize, precondition, rule
from sqlalchemy import Connection, Row

from shared.database.models import DEFAULT_TENANT, replies
from shared.errors import Busy, IdempotencyMismatch, NotLastTurn, RequestError
from shared.reply_status import LIVE, OnBusy, OnCrash, StopRequest
from shared.store import idempotency, turns
from shared.store.idempotency import KeyedRequest
from shared.store.turns import Ask, Said, Turn
from tests.integration.shared.store.promises import World
from tests.integration.shared.store.scene import Scene

KEY_LIFETIME_MS = 60

NUMBER = st.integers(0, 63)
DEADLINE_MS = st.sampled_from([5_000, 500, 60])
ON_CRASH = st.sampled_from(list(OnCrash))


def _ask_once(connection: Connection, keyed: KeyedRequest, conversation_id: str, asked: Ask, *, now: int) -> str:
    """As a gateway does it with an Idempotency-Key; what the key made."""
    found = idempotency.find(connection, keyed, now=now)
    if found is not None:
        return found
    turn = turns.ask(connection, DEFAULT_TENANT, conversation_id, asked=asked, now=now)
    idempotency.remember(connection, keyed, resource_type="turn", resource_id=turn.resource_id, now=now)
    return turn.resource_id


class AskingRules(Scene):
    """Each rule knows from what is stored whether it must succeed."""

    def __init__(self, *args: Any) -> None:
        super().__init__(*args)
        self.keys: dict[str, tuple[KeyedRequest, str, int]] = {}
        self.words = 0

    @initialize()
    def two_conversations(self) -> None:
        """There is something to begin with."""
        for n in (1, 2):
            conversation_id = self.tables.conversation()
            self.about(conversation_id)
            asked = self.question(n, 5_000, OnCrash.RESTART)
            turn = self.do(turns.ask, DEFAULT_TENANT, conversation_id, asked=asked, now=self.now)
            self.promise(turn, asked)

    @precondition(lambda self: len(self.world.conversations) < 2)
    @rule()
    def begin_conversation(self) -> None:
        """An empty one."""
        self.about(self.tables.conversation())

    # --- asking ---

    @precondition(lambda self: self.is_quiet())
    @rule(number=NUMBER, deadline_ms=DEADLINE_MS, on_crash=ON_CRASH)
    def ask_for_one(self, number: int, deadline_ms: int, on_crash: OnCrash) -> None:
        """As most do."""
        self.ask(number, 1, deadline_ms, on_crash)

    @precondition(lambda self: self.is_quiet())
    @rule(number=NUMBER, n=st.sampled_from([2, 3]), deadline_ms=DEADLINE_MS, on_crash=ON_CRASH)
    def ask_for_several(self, number: int, n: int, deadline_ms: int, on_crash: OnCrash) -> None:
        """Side by side."""
        self.ask(number, n, deadline_ms, on_crash)

    def ask(self, number: int, n: int, deadline_ms: int, on_crash: OnCrash) -> None:
        """And wait for the turns before."""
        conversation_id = self.some_conversation(number)
        asked = self.question(n, deadline_ms, on_crash)
        turn = self.do(turns.ask, DEFAULT_TENANT, conversation_id, asked=asked, now=self.now)
        self.accepted(turn, asked)

    @rule(number=NUMBER, n=st.sampled_from([1, 2]), on_busy=st.sampled_from(list(OnBusy)), on_crash=ON_CRASH)
    def ask_when_busy(self, number: int, n: int, on_busy: OnBusy, on_crash: OnCrash) -> None:
        """And wait, or go away, or break in."""
        running = {row.conversation_id for row in self.world.replies.values() if row.status == "in_progress"}
        conversation_id = self.some_conversation(number, among=running)
        live = sorted(self.world.live(conversation_id), key=lambda row: row.turn)
        asked = self.question(n, 500, on_crash, on_busy=on_busy)
        refusal = Busy if on_busy is OnBusy.REJECT and live else None
        turn = self.attempt(refusal, turns.ask, DEFAULT_TENANT, conversation_id, asked=asked, now=self.now)
        if turn is None:
            return
        self.accepted(turn, asked)
        to_stop = {row.id for row in live if row.status == "in_progress"}
        assert set(turn.stopped.running) == (to_stop if on_busy is OnBusy.INTERRUPT else set())
        for row in live:
            self.outcomes[f"{on_busy} while {row.status}"] += 1
            now = self.tables.reply(row.id)
            if on_busy is not OnBusy.INTERRUPT:
                assert (now["status"], now["stop_requested"]) == (row.status, row.stop_requested)
            elif row.status == "in_progress":
                assert now["stop_requested"] == row.stop_requested or StopRequest.INTERRUPT
            else:
                was_begun = row.turn == live[0].turn and row.attempt
                assert now["status"] == ("incomplete" if was_begun else "cancelled")

    @precondition(lambda self: self.waiting())
    @rule(number=NUMBER)
    def ask_through_an_older_gateway(self, number: int) -> None:
        """One that does not know of the mark on what waits for a turn."""
        row = self.pick(self.waiting(), number)
        self.about(row.conversation_id)
        self.outcomes["without a mark"] += 1
        self.tables.change_reply(row.id, waits_for_turn=False)

    def waiting(self) -> list[Row[Any]]:
        """Replies that are marked so."""
        return [row for row in self.world.replies.values() if row.status == "queued" and row.waits_for_turn]

    @rule(number=NUMBER, key=st.sampled_from(["key-1", "key-2"]))
    def ask_with_key(self, number: int, key: str) -> None:
        """One key makes one turn, until it is forgotten."""
        conversation_id = self.some_conversation(number)
        keyed = KeyedRequest(DEFAULT_TENANT, key, "POST", conversation_id, "hash", KEY_LIFETIME_MS)
        asked = self.question(1, 500, OnCrash.RESTART)
        first, resource_id, at = self.keys.get(key, (None, "", 0))
        if first is None or at <= self.now - KEY_LIFETIME_MS:
            made = self.do(_ask_once, keyed, conversation_id, asked, now=self.now)
            assert made == self.expect_turn(conversation_id, asked)
            self.keys[key] = (keyed, made, self.now)
        elif first == keyed:
            assert self.do(_ask_once, keyed, conversation_id, asked, now=self.now) == resource_id
            self.outcomes["the same key again"] += 1
        else:
            self.refused(IdempotencyMismatch, _ask_once, keyed, conversation_id, asked, now=self.now)

    @precondition(lambda self: any(at <= self.now - KEY_LIFETIME_MS for _, _, at in self.keys.values()))
    @rule()
    def forget_keys(self) -> None:
        """What upkeep does; nobody notices."""
        before = self.now - KEY_LIFETIME_MS
        self.do(idempotency.forget, before=before)
        self.keys = {key: made for key, made in self.keys.items() if made[2] > before}
        assert self.tables(World.look).keys.keys() == self.keys.keys()

    # Not often, since nobody can regenerate, choose or retry behind it.
    @precondition(lambda self: self.words % 4 == 0)
    @rule(number=NUMBER, role=st.sampled_from(["user", "assistant", "system"]))
    def append(self, number: int, role: str) -> None:
        """A turn that asks for nothing."""
        conversation_id = self.some_conversation(number)
        content = self.new_words()
        made = self.do(turns.append, DEFAULT_TENANT, conversation_id, said=[Said(content, role)], now=self.now)
        self.promises.said[conversation_id, made[0]["turn"]] = (role, content)

    # --- words for the rules ---

    def is_quiet(self) -> bool:
        """Whether there is so little to do that the last turns can be reached."""
        return sum(row.status in LIVE for row in self.world.replies.values()) < 6

    def some_conversation(self, number: int, *, among: Collection[str] = ()) -> str:
        """One of those that there are, or of these if there is any; the step is about it."""
        conversation_id = self.pick(sorted(among or self.world.conversations), number)
        self.about(conversation_id)
        return conversation_id

    def some_reply(self, number: int, prefer: Callable[[Row[Any]], bool]) -> Row[Any]:
        """One of those that there are, mostly one that is like that; the step is about it."""
        rows = sorted(self.world.replies.values(), key=lambda row: row.id)
        apt = [row for row in rows if prefer(row)]
        row = self.pick(apt if apt and number % 4 else rows, number // 4)
        self.about(row.conversation_id, row.id)
        return row

    def not_last(self, row: Row[Any]) -> type[RequestError] | None:
        """The refusal if the conversation has gone on."""
        return None if row.turn == self.world.conversations[row.conversation_id].next_turn - 1 else NotLastTurn

    def new_words(self) -> str:
        """What was never said before."""
        self.words += 1
        return f"words {self.words}"

    def question(self, n: int, deadline_ms: int, on_crash: OnCrash, *, on_busy: OnBusy = OnBusy.ENQUEUE) -> Ask:
        """Something to ask."""
        return Ask(self.new_words(), n, None, "model", deadline_ms, on_busy, on_crash)

    def accepted(self, turn: Turn, asked: Ask) -> None:
        """From now on it is promised."""
        assert turn.turn == self.world.conversations[turn.conversation_id].next_turn
        self.promise(turn, asked)

    def promise(self, turn: Turn, asked: Ask) -> None:
        """The message, and as many replies as were asked for."""
        assert len(turn.replies) == asked.n
        self.promises.said[turn.conversation_id, turn.turn] = ("user", asked.content)
        self.promises.asked |= {row["id"]: turn.conversation_id for row in turn.replies}

    def expect_turn(self, conversation_id: str, asked: Ask) -> str:
        """The same where only the turn's name is known; that name."""
        number = self.world.conversations[conversation_id].next_turn
        self.promises.said[conversation_id, number] = ("user", asked.content)
        rows = self.tables.rows(replies, conversation_id=conversation_id, turn=number)
        assert len(rows) == asked.n
        self.promises.asked |= {row["id"]: conversation_id for row in rows}
        return f"{conversation_id}/{number}"
