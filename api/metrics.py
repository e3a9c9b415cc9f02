"""What only a gateway measures. How to add a metric, and what all processes have: `shared/observability/metrics.py`."""

from __future__ import annotations

from functools import cache

from prometheus_client import Counter, Gauge, Histogram

from shared.observability.metrics import SHORT_SECONDS

HTTP_REQUESTS = cache(
    Counter("asyncchat_http_requests_total", "Requests, by route and status.", ["method", "route", "status"]).labels
)
HTTP_SECONDS = cache(
    Histogram(
        "asyncchat_http_request_seconds",
        "From a request to the first byte of its answer. Those that asked to wait for a reply are held.",
        ["method", "route", "held"],
        buckets=(*SHORT_SECONDS, 30, 60),
    ).labels
)
PROBLEMS = cache(Counter("asyncchat_http_problems_total", "Errors that were answered, by their code.", ["code"]).labels)

MESSAGES = Counter("asyncchat_messages_accepted_total", "Messages that were accepted with replies to them.")
REPLIES = cache(Counter("asyncchat_replies_accepted_total", "Replies that were asked for, and how.", ["by"]).labels)

STREAMS_OPEN = Gauge("asyncchat_streams_open", "Event streams that are being sent.")
STREAMS_ENDED = cache(
    Counter("asyncchat_streams_ended_total", "Event streams that have ended, and why.", ["reason"]).labels
)
HUB_CHANNELS = Gauge("asyncchat_hub_channels", "Channels that somebody hears on this gateway.")
HUB_MEMBERS = Gauge("asyncchat_hub_members", "Who waits or listens on this gateway.")

# What the database knows, the same on every gateway.
LIVE_REPLIES = cache(Gauge("asyncchat_live_replies", "Replies that have not ended, by status.", ["status"]).labels)
OLDEST_DUE = Gauge("asyncchat_oldest_due_reply_age_seconds", "How long the reply has waited that is due longest.")
WORKERS = Gauge("asyncchat_workers", "Worker processes that beat.")

# Requests that no route answers: refused at the gate, or for nothing that is here.
NO_ROUTE = "none"
# Anybody may send any word as the method.
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def method_label(method: str) -> str:
    """The method, or `other`."""
    return method if method in _METHODS else "other"
