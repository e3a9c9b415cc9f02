"""Rows for tests: what a gateway and a worker would have made, in few words."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar

from sqlalchemy import Connection, RowMapping, Table, func, select, text, update

from shared.database.engine import open_engine, parse_url
from shared.database.models import DEFAULT_TENANT, attempts, idempotency_keys, messages, replies
from shared.database.models import workers as worker_rows
from shared.ending import Ending, Usage
from shared.ids import new_conversation_id, new_webhook_id
from shared.reply_status import TRANSITIONS, IncompleteReason, ReplyStatus, StopRequest
from shared.store import claims, conversations, idempotency, turns, webhook_endpoints, workers
from shared.store.claims import Claim
from shared.store.idempotency import KeyedRequest
from shared.store.takeovers import Caps
from shared.store.turns import Ask
from shared.webhooks.events import DEFAULT_EVENTS
from shared.webhooks.signature import new_secret

P = ParamSpec("P")
T = TypeVar("T")

NOW = 1_000_000
MINUTE = 60_000
CAPS = Caps(tries=4, model_calls=2)
USAGE = Usage(input_tokens=12, output_tokens=34)

COMPLETED = Ending(ReplyStatus.COMPLETED, "The answer.", USAGE)
CUT_SHORT = Ending(ReplyStatus.INCOMPLETE, "The ans", USAGE, incomplete_reason=IncompleteReason.MAX_OUTPUT_TOKENS)

_SEEN = "insert into moves_seen values (new.id, old.status, new.status, old.token, new.token);"
_MOVED = "after update on replies {} when (old.status <> new.status or old.token <> new.token)"
_RECORD_MOVES = {
    "sqlite": f"create trigger record_moves {_MOVED.format('')} begin {_SEEN} end",
    "postgresql": f"""
        create function record_move() returns trigger language plpgsql as 'begin {_SEEN} return new; end';
        create trigger record_moves {_MOVED.format("for each row")} execute function record_move()
        """,
}


@dataclass(frozen=True, slots=True)
class Tables:
    """A database, each call a transaction of its own. It records every move of a reply, to be checked at the end."""

    connection: Connection

    def __call__(self, function: Callable[Concatenate[Connection, P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs `function(connection, …)` and commits."""
        with self.connection.begin():
            return function(self.connection, *args, **kwargs)

    def used_key(self, resource_id: str) -> None:
        """An idempotency key, called as what was made with it."""
        request = KeyedRequest(DEFAULT_TENANT, resource_id, "POST", "/", "hash", MINUTE)
        self(idempotency.remember, request, resource_type="turn", resource_id=resource_id, now=NOW)

    def keys(self) -> list[str]:
        """The idempotency keys there are."""
        return [row["key"] for row in self.rows(idempotency_keys)]

    def record_moves(self) -> None:
        """Starts to record."""
        with self.connection.begin():
            self.connection.execute(
                text(
                    "create table moves_seen (id text, old_status text, new_status text, old_token int, new_token int)"
                )
            )
            self.connection.exec_driver_sql(_RECORD_MOVES[self.connection.dialect.name])

    def check_moves(self) -> None:
        """No move was one that the table of transitions does not have, and no token ever fell."""
        with self.connection.begin():
            seen = self.connection.execute(text("select * from moves_seen")).all()
        for move in seen:
            if move.old_status != move.new_status:
                assert move.new_status in TRANSITIONS[ReplyStatus(move.old_status)], move
            assert move.new_token >= move.old_token, move

    def rows(self, table: Table, **having: Any) -> Sequence[RowMapping]:
        """The rows that have these values, by primary key."""
        query = select(table).where(*(table.c[name] == value for name, value in having.items()))
        with self.connection.begin():
            return self.connection.execute(query.order_by(*table.primary_key.columns)).mappings().all()

    def count(self, table: Table) -> int:
        """How many rows there are."""
        with self.connection.begin():
            return self.connection.execute(select(func.count()).select_from(table)).scalar_one()

    def reply(self, reply_id: str) -> RowMapping:
        """The reply as it is stored."""
        (row,) = self.rows(replies, id=reply_id)
        return row

    def answers(self, reply_id: str) -> list[str]:
        """The assistant's messages that the reply made."""
        return [row["content"] for row in self.rows(messages, reply_id=reply_id)]

    def outcomes(self, reply_id: str) -> list[str | None]:
        """What became of its attempts, in order."""
        return [row["outcome"] for row in self.rows(attempts, reply_id=reply_id)]

    def change_reply(self, reply_id: str, **values: Any) -> None:
        """Sets columns as nothing in the store does."""
        with self.connection.begin():
            self.connection.execute(update(replies).where(replies.c.id == reply_id).values(**values))

    def stop(self, reply_id: str, how: StopRequest) -> None:
        """What a gateway notes on a running reply that somebody asks to stop."""
        self.change_reply(reply_id, stop_requested=how)

    def conversation(self, **values: Any) -> str:
        """A new conversation."""
        conversation_id = new_conversation_id()
        given = {
            "id": conversation_id,
            "tenant_id": DEFAULT_TENANT,
            "parameters": {},
            "metadata": {},
            "created_at": NOW,
            "updated_at": NOW,
            **values,
        }
        self(conversations.create, given)
        return str(given["id"])

    def ask(
        self, conversation_id: str, content: str = "Hello", *, n: int = 1, now: int = NOW, deadline_ms: int = MINUTE
    ) -> list[str]:
        """A turn; returns the ids of its replies."""
        asked = Ask(content, n, None, "default-model", deadline_ms)
        turn = self(turns.ask, DEFAULT_TENANT, conversation_id, asked=asked, now=now)
        return [row["id"] for row in turn.replies]

    def asked(self, *, n: int = 1) -> list[str]:
        """A turn of a new conversation; returns the ids of its replies."""
        return self.ask(self.conversation(), n=n)

    def listen(self, *events: str, tenant_id: str = DEFAULT_TENANT, **values: Any) -> str:
        """An endpoint for these events, our own ones if none is named."""
        given = {
            "id": new_webhook_id(),
            "tenant_id": tenant_id,
            "url": "https://receiver.example/hook",
            "events": list(events or DEFAULT_EVENTS),
            "secret": new_secret(),
            "enabled": True,
            "created_at": NOW,
            "updated_at": NOW,
            **values,
        }
        self(webhook_endpoints.add, given)
        return str(given["id"])

    def worker(self, worker_id: str = "worker_a") -> str:
        """A registered worker."""
        self(workers.register, worker_id, host="here", now=NOW)
        return worker_id

    def claim(self, worker_id: str = "worker_a", *, limit: int = 100, now: int = NOW) -> list[Claim]:
        """What the worker gets, which is registered if need be."""
        if not self.rows(worker_rows, id=worker_id):
            self.worker(worker_id)
        return self(claims.claim, worker_id, limit=limit, now=now)

    def running(self, *, worker_id: str = "worker_a") -> Claim:
        """A new conversation's reply that the worker holds."""
        (reply_id,) = self.asked()
        (claim,) = [claim for claim in self.claim(worker_id) if claim.reply_id == reply_id]
        return claim


@contextmanager
def opened_tables(database_url: str) -> Iterator[Tables]:
    """The database for the block; at its end every move that was made is checked."""
    with open_engine(parse_url(database_url), read_only=False).connect() as connection:
        driver = connection.connection.dbapi_connection
        assert driver is not None
        # Nothing here is about disks.
        is_sqlite = connection.dialect.name == "sqlite"
        driver.execute("pragma synchronous=off" if is_sqlite else "set synchronous_commit = off")
        tables = Tables(connection)
        tables.record_moves()
        yield tables
        tables.check_moves()
