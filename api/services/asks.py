"""Asking, as the writing thread does it: by itself, or for many at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from sqlalchemy import Connection

from api.entry.admission import Admission
from api.services import reading
from api.services.keyed_write import Made, Making, make_once
from shared.budgets import Budgets
from shared.clock import now_ms
from shared.database.calls import APART
from shared.errors import RequestError
from shared.reply_status import OnBusy
from shared.store import idempotency, turns
from shared.store.idempotency import KeyedRequest
from shared.store.turns import Ask, Turn, Where

_RESOURCE_TYPE = "turn"


class Asks:
    """Stores what is asked, as far as budgets and the queue have room for it. A function of a connection."""

    def __init__(self, budgets: Budgets, admission: Admission) -> None:
        self._budgets = budgets
        self._admission = admission

    def __call__(self, connection: Connection, where: Where, asked: Ask, keyed: KeyedRequest | None) -> Made[Turn]:
        """See `api.services.replies.ask`."""
        return make_once(connection, keyed, self.making(where.tenant_id, lambda _connection: where, asked))

    def making(self, tenant_id: str, find: Callable[[Connection], Where], asked: Ask) -> Making[Turn]:
        """Asks in the conversation that `find` finds or makes, in the same transaction."""

        def make(connection: Connection) -> Turn:
            where = find(connection)
            self._budgets.require(connection, tenant_id, key_id=asked.key_id, conversation_id=where.conversation_id)
            turn = turns.ask(connection, tenant_id, where.conversation_id, asked=asked, now=now_ms())
            self._admission.take(tenant_id, asked.n)
            return turn

        return Making(_RESOURCE_TYPE, make=make, id_of=lambda turn: turn.resource_id, find=turn_finder(tenant_id))

    def many(self, connection: Connection, calls: Sequence[tuple[Where, Ask, KeyedRequest | None]]) -> list[Any]:
        """Asks in several conversations at once. Whatever is not plain is left to be asked by itself.

        Raises:
            KeyTaken: another gateway stored one of the keys just now.
        """
        plain = self._plain(connection, calls)
        made: list[Any] = [APART] * len(calls)
        try:
            for number, each in zip(plain, _ask_all(connection, [calls[number] for number in plain]), strict=True):
                made[number] = each
        finally:
            for number in plain:
                if made[number] is APART:
                    where, asked, _ = calls[number]
                    self._admission.give_back(where.tenant_id, asked.n)
        return made

    def _plain(self, connection: Connection, calls: Sequence[tuple[Where, Ask, KeyedRequest | None]]) -> list[int]:
        """Which of them nothing stands against: the first in its conversation, with a new key, and room for it."""
        keys = idempotency.known(connection, [keyed for _, _, keyed in calls if keyed is not None])
        seen: set[Where] = set()
        plain = []
        for number, (where, asked, keyed) in enumerate(calls):
            if where in seen:
                continue  # The turns of a conversation come in the order in which they were asked for.
            seen.add(where)
            key = None if keyed is None else (keyed.tenant_id, keyed.key)
            if key in keys or asked.on_busy is not OnBusy.ENQUEUE or not self._has_room(connection, where, asked):
                continue
            if key is not None:
                keys.add(key)
            plain.append(number)
        return plain

    def _has_room(self, connection: Connection, where: Where, asked: Ask) -> bool:
        """Whether it may be asked, which then counts as under way."""
        try:
            self._budgets.require(
                connection, where.tenant_id, key_id=asked.key_id, conversation_id=where.conversation_id
            )
            self._admission.take(where.tenant_id, asked.n)
        except RequestError:
            return False
        return True


def _ask_all(connection: Connection, calls: Sequence[tuple[Where, Ask, KeyedRequest | None]]) -> list[Any]:
    now = now_ms()
    stored = turns.ask_many(connection, [(where, asked) for where, asked, _ in calls], now=now)
    keyed = [(call[2], turn.resource_id) for call, turn in zip(calls, stored, strict=True) if turn and call[2]]
    idempotency.remember_all(connection, keyed, resource_type=_RESOURCE_TYPE, now=now)
    return [APART if turn is None else Made(turn, is_new=True) for turn in stored]


def turn_finder(tenant_id: str) -> Callable[[Connection, str], Turn]:
    """Finds a turn by what its key's row calls it: `<conversation>/<turn>`."""

    def find(connection: Connection, resource_id: str) -> Turn:
        conversation_id, _, number = resource_id.partition("/")
        return reading.turn(connection, tenant_id, conversation_id, int(number))

    return find
