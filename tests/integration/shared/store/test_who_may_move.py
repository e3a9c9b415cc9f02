"""The table "who may move a row", cell by cell: every move of the store on a reply in every state."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import pytest
from sqlalchemy import RowMapping

from shared.database.models import DEFAULT_TENANT, messages, replies, workers
from shared.ending import Ending
from shared.errors import NotFound, NotLastTurn, NotRetryable, NotSelectable, RequestError
from shared.reply_status import AttemptOutcome
from shared.store import candidates, claims, erasures, moves, stops, takeovers
from shared.store.candidates import Again
from shared.store.claims import Claim
from shared.store.moves import Lost
from shared.store.takeovers import Caps
from tests.integration.shared.rows import CAPS, COMPLETED, CUT_SHORT, MINUTE, NOW, Tables
from tests.integration.shared.store.states import ENDED, FAILED, LIVE, RUNNING, STATES, WAITING, held

USED_UP = Caps(tries=1, model_calls=1)
LATER = NOW + 5
HOUR = 60 * MINUTE


@dataclass(frozen=True)
class Made:
    """What a move made of the reply: its status, how much it added to three counts, and what is asked of it."""

    status: str
    token: int = 0
    tries: int = 0
    model_calls: int = 0
    stop: str | None = None


STAYS = "every column stays"
Cell = Made | str | type[Exception]


# --- the moves, each by whoever may make it ---

Move = Callable[[Tables, RowMapping, Claim], None]


def take(tables: Tables, row: RowMapping, _claim: Claim) -> None:
    worker_id = tables.worker("worker_that_claims_" + row["id"])
    tables(claims.claim, worker_id, limit=100, now=LATER)


def save_partial(tables: Tables, _row: RowMapping, claim: Claim) -> None:
    tables(moves.save_partial, claim, "The an")


def finish(ending: Ending) -> Move:
    def move(tables: Tables, _row: RowMapping, claim: Claim) -> None:
        tables(moves.finish, claim, ending, now=LATER)

    return move


def requeue(outcome: AttemptOutcome, *, give_back_try: bool = False, give_back_call: bool = False) -> Move:
    def move(tables: Tables, _row: RowMapping, claim: Claim) -> None:
        tables(
            moves.requeue,
            claim,
            outcome=outcome,
            next_at=LATER,
            now=LATER,
            give_back_try=give_back_try,
            give_back_call=give_back_call,
        )

    return move


def take_over(on_crash: str, *, caps: Caps = CAPS) -> Move:
    def move(tables: Tables, row: RowMapping, _claim: Claim) -> None:
        tables.change_reply(row["id"], on_crash=on_crash)
        worker_id = row["worker_id"] or "worker_of_" + row["id"]
        known = tables.rows(workers, id=worker_id)
        tables(takeovers.take_over, worker_id, last_beat=known[0]["beat"] if known else None, caps=caps, now=LATER)

    return move


def expire(at: int) -> Move:
    def move(tables: Tables, row: RowMapping, _claim: Claim) -> None:
        with tables.connection.begin():
            found = tables.connection.execute(replies.select().where(replies.c.id == row["id"])).one()
            takeovers.expire(tables.connection, found, caps=CAPS, now=at)

    return move


def cancel(tables: Tables, row: RowMapping, _claim: Claim) -> None:
    tables(stops.cancel, DEFAULT_TENANT, row["id"], now=LATER)


def interrupt(tables: Tables, row: RowMapping, _claim: Claim) -> None:
    tables(stops.interrupt, row["conversation_id"], now=LATER)


def regenerate(tables: Tables, row: RowMapping, _claim: Claim) -> None:
    new_id = tables(candidates.regenerate, DEFAULT_TENANT, row["id"], again=Again(MINUTE), now=LATER)
    new = tables.reply(new_id)
    assert (new["status"], new["turn"], new["candidate"], new["token"]) == ("queued", row["turn"], 2, 1)
    assert (new["attempt"], new["tries"], new["model_calls"]) == (0, 0, 0)


def choose(tables: Tables, row: RowMapping, _claim: Claim) -> None:
    tables(candidates.choose, DEFAULT_TENANT, row["id"], now=LATER)
    assert tables.reply(row["id"])["selected"]


def retry(tables: Tables, row: RowMapping, _claim: Claim) -> None:
    tables(candidates.retry, DEFAULT_TENANT, row["id"], deadline_ms=MINUTE, now=LATER)


def stamp_again(tables: Tables, _row: RowMapping, _claim: Claim) -> None:
    tables(takeovers.stamp_again, now=NOW - HOUR)


def stopped(*, token: int, otherwise: str, tries: int = 0, model_calls: int = 0) -> dict[str, Cell]:
    """The cells of what runs, where a stop that was asked for wins."""
    return {
        "in progress": Made(otherwise, token, tries, model_calls),
        "to be cancelled": Made("cancelled", token, tries, model_calls, "cancel"),
        "to be interrupted": Made("incomplete", token, tries, model_calls, "interrupt"),
    }


def of(states: tuple[str, ...], cell: Cell) -> dict[str, Cell]:
    return dict.fromkeys(states, cell)


TABLE: dict[str, tuple[Move, dict[str, Cell]]] = {
    # A worker takes what waits, and nothing else.
    "claim": (take, of(WAITING, Made("in_progress", 1, 1, 1)) | of((*RUNNING, *ENDED), STAYS)),
    # What a worker does with what it holds.
    "save": (save_partial, of(RUNNING, STAYS) | of((*WAITING, *ENDED), Lost)),
    "complete": (finish(COMPLETED), stopped(token=0, otherwise="completed") | of((*WAITING, *ENDED), Lost)),
    "end incomplete": (finish(CUT_SHORT), stopped(token=0, otherwise="incomplete") | of((*WAITING, *ENDED), Lost)),
    "fail": (finish(FAILED), stopped(token=0, otherwise="failed") | of((*WAITING, *ENDED), Lost)),
    "try again": (
        requeue(AttemptOutcome.RETRIED),
        stopped(token=1, otherwise="queued") | of((*WAITING, *ENDED), Lost),
    ),
    "try again, not counted": (
        requeue(AttemptOutcome.RETRIED, give_back_call=True),
        stopped(token=1, otherwise="queued", model_calls=-1) | of((*WAITING, *ENDED), Lost),
    ),
    "hand back": (
        requeue(AttemptOutcome.HANDED_BACK, give_back_try=True, give_back_call=True),
        stopped(token=1, otherwise="queued", tries=-1, model_calls=-1) | of((*WAITING, *ENDED), Lost),
    ),
    # What a sweeper does with what a dead worker held.
    "take over": (take_over("restart"), stopped(token=1, otherwise="queued") | of((*WAITING, *ENDED), STAYS)),
    "take over, keep text": (
        take_over("keep_partial"),
        stopped(token=1, otherwise="incomplete") | of((*WAITING, *ENDED), STAYS),
    ),
    "take over, fail": (take_over("fail"), stopped(token=1, otherwise="failed") | of((*WAITING, *ENDED), STAYS)),
    "take over, caps used up": (
        take_over("restart", caps=USED_UP),
        stopped(token=1, otherwise="failed") | of((*WAITING, *ENDED), STAYS),
    ),
    # What it does with what is late, whoever holds it.
    "expire": (
        expire(NOW + MINUTE),
        of(WAITING, Made("failed", 1)) | stopped(token=1, otherwise="failed") | of(ENDED, Lost),
    ),
    "expire too early": (expire(NOW + MINUTE - 1), of((*LIVE, *ENDED), Lost)),
    # After the clock was set back.
    "stamp again": (stamp_again, of(WAITING, Made("queued")) | of((*RUNNING, *ENDED), STAYS)),
    # What people ask for.
    "cancel": (
        cancel,
        of(WAITING, Made("cancelled", 1, stop="cancel"))
        | of(RUNNING, Made("in_progress", stop="cancel"))
        | of(("to be cancelled", *ENDED), STAYS),
    ),
    "interrupt": (
        interrupt,
        of(("queued",), Made("cancelled", 1, stop="cancel"))
        | of(("queued again",), Made("incomplete", 1, stop="interrupt"))
        | of(("in progress",), Made("in_progress", stop="interrupt"))
        | of(("to be cancelled", "to be interrupted", *ENDED), STAYS),
    ),
    "regenerate": (regenerate, of((*LIVE, *ENDED), STAYS)),
    "choose": (
        choose,
        of((*LIVE, *ENDED), NotSelectable)
        | {"completed": Made("completed"), "incomplete": Made("incomplete")},  # It is noted that somebody chose.
    ),
    "retry": (
        retry,
        of((*LIVE, *ENDED), NotRetryable) | of(("failed", "cancelled"), Made("queued", 1, -1, -1)),
    ),
}


def outcome(tables: Tables, reply_id: str, move: Move, *, claim: Claim | None = None) -> Cell:
    """What the move makes of the reply. A refusal changes nothing."""
    before, said = tables.reply(reply_id), tables.rows(messages)
    try:
        move(tables, before, claim or held(tables, reply_id))
    except (Lost, RequestError) as error:
        assert (_but_on_crash(tables.reply(reply_id)), tables.rows(messages)) == (_but_on_crash(before), said)
        return type(error)
    after = tables.reply(reply_id)
    if _but_on_crash(after) == _but_on_crash(before):
        return STAYS
    token, tries, model_calls = (after[name] - before[name] for name in ("token", "tries", "model_calls"))
    return Made(after["status"], token, tries, model_calls, after["stop_requested"])


def _but_on_crash(row: RowMapping) -> dict[str, Any]:
    """Tests set that where it is about a death."""
    return {name: value for name, value in row.items() if name != "on_crash"}


@pytest.mark.parametrize("name", TABLE)
def test_every_cell(name: str, tables: Tables) -> None:
    move, expected = TABLE[name]
    assert {state: outcome(tables, make(tables), move) for state, make in STATES.items()} == expected


def test_the_table_has_every_cell() -> None:
    assert [name for name, (_, cells) in TABLE.items() if cells.keys() != STATES.keys()] == []


OF_A_WORKER = ["save", "complete", "end incomplete", "fail", "try again", "try again, not counted", "hand back"]


@pytest.mark.parametrize("name", OF_A_WORKER)
def test_who_holds_an_older_token_moves_nothing(name: str, tables: Tables) -> None:
    move, _ = TABLE[name]
    for state in RUNNING:
        reply_id = STATES[state](tables)
        own = held(tables, reply_id)
        assert outcome(tables, reply_id, move, claim=replace(own, token=own.token - 1)) is Lost


@pytest.mark.parametrize("name", ["regenerate", "choose", "retry"])
def test_a_turn_that_the_conversation_has_left_stays_as_it_is(name: str, tables: Tables) -> None:
    move, _ = TABLE[name]
    for make in STATES.values():
        reply_id = make(tables)
        tables.ask(tables.reply(reply_id)["conversation_id"])
        assert outcome(tables, reply_id, move) is NotLastTurn


ERASED: dict[str, type[Exception]] = dict.fromkeys(OF_A_WORKER, Lost) | dict.fromkeys(
    ("cancel", "regenerate", "choose", "retry"), NotFound
)


@pytest.mark.parametrize("name", ERASED)
def test_what_is_erased_does_not_come_back(name: str, tables: Tables) -> None:
    move, _ = TABLE[name]
    for state in LIVE:
        reply_id = STATES[state](tables)
        row, claim = tables.reply(reply_id), held(tables, reply_id)
        tables(erasures.erase_one, DEFAULT_TENANT, row["conversation_id"])
        with pytest.raises(ERASED[name]):
            move(tables, row, claim)
        assert tables.count(replies) == tables.count(messages) == 0
