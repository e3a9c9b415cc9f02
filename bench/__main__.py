"""`python -m bench [NAME ...]`, or `asyncchat bench`: all benchmarks or those that are named, one after the other."""

from __future__ import annotations

import importlib
import sys

from bench.command import parser, run_all
from bench.frame import Benchmark

NAMES = (
    "accept",
    "reply",
    "reply_cpu",
    "in_flight",
    "first_token",
    "many_streams",
    "token_bus",
    "waiters",
    "flood",
    "scaling",
    "recovery",
    "history",
    "search",
    "first_start",
    "metrics",
)
# Measured only when named: it needs what is in an environment of its own (`make bench-peers`).
NAMED = ("peers",)


def benchmark(name: str) -> Benchmark:
    """The benchmark of that name."""
    found = importlib.import_module(f"bench.{name}").BENCHMARK
    assert isinstance(found, Benchmark)
    return found


def main() -> None:
    """Runs what is asked for."""
    options = parser("Measures what docs/performance.md tells, each beside its baseline.", prog="asyncchat bench")
    options.add_argument(
        "names", nargs="*", metavar="NAME", help=f"{', '.join(NAMES)}: all of these without; {', '.join(NAMED)}"
    )
    given = options.parse_args()
    if unknown := [name for name in given.names if name not in NAMES + NAMED]:
        sys.exit(f"there is no benchmark {unknown[0]!r}; there are {', '.join(NAMES + NAMED)}")
    run_all([benchmark(name) for name in given.names or NAMES], given)


if __name__ == "__main__":
    main()
