"""Two hundred streams asked for at once, of one gateway and one worker, beside asking the model directly."""

from __future__ import annotations

import asyncio

from bench.asking import Ask, answering, of_gateway, of_model
from bench.command import run as run_command
from bench.event_reader import Told
from bench.frame import Benchmark, Row, Scope, at_least, at_most, in_turn, percentile
from bench.installation import LOAD_MODEL, installed

STREAMS = 200
FIRST, EXACT = "asyncchat, first token p99", "asyncchat, streams that are exact"


async def _at_once(ask: Ask) -> list[Told]:
    return await asyncio.gather(*(ask(None) for _ in range(STREAMS)))


async def run(scope: Scope) -> list[Row]:
    """Each run asks for all at once, of the model and then of the gateway."""
    runs = scope.runs_of(5)
    async with installed(scope.database_url) as installation:
        base_url, url = await answering(installation, slots=STREAMS)
        direct = of_model(base_url, LOAD_MODEL)
        through = await of_gateway(url, LOAD_MODEL, conversations=1 + STREAMS * runs)
        text = (await direct(None)).text
        await through(None)
        ways = {"direct": lambda: _at_once(direct), "asyncchat": lambda: _at_once(through)}
        found = await in_turn(runs, ways)
    own = found["asyncchat"]
    return [
        Row("direct, first token p99", "s", [_p99(each) for each in found["direct"]]),
        Row(FIRST, "s", [_p99(each) for each in own]),
        Row(EXACT, "%", [100 * sum(stream.text == text for stream in each) / len(each) for each in own]),
    ]


def _p99(streams: list[Told]) -> float:
    return percentile([stream.first_ms for stream in streams], 0.99) / 1000


BENCHMARK = Benchmark(
    "many_streams",
    f"{STREAMS} streams of 41 tokens asked for at once, one worker, beside the model itself",
    run,
    {FIRST: at_most(3, "s"), EXACT: at_least(100, "%")},
)

if __name__ == "__main__":
    run_command(BENCHMARK)
