"""What the store must not lose: one check or one effect for each mutant, and the tests that must miss it."""

from __future__ import annotations

from dataclasses import dataclass

STORE_TESTS = "tests/integration/shared/store"
TABLE = f"{STORE_TESTS}/test_who_may_move.py"
WALK = f"{STORE_TESTS}/test_state_machine.py"


@dataclass(frozen=True)
class Mutant:
    """A text that stands once in a file of the store, what to put there instead, and who must notice."""

    name: str
    module: str
    text: str
    instead: str
    seen_by: str = TABLE
    # Whether the walks of the state machine come upon it, too.
    is_met: bool = True

    @property
    def path(self) -> str:
        """Where the text stands."""
        return f"shared/store/{self.module}.py"


def _without(name: str, module: str, text: str, **more: str | bool) -> Mutant:
    return Mutant(name, module, text, "", **more)  # type: ignore[arg-type]  # Passed through.


# Those that the design names; `make test` tries them.
NAMED = [
    Mutant(
        "a move does not look at its token",
        "moves",
        'replies.c.token == bindparam("held_token"), is_running(replies))\n_sibling',
        'replies.c.token >= bindparam("held_token"), is_running(replies))\n_sibling',
    ),
    _without(
        "a turn does not wait for the one before",
        "claims",
        "    & ~IS_BLOCKED\n",
        # What waits is marked as well: only where the mark is missing does this alone keep the order.
        seen_by=f"{STORE_TESTS}/test_turns_in_line.py",
    ),
    Mutant(
        "a stop is forgotten when a reply is queued again",
        "moves",
        "**unless_stopped(literal(ReplyStatus.QUEUED), otherwise_reason=null()),",
        "status=literal(ReplyStatus.QUEUED),",
    ),
    Mutant(
        "an idempotency key is not stored",
        "idempotency",
        "if len(_REMEMBER[connection.dialect.name].all(connection, rows)) < len(rows):\n",
        "if len(rows) < len(rows):\n",
        seen_by=f"{STORE_TESTS}/test_idempotency.py",
    ),
]
OTHERS = [
    Mutant(
        "an end is told to nobody",
        "endings",
        "    if row.is_heard_of:\n",
        "    if row.is_heard_of is None:\n",
        seen_by=f"{STORE_TESTS}/test_webhook_deliveries.py",
    ),
    Mutant(
        "a delivery does not look at its token",
        "delivery_claims",
        '_table.token == bindparam("held_token")',
        '_table.token >= bindparam("held_token")',
        seen_by=f"{STORE_TESTS}/test_delivery_claims.py",
        is_met=False,
    ),
    Mutant(
        "a worker that has beaten since is taken for dead",
        "workers",
        "workers.c.beat == last_beat)",
        "workers.c.beat >= last_beat)",
        seen_by=f"{STORE_TESTS}/test_takeovers.py",
    ),
    _without(
        "a requeue leaves the token",
        "moves",
        "        token=replies.c.token + 1,\n",
    ),
    Mutant(
        "a take-over that ends a reply leaves the token",
        "moves",
        'token=replies.c.token + bindparam("fencing", type_=Integer),',
        'token=replies.c.token + 0 * bindparam("fencing", type_=Integer),',
    ),
    Mutant(
        "a deadline leaves the token",
        "takeovers",
        "        token=replies.c.token + 1,\n        worker_id=None,\n        error_code",
        "        worker_id=None,\n        error_code",
    ),
    Mutant(
        "a regeneration leaves the selection where it was",
        "moves",
        "if claim.becomes_selected and ending.status is ReplyStatus.COMPLETED:",
        "if not claim.becomes_selected and claim.becomes_selected:",
        seen_by=f"{STORE_TESTS}/test_regenerations.py",
    ),
    Mutant(
        "a regeneration under way overrules a choice",
        "candidates",
        'connection.execute(_KEEP_CHOICE, {**turn, "reply_id": reply_id})',
        "pass",
        seen_by=f"{STORE_TESTS}/test_choices.py",
    ),
    _without(
        "a claim does not look at the deadline",
        "claims",
        '    & (replies.c.deadline_at > bindparam("now"))\n',
        seen_by=f"{STORE_TESTS}/test_claims.py",
    ),
    Mutant(
        "a process that is taken for dead claims on",
        "claims",
        "if not worker_rows.lock(connection, worker_id):",
        "if worker_rows.lock(connection, worker_id) is None:",
        seen_by=f"{STORE_TESTS}/test_claims.py",
    ),
    Mutant(
        "a stop does not win over an ending",
        "moves",
        '**unless_stopped(bindparam("new_status"), otherwise_reason=bindparam("new_incomplete_reason")),',
        'status=bindparam("new_status"), incomplete_reason=bindparam("new_incomplete_reason"),',
    ),
    Mutant(
        "a crash does not look at the caps",
        "takeovers",
        "if row.tries >= caps.tries or row.model_calls >= caps.model_calls:",
        "if row.tries > caps.tries and row.model_calls > caps.model_calls:",
    ),
    Mutant(
        "a turn without a completed answer goes on from none",
        "endings",
        "    if any(row.selected or not ReplyStatus(row.status).is_terminal for row in rows):\n",
        "    if rows:\n",
        seen_by=f"{STORE_TESTS}/test_moves.py",
    ),
    Mutant(
        "a retry goes on with the old counts",
        "candidates",
        "        tries=0,\n        model_calls=0,\n",
        "",
    ),
    Mutant(
        "the model is shown every candidate",
        "messages",
        "        or_(messages.c.reply_id.is_(None), replies.c.selected),\n",
        "",
        seen_by=f"{STORE_TESTS}/test_messages.py",
    ),
    Mutant(
        "a claim is not a change",
        "claims",
        "conversation_rows.bump(connection, {row.conversation_id for row in found})",
        "connection.execute(conversations.select().where("
        "conversations.c.id.in_({row.conversation_id for row in found})))",
        seen_by=f"{STORE_TESTS}/test_claims.py",
    ),
    Mutant(
        "the next turn is not called when one is answered",
        "moves",
        "    if claim.turn != last_turn:\n",
        "    if last_turn is None:\n",
        seen_by=f"{STORE_TESTS}/test_turns_in_line.py",
    ),
    _without(
        "the next turn is not called when one is stopped",
        "endings",
        "    call_next_turn(connection, row.conversation_id)\n",
        seen_by=f"{STORE_TESTS}/test_turns_in_line.py",
    ),
    _without(
        "the next turn is not called when one is erased",
        "erasures",
        "    endings.call_next_turn(connection, conversation_id)\n",
        seen_by=f"{STORE_TESTS}/test_turns_in_line.py",
        is_met=False,
    ),
    Mutant(
        "a regeneration behind the last turn",
        "candidates",
        "    if row.turn != last_turn:\n",
        "    if row.turn > last_turn:\n",
    ),
]
# What others who write at the same moment would meet, where several write at once.
OF_LOCKS = [
    Mutant(
        "what is chosen, tried again or made anew does not lock its conversation",
        "candidates",
        "last_turn = conversation_rows.touch(connection, row.conversation_id, now=now) if row else None",
        'last_turn = conversation_rows.get(connection, tenant_id, row.conversation_id)["next_turn"] - 1',
        seen_by=f"{STORE_TESTS}/test_candidates_at_once.py",
        is_met=False,
    ),
    Mutant(
        "a claim waits for others",
        "claims",
        "skip_locked=True, key_share=True, of=[conversations, replies]",
        "key_share=True, of=[conversations, replies]",
        seen_by=f"{STORE_TESTS}/test_claims_at_once.py",
        is_met=False,
    ),
]
