"""What measuring costs: CPU of one call, of what a request and a reply call, and a scrape.

The other half of the answer is `python -m bench.first_token` before and after a change.
"""

from __future__ import annotations

import timeit
from collections.abc import Callable

from api import metrics as of_gateways
from bench.command import run as run_command
from bench.frame import Benchmark, Row, Scope
from shared.observability import metrics
from shared.reply_status import AttemptOutcome, ReplyStatus
from worker import metrics as of_workers

ROUTES = 40


def _observe() -> None:
    of_workers.FIRST_TOKEN("demo").observe(0.4)


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


def _microseconds(call: Callable[[], object], calls: int, runs: int) -> list[float]:
    return [1e6 * seconds / calls for seconds in timeit.repeat(call, number=calls, repeat=runs)]


async def run(scope: Scope) -> list[Row]:
    """Calls each many times, in this process."""
    calls, runs = scope.choose(100_000, 10_000), scope.runs_of(5)
    rows = [
        Row("inc of a child", "µs", _microseconds(lambda: metrics.BELLS("rung").inc(), calls, runs)),
        Row("observe of a child", "µs", _microseconds(_observe, calls, runs)),
        Row("one accepted ask", "µs", _microseconds(_request, calls // 10, runs)),
        Row("one answered reply", "µs", _microseconds(_reply, calls // 10, runs)),
    ]
    for number in range(ROUTES):
        for status in (200, 404, 422):
            of_gateways.HTTP_REQUESTS("GET", f"/{number}", status).inc()
        of_gateways.HTTP_SECONDS("GET", f"/{number}", "no").observe(0.1)
    scrapes = _microseconds(metrics.exposition, 20, runs)
    return [*rows, Row("one scrape", "ms", [each / 1000 for each in scrapes])]


BENCHMARK = Benchmark("metrics", "what counting and timing cost the process that does it", run)

if __name__ == "__main__":
    run_command(BENCHMARK)
