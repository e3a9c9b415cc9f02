"""What measuring costs: `python -m bench.metrics`. CPU of one call, of what a request and a reply call, and a scrape.

The other half of the answer is `python -m bench.first_token` before and after a change.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

from api import metrics as of_gateways
from bench.installation import machine
from shared.observability import metrics
from shared.reply_status import AttemptOutcome, ReplyStatus
from worker import metrics as of_workers

CALLS = 100_000
ROUTES = 40


def _request() -> None:
    """What accepting a message counts."""
    metrics.DATABASE_WRITE.observe(0.003)
    metrics.WRITER_COMMIT.observe(0.002)
    metrics.WRITER_BATCH.observe(4)
    metrics.BELLS("rung").inc()
    of_gateways.MESSAGES.inc()
    of_gateways.REPLIES("ask").inc()
    of_gateways.HTTP_REQUESTS("POST", "/conversations/{conversation_id}/ask-message/", 202).inc()
    of_gateways.HTTP_SECONDS("POST", "/conversations/{conversation_id}/ask-message/", "no").observe(0.004)


def _reply() -> None:
    """What answering one counts, with a claim, two reads and the end."""
    for _ in range(2):
        metrics.DATABASE_WRITE.observe(0.003)
        metrics.WRITER_COMMIT.observe(0.002)
        metrics.WRITER_BATCH.observe(4)
        metrics.DATABASE_READ.observe(0.001)
    of_workers.QUEUE_WAIT.observe(0.02)
    of_workers.FIRST_TOKEN("demo").observe(0.4)
    of_workers.ATTEMPT_SECONDS(AttemptOutcome.COMPLETED).observe(2)
    metrics.ATTEMPTS(AttemptOutcome.COMPLETED, metrics.NO_CODE).inc()
    metrics.FINISHED(ReplyStatus.COMPLETED, metrics.NO_CODE).inc()
    of_workers.TOKENS("demo", "input").inc(20)
    of_workers.TOKENS("demo", "output").inc(40)
    of_workers.SPEED("demo").observe(30)


def _microseconds(call: Callable[[], object], calls: int) -> float:
    return 1e6 * min(timeit.repeat(call, number=calls, repeat=3)) / calls


def main() -> None:
    """Prints a line for each."""
    print(machine())
    print(f"inc of a child      {_microseconds(lambda: metrics.BELLS('rung').inc(), CALLS):7.2f} µs")
    print(f"observe of a child  {_microseconds(lambda: of_workers.FIRST_TOKEN('demo').observe(0.4), CALLS):7.2f} µs")
    print(f"one accepted ask    {_microseconds(_request, CALLS // 10):7.2f} µs")
    print(f"one answered reply  {_microseconds(_reply, CALLS // 10):7.2f} µs")
    for number in range(ROUTES):
        for status in (200, 404, 422):
            of_gateways.HTTP_REQUESTS("GET", f"/{number}", status).inc()
        of_gateways.HTTP_SECONDS("GET", f"/{number}", "no").observe(0.1)
    scrape = _microseconds(metrics.exposition, 20)
    print(f"one scrape          {scrape / 1000:7.2f} ms for {len(metrics.exposition()) / 1024:.0f} KiB")


if __name__ == "__main__":
    main()
