"""The tables. Instants are whole milliseconds since 1970 in UTC: exact, sortable and the same on every database.

Every row carries a tenant. SQLite and PostgreSQL take the same definitions; the migrations build them and a test
holds the two equal.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    CheckConstraint,
    Column,
    ColumnElement,
    ForeignKey,
    FromClause,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    UniqueConstraint,
    literal_column,
    text,
)

# Used until there are several tenants.
DEFAULT_TENANT = "default"

metadata = MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

conversations = Table(
    "conversations",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("kind", String(16), nullable=False, server_default="chat"),
    Column("parent_reply_id", String(64)),
    Column("end_user", String(255)),
    Column("title", Text),
    Column("instructions", Text),
    Column("model", String(200)),
    Column("parameters", JSON, nullable=False),
    Column("metadata", JSON, nullable=False),
    Column("next_turn", Integer, nullable=False, server_default="1"),
    # Grows with every message, setting and status change, never with partial text.
    Column("version", Integer, nullable=False, server_default="1"),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    CheckConstraint("kind in ('chat', 'ephemeral')", name="kind"),
)
Index("ix_conversations_recent", conversations.c.tenant_id, conversations.c.updated_at, conversations.c.id)
Index("ix_conversations_made", conversations.c.tenant_id, conversations.c.id)
Index(
    "ix_conversations_end_user",
    conversations.c.tenant_id,
    conversations.c.end_user,
    conversations.c.updated_at,
    conversations.c.id,
)

messages = Table(
    "messages",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE"), nullable=False),
    # Order is by turn and position, never by a clock: 0 is what was said, 1 to 8 are the candidates' answers.
    Column("turn", Integer, nullable=False),
    Column("position", Integer, nullable=False),
    Column("role", String(16), nullable=False),
    Column("content", Text, nullable=False),
    # What the content does not say: the `role` where it is one that models are told as `system`.
    Column("parts", JSON(none_as_null=True)),
    Column("reply_id", String(64), unique=True),
    Column("created_at", BigInteger, nullable=False),
    UniqueConstraint("conversation_id", "turn", "position"),
    CheckConstraint("role in ('user', 'assistant', 'system')", name="role"),
)

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
_IN_LINE = "status = 'queued' and waits_for_turn = false"
_RUNNING = "status = 'in_progress'"
_LIVE = "status in ('queued', 'in_progress')"
_UNANSWERED = "status in ('incomplete', 'failed', 'cancelled')"


def is_queued(rows: FromClause) -> ColumnElement[bool]:
    """Of those that are to end, those that nobody holds.

    Values are spelled out here and below because SQLite takes a partial index only for a condition it can read.
    """
    return rows.c.status == literal_column("'queued'")


def is_in_line(rows: FromClause) -> ColumnElement[bool]:
    """The condition of the partial indexes on queued replies that are not known to wait for an earlier turn."""
    return is_queued(rows) & (rows.c.waits_for_turn == literal_column("false"))


def is_running(rows: FromClause) -> ColumnElement[bool]:
    """The condition of the partial index on replies that a worker holds."""
    return rows.c.status == literal_column("'in_progress'")


def is_unanswered(rows: FromClause) -> ColumnElement[bool]:
    """The condition of the partial index on replies that ended without their whole text."""
    return rows.c.status.in_(
        [literal_column("'incomplete'"), literal_column("'failed'"), literal_column("'cancelled'")]
    )


def is_live(rows: FromClause) -> ColumnElement[bool]:
    """The condition of the partial indexes on replies that are still to end."""
    return rows.c.status.in_([literal_column("'queued'"), literal_column("'in_progress'")])


def in_no_index(column: ColumnElement[str]) -> ColumnElement[str]:
    """The same text, which no index has: where SQLite, which knows of no sizes, would go by the wrong index.

    It likes to go through all that a tenant has in the order that is wanted, to find the few rows that are.
    """
    return column + ""


def _partial_index(name: str, *columns: Column[Any], where: str, unique: bool = False) -> None:
    Index(name, *columns, unique=unique, sqlite_where=text(where), postgresql_where=text(where))


# The claim and the sweeper read only live rows, so their cost does not grow with the history. What waits for a turn is
# not in line, so nor does it with the queue of a conversation. What a row asks is in the index too, so that a claim
# passes over thousands whose upstream is full without reading them.
_in_turn = (replies.c.available_at, replies.c.id, replies.c.model, replies.c.next_route)
_partial_index("ix_replies_due", *_in_turn, where=_IN_LINE)
_partial_index("ix_replies_due_of_tenant", replies.c.tenant_id, *_in_turn, where=_IN_LINE)
_partial_index("ix_replies_held", replies.c.worker_id, where=_RUNNING)
_partial_index("ix_replies_live_turns", replies.c.conversation_id, replies.c.turn, replies.c.candidate, where=_LIVE)
_partial_index("ix_replies_live_deadline", replies.c.deadline_at, where=_LIVE)
_partial_index("ix_replies_live_tenant", replies.c.tenant_id, where=_LIVE)
# Whoever looks for the few that failed finds them among millions that did not.
_partial_index("ix_replies_unanswered", replies.c.tenant_id, replies.c.status, replies.c.id, where=_UNANSWERED)
_partial_index("uq_replies_selected", replies.c.conversation_id, replies.c.turn, where="selected", unique=True)
_partial_index("ix_conversations_ephemeral", conversations.c.updated_at, where="kind = 'ephemeral'")
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

_UNCOUNTED = "uncounted_day is not null"
_partial_index("ix_attempts_uncounted_of_key", attempts.c.tenant_id, attempts.c.key_id, where=_UNCOUNTED)
_partial_index("ix_attempts_uncounted_of_end_user", attempts.c.tenant_id, attempts.c.end_user, where=_UNCOUNTED)
_partial_index("ix_replies_uncounted_end", replies.c.tenant_id, where="uncounted_end is not null")

# What was used, summed up. It outlives what it was used for, and holds nothing of what was said.
usage_days = Table(
    "usage_days",
    metadata,
    Column("tenant_id", String(64), primary_key=True),
    Column("day", Integer, primary_key=True, autoincrement=False),
    Column("model", String(200), primary_key=True),
    # Empty where there was none, since a primary key has no nulls.
    Column("key_id", String(64), primary_key=True),
    Column("end_user", String(255), primary_key=True),
    # How many replies ended so; a reply that is tried again on request ends more than once.
    Column("completed", Integer, nullable=False),
    Column("incomplete", Integer, nullable=False),
    Column("failed", Integer, nullable=False),
    Column("cancelled", Integer, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("input_tokens", BigInteger, nullable=False),
    Column("output_tokens", BigInteger, nullable=False),
    # The part of both that is estimated.
    Column("estimated_tokens", BigInteger, nullable=False),
)
Index("ix_usage_days_of_key", usage_days.c.tenant_id, usage_days.c.key_id, usage_days.c.day)
Index("ix_usage_days_of_end_user", usage_days.c.tenant_id, usage_days.c.end_user, usage_days.c.day)

# How many tokens may be used; null is no limit.
budgets = Table(
    "budgets",
    metadata,
    Column("tenant_id", String(64), primary_key=True),
    # Whose it is, by kind and id; a kind of which there is one for a tenant has no id.
    Column("spender", String(16), primary_key=True),
    Column("subject", String(255), primary_key=True),
    Column("tokens_per_day", BigInteger),
    Column("tokens_per_month", BigInteger),
    Column("updated_at", BigInteger, nullable=False),
)

workers = Table(
    "workers",
    metadata,
    # Random for each start of a process; api processes have a row too, since they sweep.
    Column("id", String(64), primary_key=True),
    Column("host", String(255), nullable=False),
    # A counter, so that no clock is compared.
    Column("beat", BigInteger, nullable=False),
    Column("started_at", BigInteger, nullable=False),
    # How many replies it makes at once; null for a gateway.
    Column("slots", Integer),
)

idempotency_keys = Table(
    "idempotency_keys",
    metadata,
    Column("tenant_id", String(64), primary_key=True),
    Column("key", String(255), primary_key=True),
    Column("method", String(8), nullable=False),
    Column("path", String(255), nullable=False),
    Column("request_hash", String(64), nullable=False),
    Column("resource_type", String(32), nullable=False),
    Column("resource_id", String(128), nullable=False),
    Column("created_at", BigInteger, nullable=False),
    # Whose erasure takes the key along.
    Column("conversation_id", String(64)),
)
Index("ix_idempotency_keys_created_at", idempotency_keys.c.created_at)
Index("ix_idempotency_keys_conversation_id", idempotency_keys.c.conversation_id)

erasures = Table(
    "erasures",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    # Whose, and the last conversation that is erased with all before it; both forgotten in the end.
    Column("end_user", String(255)),
    Column("up_to", String(64)),
    # How many of what, so far.
    Column("erased", JSON, nullable=False),
    # By when what may be left of event logs is gone.
    Column("logs_expire_at", BigInteger),
    Column("started_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
    Column("finished_at", BigInteger),
)
_partial_index("ix_erasures_unfinished", erasures.c.tenant_id, erasures.c.end_user, where="finished_at is null")

api_keys = Table(
    "api_keys",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("name", String(200), nullable=False),
    # What a key is looked up by; of the rest of it there is only a digest.
    Column("prefix", String(32), nullable=False, unique=True),
    Column("digest", String(64), nullable=False),
    Column("scopes", JSON, nullable=False),
    Column("created_at", BigInteger, nullable=False),
    Column("expires_at", BigInteger),
    Column("revoked_at", BigInteger),
    Column("last_used_at", BigInteger),
    # There is a new key in its place.
    Column("rotated_at", BigInteger),
)

webhook_endpoints = Table(
    "webhook_endpoints",
    metadata,
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("url", String(2048), nullable=False),
    Column("description", String(500)),
    # The names of the events it gets.
    Column("events", JSON, nullable=False),
    # What its deliveries are signed with; for a while after a rotation with both.
    Column("secret", String(100), nullable=False),
    Column("previous_secret", String(100)),
    Column("previous_until", BigInteger),
    Column("enabled", Boolean(create_constraint=False), nullable=False),
    # A DisabledBecause; null while it is enabled.
    Column("disabled_because", String(16)),
    # When a try failed first since one came through.
    Column("failing_since", BigInteger),
    Column("created_at", BigInteger, nullable=False),
    Column("updated_at", BigInteger, nullable=False),
)
Index("ix_webhook_endpoints_of_tenant", webhook_endpoints.c.tenant_id, webhook_endpoints.c.id)

webhook_deliveries = Table(
    "webhook_deliveries",
    metadata,
    # The same for every try at it.
    Column("id", String(64), primary_key=True),
    Column("tenant_id", String(64), nullable=False),
    Column("endpoint_id", ForeignKey("webhook_endpoints.id", ondelete="CASCADE"), nullable=False),
    # What was said in a conversation is gone when it is; null for a test.
    Column("conversation_id", ForeignKey("conversations.id", ondelete="CASCADE")),
    Column("reply_id", String(64)),
    Column("event", String(32), nullable=False),
    # The body, just as it is sent.
    Column("payload", Text, nullable=False),
    Column("status", String(16), nullable=False, server_default="pending"),
    Column("tries", Integer, nullable=False, server_default="0"),
    Column("token", Integer, nullable=False, server_default="1"),
    Column("worker_id", String(64)),
    Column("available_at", BigInteger, nullable=False),
    # How the last try went.
    Column("tried_at", BigInteger),
    Column("response_status", Integer),
    Column("response_text", Text),
    Column("error", Text),
    Column("created_at", BigInteger, nullable=False),
    Column("ended_at", BigInteger),
    CheckConstraint("status in ('pending', 'in_progress', 'delivered', 'failed')", name="status"),
)
Index("ix_webhook_deliveries_of_endpoint", webhook_deliveries.c.endpoint_id, webhook_deliveries.c.id)
Index("ix_webhook_deliveries_of_conversation", webhook_deliveries.c.conversation_id)


def is_pending(rows: FromClause) -> ColumnElement[bool]:
    """The condition of the partial index on deliveries that are still to be tried."""
    return rows.c.status == literal_column("'pending'")


_partial_index(
    "ix_webhook_deliveries_due",
    webhook_deliveries.c.endpoint_id,
    webhook_deliveries.c.available_at,
    webhook_deliveries.c.id,
    where="status = 'pending'",
)
_partial_index(
    "ix_webhook_deliveries_failed", webhook_deliveries.c.endpoint_id, webhook_deliveries.c.id, where="status = 'failed'"
)
_partial_index("ix_webhook_deliveries_held", webhook_deliveries.c.worker_id, where=_RUNNING)

shared_secrets = Table(
    "shared_secrets",
    metadata,
    Column("name", String(64), primary_key=True),
    Column("value", String(200), nullable=False),
    Column("created_at", BigInteger, nullable=False),
)
