"""The results of benchmarks: measured on what, kept as JSON, shown as a table."""

from __future__ import annotations

import json
import os
import platform
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from bench.frame import Benchmark, Row, Scope, Target
from shared.database.engine import parse_url, sqlite_module

ROOT = Path(__file__).parents[1]
# The kinds of databases, as results files and people call them.
DATABASES = {"sqlite": "SQLite", "postgresql": "PostgreSQL"}


@dataclass(frozen=True, slots=True)
class Result:
    """What one benchmark gave."""

    name: str
    measures: str
    rows: Sequence[Row]
    targets: dict[str, Target]
    seconds: float

    @classmethod
    def of(cls, benchmark: Benchmark, rows: Sequence[Row], *, seconds: float) -> Result:
        """Its rows, with the targets that hold for them.

        Raises:
            ValueError: there is a target for a row that was not measured, or in another unit.
        """
        if lost := benchmark.targets.keys() - {row.name for row in rows}:
            raise ValueError(f"{benchmark.name} has targets for rows that it did not give: {sorted(lost)}")
        for row in rows:
            if row.name in benchmark.targets and benchmark.targets[row.name].unit != row.unit:
                raise ValueError(f"{benchmark.name}: the target of {row.name!r} is in another unit than the row")
        return cls(benchmark.name, benchmark.measures, rows, dict(benchmark.targets), seconds)

    def verdict(self, row: Row) -> str:
        """Whether the row's target is met; empty where there is none."""
        target = self.targets.get(row.name)
        return "" if target is None else "met" if target.is_met(row.median) else "not met"


def machine() -> dict[str, Any]:
    """What is measured on, as it is now."""
    return {
        "cores": os.cpu_count(),
        "architecture": platform.machine(),
        "load": round(os.getloadavg()[0], 2),
        "python": platform.python_version(),
        "sqlite": sqlite_module().sqlite_version,
        "commit": _commit(),
    }


def _commit() -> str:
    """What is checked out, marked where files differ from it."""
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--dirty", "--exclude=*"],  # noqa: S607  whichever git is there
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=True,
        )
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip()


def described(on: dict[str, Any], *, database: str = "sqlite") -> str:
    """The machine in a line, and the database of that kind."""
    stored = f"SQLite {on['sqlite']}" if database == "sqlite" else DATABASES[database]
    return (
        f"{on['cores']} cores ({on['architecture']}), load {on['load']} before, Python {on['python']}, "
        f"{stored}, commit {on['commit']}"
    )


def kind_of(database_url: str | None) -> str:
    """Of which kind of database a URL is; without one it is a SQLite file. The rest of it may hold a password."""
    return "sqlite" if database_url is None else parse_url(database_url).get_backend_name()


def as_json(on: dict[str, Any], scope: Scope, results: Sequence[Result]) -> str:
    """The text of a results file."""
    return json.dumps(
        {
            "machine": on,
            "database": kind_of(scope.database_url),
            "quick": scope.quick,
            "benchmarks": [asdict(result) for result in results],
        },
        indent=2,
        ensure_ascii=False,
    )


def read(path: Path) -> tuple[dict[str, Any], list[Result]]:
    """All that the file says, and its results."""
    said = json.loads(path.read_text(encoding="utf-8"))
    found = [
        Result(
            name=each["name"],
            measures=each["measures"],
            rows=[Row(**row) for row in each["rows"]],
            targets={name: Target(**target) for name, target in each["targets"].items()},
            seconds=each["seconds"],
        )
        for each in said["benchmarks"]
    ]
    return said, found


def figure(value: float) -> str:
    """Three digits that count, and no more."""
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def cells(result: Result) -> Iterator[tuple[str, str, str, str, str]]:
    """For each row: its name, median and unit, spread, target, verdict."""
    for row in result.rows:
        low, high = row.spread
        spread = f"{figure(low)} to {figure(high)}" if len(row.values) > 1 else "one run"
        target = result.targets.get(row.name)
        yield row.name, f"{figure(row.median)} {row.unit}".rstrip(), spread, str(target or ""), result.verdict(row)


def table(result: Result) -> str:
    """A result as lines for a terminal."""
    lines = [f"{result.name}: {result.measures} ({result.seconds:.0f} s)"]
    lines += [
        f"  {name:<48} {median:>14}  {spread:<18} {target:<11} {verdict}".rstrip()
        for name, median, spread, target, verdict in cells(result)
    ]
    return "\n".join(lines)


def markdown(results: Sequence[Result]) -> str:
    """All of them as one table of a page."""
    lines = ["| benchmark | what | median | spread | target | |", "| --- | --- | --- | --- | --- | --- |"]
    for result in results:
        lines += [f"| {' | '.join((f'`{result.name}`', *row))} |" for row in cells(result)]
    return "\n".join(lines)
