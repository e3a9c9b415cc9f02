"""What only a worker measures. How to add a metric, and what all processes have: `shared/observability/metrics.py`."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from shared.observability.metrics import LONG_SECONDS, SHORT_SECONDS

SLOTS = Gauge("asyncchat_slots", "Room for generations, by whether it is used; none is free while draining.", ["state"])
QUEUE_WAIT = Histogram(
    "asyncchat_queue_wait_seconds",
    "From the instant a reply was queued, or its next try was due, to its claim.",
    buckets=(*SHORT_SECONDS, 30, 60, 120, 300, 600),
)
FIRST_TOKEN = cache(
    Histogram(
        "asyncchat_first_token_seconds",
        "From calling the model to the first piece of its answer.",
        ["model"],
        buckets=LONG_SECONDS,
    ).labels
)
SPEED = cache(
    Histogram(
        "asyncchat_output_tokens_per_second",
        "How fast an answer came after its first piece.",
        ["model"],
        buckets=(1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
    ).labels
)
UPSTREAM_REPLIES = Gauge("asyncchat_upstream_replies", "Replies that are at an upstream.", ["upstream"]).labels
UPSTREAM_OPEN = Gauge(
    "asyncchat_upstream_open", "1 while an upstream fails and is left alone: its breaker is open.", ["upstream"]
).labels
UPSTREAM_FAILURES = cache(
    Counter(
        "asyncchat_upstream_failures_total", "Attempts that an upstream did not answer.", ["upstream", "code"]
    ).labels
)
TOKENS = cache(
    Counter(
        "asyncchat_tokens_total", "Tokens that models read and wrote, as they count.", ["model", "direction"]
    ).labels
)
ATTEMPT_SECONDS = cache(
    Histogram("asyncchat_attempt_seconds", "How long an attempt took.", ["outcome"], buckets=LONG_SECONDS).labels
)
DELIVERIES = cache(
    Counter(
        "asyncchat_webhook_deliveries_total", "Tries at deliveries of webhooks, by what came of them.", ["outcome"]
    ).labels
)
# There from the start, as 0: else a first time would look like no change.
for _outcome in ("delivered", "retried", "failed"):
    DELIVERIES(_outcome)
