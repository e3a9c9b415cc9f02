"""Measures all that docs/performance.md shows, one after the other, and writes it there: `make bench-publish`.

On SQLite everything, on PostgreSQL what the database decides, then the peers. PostgreSQL is the one of the tests, from
a wheel, unless `--database-url` names a server.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from bench import page
from bench.results import ROOT
from cli.child_commands import python_module

RESULTS = ROOT / "bench" / "results"
ON_POSTGRESQL = (
    "accept",
    "reply",
    "reply_cpu",
    "first_token",
    "many_streams",
    "scaling",
    "recovery",
    "history",
    "search",
)
RUNS_ON_POSTGRESQL = 3
KINDS = ("sqlite", "postgresql", "peers")


@contextmanager
def postgresql(given: str | None) -> Iterator[str]:
    """The URL of the server that is given, or of one for the block."""
    if given is not None:
        yield given
        return
    from tests.fixtures.databases import postgresql_server

    with postgresql_server() as server:
        yield f"postgresql://postgres@/postgres?host={server.pgdata}"


def measured(kind: str, *arguments: str) -> bool:
    """Runs `python -m bench` for those results, in a process of its own; tells whether nothing broke."""
    results = RESULTS / f"{kind}.json"
    began = time.monotonic()
    print(f"--- {kind} ---", flush=True)
    command = python_module("bench", "-o", str(results), *arguments)
    ended = subprocess.run(command, cwd=ROOT, check=False)  # noqa: S603  our own command
    print(f"--- {kind} took {(time.monotonic() - began) / 60:.1f} minutes ---", flush=True)
    return ended.returncode == 0


def measure(kind: str, database_url: str | None) -> bool:
    """Makes the results of that kind; tells whether nothing broke."""
    if kind != "postgresql":
        return measured(kind, *(("peers",) if kind == "peers" else ()))
    with postgresql(database_url) as url:
        return measured(kind, "--runs", str(RUNS_ON_POSTGRESQL), "--database-url", url, *ON_POSTGRESQL)


def main() -> None:
    """Measures and publishes; what broke is told, and not published."""
    options = argparse.ArgumentParser(description="Measures all that docs/performance.md shows, and writes it there.")
    options.add_argument("--database-url", help="a PostgreSQL server, instead of one from a wheel")
    options.add_argument("--only", choices=KINDS, help="measure and publish one of them")
    given = options.parse_args()
    whole = {kind: measure(kind, given.database_url) for kind in KINDS if given.only in (None, kind)}
    page.write([RESULTS / f"{kind}.json" for kind, is_whole in whole.items() if is_whole])
    if broken := [kind for kind, is_whole in whole.items() if not is_whole]:
        sys.exit(f"something broke, so these are not published: {', '.join(broken)}")


if __name__ == "__main__":
    main()
