"""The tables. Instants are whole milliseconds since 1970 in UTC: exact, sortable and the same on every database.

Every row carries a tenant. SQLite and PostgreSQL take the same definitions; the migrations build them and a test
holds the two equal. Tables are had from here alone: whoever has one has loaded all, so that what refers to another
table finds it, and what makes or copies them misses none.
"""

from shared.database.models.api_key import api_keys
from shared.database.models.conditions import (
    in_no_index,
    is_in_line,
    is_live,
    is_pending,
    is_queued,
    is_running,
    is_unanswered,
)
from shared.database.models.conventions import DEFAULT_TENANT, metadata
from shared.database.models.conversation import conversations, messages
from shared.database.models.erasure import erasures
from shared.database.models.idempotency_key import idempotency_keys
from shared.database.models.process import shared_secrets, workers
from shared.database.models.reply import attempts, replies
from shared.database.models.search import DERIVED, has_trigrams, search_documents, search_pending
from shared.database.models.usage import budgets, usage_days
from shared.database.models.webhook import webhook_deliveries, webhook_endpoints

__all__ = [
    "DEFAULT_TENANT",
    "DERIVED",
    "api_keys",
    "attempts",
    "budgets",
    "conversations",
    "erasures",
    "has_trigrams",
    "idempotency_keys",
    "in_no_index",
    "is_in_line",
    "is_live",
    "is_pending",
    "is_queued",
    "is_running",
    "is_unanswered",
    "messages",
    "metadata",
    "replies",
    "search_documents",
    "search_pending",
    "shared_secrets",
    "usage_days",
    "webhook_deliveries",
    "webhook_endpoints",
    "workers",
]
