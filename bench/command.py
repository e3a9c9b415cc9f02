"""The command line of the benchmarks: the same for one as for all."""

from __future__ import annotations

import argparse
import asyncio
import signal
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from bench.frame import Benchmark, Scope
from bench.results import Result, as_json, described, kind_of, machine, table
from cli.file_limit import raise_file_limit


def run(benchmark: Benchmark) -> None:
    """The command `python -m bench.NAME`."""
    given = parser(benchmark.measures).parse_args()
    run_all([benchmark], given)


def parser(description: str, *, prog: str | None = None) -> argparse.ArgumentParser:
    """The options that every benchmark has."""
    made = argparse.ArgumentParser(description=description, prog=prog)
    made.add_argument("--quick", action="store_true", help="few and short runs, to see that it works")
    made.add_argument("--runs", type=int, help="how many runs, instead of as many as the benchmark finds right")
    made.add_argument("--database-url", help="an empty database; without it each benchmark gets a SQLite file")
    made.add_argument("-o", "--output", type=Path, help="where the results go as JSON")
    return made


def _leave(number: int, _frame: FrameType | None) -> None:
    """Ends as an interrupt does, so that what was started ends too."""
    sys.exit(128 + number)


def run_all(benchmarks: Sequence[Benchmark], given: argparse.Namespace) -> None:
    """Runs one after the other and prints each result as it comes. Says so, and exits with 1, where one broke."""
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, _leave)
    raise_file_limit()
    scope = Scope(quick=given.quick, database_url=given.database_url, runs=given.runs)
    on = machine()
    print(described(on, database=kind_of(scope.database_url)), flush=True)
    if scope.quick:
        print("a quick run: it shows that everything works, and its figures mean little", flush=True)
    results: list[Result] = []
    broken = []
    for benchmark in benchmarks:
        began = time.monotonic()
        try:
            rows = asyncio.run(benchmark.run(scope))
        except Exception as error:  # noqa: BLE001  the others are still to be measured
            broken.append(benchmark.name)
            print(f"{benchmark.name} broke: {type(error).__name__}: {error}", file=sys.stderr, flush=True)
            continue
        results.append(Result.of(benchmark, rows, seconds=time.monotonic() - began))
        print(table(results[-1]), flush=True)
    if given.output is not None:
        given.output.parent.mkdir(parents=True, exist_ok=True)
        given.output.write_text(as_json(on, scope, results) + "\n", encoding="utf-8")
        print(f"the results are in {given.output}")
    if broken:
        sys.exit(f"broken: {', '.join(broken)}")
