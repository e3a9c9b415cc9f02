"""The replies that were asked for, and each attempt at one."""

from __future__ import annotations

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ForeignKey,
    Index,
    Integer,
    String,
    Table,
    Text,
    UniqueConstraint,
    text,
)

from shared.database.models.conditions import IN_LINE, LIVE, RUNNING, UNANSWERED, UNCOUNTED
from shared.database.models.conventions import metadata, partial_index

replies = Table(
    "replies",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    Column("turn", Integer, nullable=False),
    Column("candidate", Integer, nullable=False),
    Column("status", String(16), nullable=False),
    Column("model", String(200), nullable=False),
    Column("parameters", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("on_crash", String(16), nullable=False, server_default="restart"),
    # attempt counts every claim; tries and model_calls count what the caps are about.
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("model_calls", Integer, nullable=False, server_default="0"),
    # The fencing token: whoever claims or takes over adds one, and every later write must carry it.
    Column("token", Integer, nullable=False, server_default="1"),
    Column("worker_id", String(64)),
    # The worker before died, and this was among what it had begun last: it is tried alone.
    Column("is_suspect", Boolean(create_constraint=False), nullable=False, server_default=text("false")),
    Column("available_at", BigInteger, nullable=False),
    # An earlier turn was live when it was queued, and nobody has ended that one since. Whoever does so takes the mark
    # away. It only spares claims a look at the row: false proves nothing.
    Column("waits_for_turn", Boolean(create_constraint=False), nullable=False, server_default=text("false")),
    Column("deadline_at", BigInteger, nullable=False),
    Column("stop_requested", String(16)),
    Column("selected", Boolean(create_constraint=False), nullable=False, server_default=text("false")),
    # Somebody wants the conversation to go on from it: it was chosen, or is to be once it completes.
    Column("becomes_selected", Boolean(create_constraint=False), nullable=False, server_default=text("false")),
    # At which of its model's routes the next attempt begins to look: 0 is the model's own, the others are fallbacks.
    Column("next_route", Integer, nullable=False, server_default="0"),
    Column("partial", Text),
    # The last event that the partial text has in it; of an ended reply, the one that told its end.
    Column("partial_cursor", String(64)),
    # The characters of each piece that the partial text went out in.
    Column("partial_lengths", JSON(none_as_null=True)),
    # Instead of the conversation's, for this reply alone.
    Column("instructions", Text),
    # The API key it was last asked for with; null where no key is needed.
    Column("key_id", String(64)),
    # What a request in OpenAI's dialect said that only this dialect tells again; null for the native one.
    Column("request", JSON(none_as_null=True)),
    # The trace of whoever asked, for the worker that answers; null unless the gateway traces.
    Column("traceparent", String(64)),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("error_retryable", Boolean(create_constraint=False)),
    Column("incomplete_reason", String(32)),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    # Whether they are our estimate: models count only at the end of an answer, and some never.
    Column("usage_estimated", Boolean(create_constraint=False)),
    # The status in which it ended while no worker had it, until that is in `usage_days`.
    Column("uncounted_end", String(16)),
    Column("created_at", BigInteger, nullable=False),
    Column("started_at", BigInteger),
    Column("finished_at", BigInteger),
    # What somebody thinks of it: `up` or `down`.
    Column("feedback_rating", String(8)),
    Column("feedback_comment", Text),
    Column("feedback_at", BigInteger),
    UniqueConstraint("conversation_id", "turn", "candidate"),
    CheckConstraint(
        "status in ('queued', 'in_progress', 'completed', 'incomplete', 'failed', 'cancelled')", name="status"
    ),
    CheckConstraint("on_crash in ('restart', 'keep_partial', 'fail')", name="on_crash"),
    CheckConstraint("stop_requested in ('cancel', 'interrupt')", name="stop_requested"),
)

# The claim and the sweeper read only live rows, so their cost does not grow with the history. What waits for a turn is
# not in line, so nor does it with the queue of a conversation. What a row asks is in the index too, so that a claim
# passes over thousands whose upstream is full without reading them.
_in_turn = (replies.c.available_at, replies.c.id, replies.c.model, replies.c.next_route)
partial_index("ix_replies_due", *_in_turn, where=IN_LINE)
partial_index("ix_replies_due_of_tenant", replies.c.tenant_id, *_in_turn, where=IN_LINE)
partial_index("ix_replies_held", replies.c.worker_id, where=RUNNING)
partial_index("ix_replies_live_turns", replies.c.conversation_id, replies.c.turn, replies.c.candidate, where=LIVE)
partial_index("ix_replies_live_deadline", replies.c.deadline_at, where=LIVE)
partial_index("ix_replies_live_tenant", replies.c.tenant_id, where=LIVE)
# Whoever looks for the few that failed finds them among millions that did not.
partial_index("ix_replies_unanswered", replies.c.tenant_id, replies.c.status, replies.c.id, where=UNANSWERED)
partial_index("uq_replies_selected", replies.c.conversation_id, replies.c.turn, where="selected", unique=True)
partial_index("ix_replies_uncounted_end", replies.c.tenant_id, where="uncounted_end is not null")
Index("ix_replies_recent", replies.c.tenant_id, replies.c.id)

attempts = Table(
    "attempts",
    metadata,
    Column("reply_id", ForeignKey("replies.id", ondelete="CASCADE"), primary_key=True),
    Column("attempt", Integer, primary_key=True, autoincrement=False),
    Column("tenant_id", String(64), nullable=False),
    Column("worker_id", String(64), nullable=False),
    # Whose usage it is, as it was when the try began.
    Column("model", String(200)),
    Column("key_id", String(64)),
    Column("end_user", String(255)),
    # Who was asked, and the model's name there; null where the model was on offer no more.
    Column("upstream", String(100)),
    Column("upstream_model", String(200)),
    Column("started_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    # An AttemptOutcome; null while it runs.
    Column("outcome", String(16)),
    Column("error_code", String(64)),
    Column("error_message", Text),
    Column("input_tokens", Integer),
    Column("output_tokens", Integer),
    Column("usage_estimated", Boolean(create_constraint=False)),
    # The status that it ended its reply in; null where another try was to follow.
    Column("reply_status", String(16)),
    # The UTC day it ended on, in days since 1970, until its usage is in `usage_days`.
    Column("uncounted_day", Integer),
    # The characters of each piece that went out, so that a stream can be told again just as it was; the text itself
    # only of a try that did not end the reply.
    Column("lengths", JSON(none_as_null=True)),
    Column("text", Text),
    # From calling the model to the first piece of its answer; null where none came, or nobody lived to tell.
    Column("first_token_ms", Integer),
)
partial_index("ix_attempts_uncounted_of_key", attempts.c.tenant_id, attempts.c.key_id, where=UNCOUNTED)
partial_index("ix_attempts_uncounted_of_end_user", attempts.c.tenant_id, attempts.c.end_user, where=UNCOUNTED)
