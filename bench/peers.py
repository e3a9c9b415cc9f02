"""What others make of the same questions: LiteLLM's proxy and a textbook service, in front of the same demo model.

A row is of one of them: this project (`asyncchat`), the textbook service of bench/processes/textbook, LiteLLM, or the
model itself (`direct`). LiteLLM stores nothing, so that it accepts nothing either. The textbook service does not
stream, so that its first words come with the last.
"""

from __future__ import annotations

import asyncio
import functools
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass

import httpx2

from bench import litellm, textbook
from bench.accept import CONNECTIONS, UNBOUNDED, Posted, paths_of, post
from bench.asking import Ask
from bench.command import run as run_command
from bench.contenders import Contender, asyncchat, client, of_openai
from bench.event_reader import Told
from bench.frame import Benchmark, Row, Scope, in_turn, percentile
from bench.installation import LOAD_MODEL, installed

DIRECT = "direct"
# Its words come within a tenth of a second.
IDLE_MODEL = "demo-100ms"
WARM_UP = 5
# How often a client of the textbook service looks: nearly always where it is alone, as clients do where it is not.
POLL_ALONE_SECONDS, POLL_SECONDS = 0.01, 1.0
# Far more than the slowest takes.
WITHIN_SECONDS = 180.0
UNANSWERED = Told(1000 * WITHIN_SECONDS, 1000 * WITHIN_SECONDS, "")


@dataclass(frozen=True, slots=True)
class Crowd:
    """What came of many who asked at once, the share of exact answers, and CPU in milliseconds for each."""

    told: Sequence[Told]
    exact: float
    cpu_ms: float


def _rows(what: str, unit: str, values: Mapping[str, Sequence[float]]) -> list[Row]:
    """The same of each of them."""
    return [Row(f"{name}, {what}", unit, each) for name, each in values.items()]


async def _accepting(scope: Scope) -> list[Row]:
    """Messages accepted while nobody answers them."""
    seconds, runs = scope.choose(4.0, 1.0), scope.runs_of(3)
    async with installed(scope.database_url) as installation:
        environment = textbook.environment_of(installation, scope.database_url)
        served = {
            "asyncchat": await installation.start_gateway(**UNBOUNDED),
            textbook.NAME: await textbook.start_api(installation, environment),
        }
        paths = {name: await paths_of(each.url) for name, each in served.items()}

        def ways(connections: int) -> dict[str, Callable[[], Awaitable[Posted]]]:
            return {
                name: functools.partial(post, each, paths[name], connections=connections, seconds=seconds)
                for name, each in served.items()
            }

        await in_turn(1, ways(CONNECTIONS))
        many, lone = await in_turn(runs, ways(CONNECTIONS)), await in_turn(runs, ways(1))
    return [
        *_rows("messages accepted", "/s", {name: [each.rate for each in found] for name, found in many.items()}),
        *_rows("CPU of accepting one", "µs", {name: [each.cpu_us for each in found] for name, found in many.items()}),
        *_rows(
            "p50 of accepting a lone one",
            "ms",
            {name: [percentile(each.took_ms, 0.5) for each in found] for name, found in lone.items()},
        ),
    ]


@asynccontextmanager
async def _all(scope: Scope) -> AsyncIterator[list[Contender]]:
    async with installed(scope.database_url) as installation, client("") as polling:
        base_url = await installation.start_demo()
        found = [
            of_openai(DIRECT, base_url),
            await asyncchat(installation, base_url),
            await textbook.contender(installation, base_url, polling, scope.database_url),
        ]
        why_not = litellm.why_not()
        if why_not is None:
            try:
                found.append(await litellm.contender(installation, base_url))
            except (RuntimeError, TimeoutError) as error:
                why_not = f"LiteLLM is left out, since it does not start: {error}"
        if why_not is not None:
            print(why_not, flush=True)
        yield found


async def _alone(contenders: Sequence[Contender], *, asks: int, runs: int) -> list[Row]:
    """One question at a time, each by all of them in turn."""
    times = WARM_UP + asks * runs
    ways = {each.name: await each.asks(IDLE_MODEL, times, POLL_ALONE_SECONDS) for each in contenders}
    bound = {name: functools.partial(ask, None) for name, ask in ways.items()}
    await in_turn(WARM_UP, bound)
    found = [await in_turn(asks, bound) for _ in range(runs)]

    def added(name: str, of: Callable[[Told], float]) -> list[float]:
        """In each run the middle of what it took longer than the model itself."""
        return [
            percentile([of(own) - of(model) for own, model in zip(run[name], run[DIRECT], strict=True)], 0.5)
            for run in found
        ]

    names = [each.name for each in contenders if each.name != DIRECT]
    return [
        *_rows(
            "added to the first words, p50", "ms", {name: added(name, lambda told: told.first_ms) for name in names}
        ),
        *_rows("added to the answer, p50", "ms", {name: added(name, lambda told: told.whole_ms) for name in names}),
    ]


async def _crowd(contender: Contender, ask: Ask, *, asked: int, text: str) -> Crowd:
    """So many questions at once. One that gets no answer took all the time there is, and is not exact."""
    before = contender.cpu_seconds()
    answers = await asyncio.gather(
        *(asyncio.wait_for(ask(None), WITHIN_SECONDS) for _ in range(asked)), return_exceptions=True
    )
    spent = contender.cpu_seconds() - before
    told = [each if isinstance(each, Told) else UNANSWERED for each in answers]
    return Crowd(told, sum(each.text == text for each in told) / asked, 1000 * spent / asked)


async def _at_once(contenders: Sequence[Contender], *, asked: int, runs: int) -> list[Row]:
    text, ways = "", {}
    for each in contenders:
        ask = await each.asks(LOAD_MODEL, 1 + asked * runs, POLL_SECONDS)
        text = (await ask(None)).text if each.name == DIRECT else text
        await ask(None)
        ways[each.name] = functools.partial(_crowd, each, ask, asked=asked, text=text)
    found = await in_turn(runs, ways)

    def p99(of: Callable[[Told], float]) -> dict[str, list[float]]:
        return {
            name: [percentile([of(told) for told in crowd.told], 0.99) / 1000 for crowd in crowds]
            for name, crowds in found.items()
        }

    return [
        *_rows(f"first words of {asked} at once, p99", "s", p99(lambda told: told.first_ms)),
        *_rows(f"answers of {asked} at once, p99", "s", p99(lambda told: told.whole_ms)),
        *_rows(
            f"exact answers of {asked} at once",
            "%",
            {name: [100 * crowd.exact for crowd in crowds] for name, crowds in found.items()},
        ),
        *_rows(
            "CPU of an answer of 41 tokens",
            "ms",
            {name: [crowd.cpu_ms for crowd in crowds] for name, crowds in found.items() if name != DIRECT},
        ),
    ]


async def _saturated(contenders: Sequence[Contender], *, answers: int, runs: int) -> list[Row]:
    """Not streamed, from a model that answers at once. Whoever does not get through has a rate of nothing."""

    async def rate(contender: Contender) -> float:
        began = time.perf_counter()
        try:
            async with asyncio.timeout(WITHIN_SECONDS):
                await contender.answers(answers)
        except (TimeoutError, httpx2.HTTPError) as error:
            print(f"{contender.name} did not make all of {answers} answers: {error!r}", flush=True)
            return 0.0
        return answers / (time.perf_counter() - began)

    found = await in_turn(runs, {each.name: functools.partial(rate, each) for each in contenders})
    return _rows("answers without streaming", "/s", found)


async def run(scope: Scope) -> list[Row]:
    """All of them stand beside each other and take turns."""
    runs = scope.runs_of(3)
    rows = await _accepting(scope)
    async with _all(scope) as contenders:
        rows += await _alone(contenders, asks=scope.choose(50, 5), runs=runs)
        rows += await _at_once(contenders, asked=scope.choose(200, 20), runs=runs)
        rows += await _saturated(contenders, answers=scope.choose(400, 40), runs=runs)
    return rows


BENCHMARK = Benchmark(
    "peers",
    "LiteLLM's proxy and a textbook FastAPI, Celery and async ORM service, with the same model behind them",
    run,
)

if __name__ == "__main__":
    run_command(BENCHMARK)
