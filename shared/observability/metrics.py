"""What a process measures of itself, in the form that Prometheus reads. Never what anybody says, or whose it is.

To add a metric: define it here if gateways and workers both have it, else in `api/metrics.py` or `worker/metrics.py`,
and call it where the thing happens.

    DELIVERIES = cache(Counter("asyncchat_webhook_deliveries_total", "Webhook deliveries.", ["outcome"]).labels)
    DELIVERIES("delivered").inc()

- The name is `asyncchat_<thing>_<unit>`: `_total` for counters, else `_seconds` or `_bytes`. The help is one sentence.
- A label has a handful of values that nobody outside chooses: a status, a code, a route's template. Never an id, a
  tenant, an address or a text.
- `cache(….labels)` finds the child of a few label values in a tenth of the time that `labels` takes. So an `inc` costs
  about 0.4 µs and an `observe` about 0.8 µs (`python -m bench.metrics`), also when several threads count.
- What can be looked up needs no counting: `set_function` of a gauge asks when Prometheus does.
- Every metric belongs into the table of docs/operations.md; a test compares the two.
"""

from __future__ import annotations

import hmac
from functools import cache
from itertools import product

from prometheus_client import Counter, Gauge, Histogram, disable_created_metrics, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_PLAIN_0_0_4

from shared.errors import OutcomeUnknown, StorageBusy, StorageUnavailable
from shared.reply_status import ReplyError, ReplyStatus
from shared.version import version

# When a counter began is of no use to anybody here, and doubles what is sent.
disable_created_metrics()  # type: ignore[no-untyped-call]  # it carries no types

SHORT_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10)
LONG_SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15, 20, 30, 60, 120, 300, 600)

BUILD = Gauge("asyncchat_build_info", "The version that runs, and as what.", ["version", "role"])

DATABASE_READ = Histogram(
    "asyncchat_database_read_seconds", "A read, with its wait for a thread.", buckets=SHORT_SECONDS
)
DATABASE_WRITE = Histogram(
    "asyncchat_database_write_seconds", "A write, from being asked for to its commit.", buckets=SHORT_SECONDS
)
DATABASE_ERRORS = cache(
    Counter(
        "asyncchat_database_errors_total", "Reads and writes that the database did not do.", ["operation", "error"]
    ).labels
)
WRITER_BATCH = Histogram(
    "asyncchat_writer_batch_writes", "Writes in one transaction.", buckets=(1, 2, 4, 8, 16, 32, 64, 128, 256)
)
WRITER_COMMIT = Histogram(
    "asyncchat_writer_commit_seconds", "One transaction of the writer, with its commit.", buckets=SHORT_SECONDS
)
WRITER_QUEUE = Gauge("asyncchat_writer_queue_writes", "Writes that wait for the next transaction.")

BELLS = cache(
    Counter(
        "asyncchat_doorbell_replies_total", "Replies that a worker was to be rung for, by what came of it.", ["outcome"]
    ).labels
)
SWEEPER_AGE = Gauge("asyncchat_sweeper_age_seconds", "How long ago the last whole sweep ended.")
SWEPT = cache(
    Counter(
        "asyncchat_sweeper_moved_replies_total", "Replies that a sweeper moved on, and to what.", ["reason", "status"]
    ).labels
)
SUBSCRIPTION_CONNECTED = Gauge("asyncchat_subscription_connected", "Whether Redis tells of changes now: 1 or 0.")
SUBSCRIPTION_CONNECTS = Counter("asyncchat_subscription_connects_total", "Times that Redis began to tell of changes.")

ATTEMPTS = cache(
    Counter("asyncchat_attempts_total", "Attempts that ended, by outcome and error.", ["outcome", "code"]).labels
)
FINISHED = cache(
    Counter("asyncchat_replies_finished_total", "Replies that ended, by status and error.", ["status", "code"]).labels
)

# For the label `code` where nothing went wrong.
NO_CODE = ""

# Why a sweeper moves a reply.
WORKER_DIED, DEADLINE = "worker_died", "deadline"

# What may happen is there from the start, as 0: else a first time would look like no change.
for _operation, _failure in product(("read", "write"), (StorageBusy, StorageUnavailable, OutcomeUnknown)):
    DATABASE_ERRORS(_operation, _failure.code)
for _reason, _became in product((WORKER_DIED, DEADLINE), ReplyStatus):
    if _became not in (ReplyStatus.IN_PROGRESS, ReplyStatus.COMPLETED):
        SWEPT(_reason, _became)
for _outcome in ("rung", "failed", "dropped"):
    BELLS(_outcome)
for _error in ReplyError:
    FINISHED(ReplyStatus.FAILED, _error)
for _status in ReplyStatus:
    if _status.is_terminal:
        FINISHED(_status, NO_CODE)


def tell_build(role: str) -> None:
    """Which version runs in this process, as gateway (`api`) or `worker`."""
    BUILD.labels(version(), role).set(1)


# The text format, which every scraper reads.
CONTENT_TYPE = CONTENT_TYPE_PLAIN_0_0_4


def exposition() -> bytes:
    """All metrics of the process. It takes some milliseconds: call it in a thread."""
    return generate_latest()


def is_metrics_token(authorization: str, token: str) -> bool:
    """Whether the Authorization header is `Bearer <token>`, in a time that does not tell how much of it was right."""
    scheme, _, given = authorization.strip().partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())
