"""From asking to the first token at the client, beside asking the model directly: one at a time, on an idle machine."""

from __future__ import annotations

from bench.asking import Ask, answering, of_gateway, of_model
from bench.command import run as run_command
from bench.frame import Benchmark, Row, Scope, at_most, percentile
from bench.installation import installed

MODEL = "demo"  # its first word comes after 50 ms
WARM_UP = 20
# The rest of an answer is of no interest here.
TOKENS = 3
P50, P99 = "added, p50", "added, p99"


async def _asks(direct: Ask, through: Ask, count: int) -> dict[str, list[float]]:
    found: dict[str, list[float]] = {"direct": [], "asyncchat": []}
    for _ in range(count):
        found["direct"].append((await direct(TOKENS)).first_ms)
        found["asyncchat"].append((await through(TOKENS)).first_ms)
    return found


async def run(scope: Scope) -> list[Row]:
    """Asks in turn; each run is so many asks of both."""
    asks, runs = scope.choose(200, 20), scope.runs_of(3)
    async with installed(scope.database_url) as installation:
        base_url, url = await answering(installation)
        direct = of_model(base_url, MODEL)
        through = await of_gateway(url, MODEL, conversations=WARM_UP + asks * runs)
        await _asks(direct, through, WARM_UP)
        found = [await _asks(direct, through, asks) for _ in range(runs)]
    added = [[own - model for own, model in zip(each["asyncchat"], each["direct"], strict=True)] for each in found]
    return [
        Row("direct, p50", "ms", [percentile(each["direct"], 0.5) for each in found]),
        Row("asyncchat, p50", "ms", [percentile(each["asyncchat"], 0.5) for each in found]),
        Row(P50, "ms", [percentile(each, 0.5) for each in added]),
        Row(P99, "ms", [percentile(each, 0.99) for each in added]),
    ]


BENCHMARK = Benchmark(
    "first_token",
    "from asking to the first token at the client, beside asking the model directly, when idle",
    run,
    {P50: at_most(15, "ms"), P99: at_most(60, "ms")},
)

if __name__ == "__main__":
    run_command(BENCHMARK)
