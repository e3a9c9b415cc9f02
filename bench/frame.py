"""The face that every benchmark has, and the arithmetic of its figures.

A module `bench.NAME` has one `BENCHMARK`. Its `run` measures what it is about and its baseline in turn, in one
installation where that can be, and returns a row for each figure: one value a run, so that the spread can be seen.
"""

from __future__ import annotations

import statistics
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Scope:
    """How much is measured. `quick` is for seeing that it works: few, short runs whose figures mean little."""

    quick: bool = False
    # An empty database for the benchmarks that use one; without it each gets a SQLite file.
    database_url: str | None = None
    # Instead of as many as the benchmark finds right.
    runs: int | None = None

    def choose(self, full: T, quick: T) -> T:
        """The one or the other."""
        return quick if self.quick else full

    def runs_of(self, full: int) -> int:
        """How many runs to make."""
        return self.runs or self.choose(full, 1)


@dataclass(frozen=True, slots=True)
class Target:
    """What a figure is to be."""

    bound: float
    kind: Literal["at most", "at least"]
    unit: str = ""

    def __str__(self) -> str:
        return f"{'≤' if self.kind == 'at most' else '≥'} {self.bound:g} {self.unit}".rstrip()

    def is_met(self, value: float) -> bool:
        """Whether the figure is on the right side of the bound."""
        return value <= self.bound if self.kind == "at most" else value >= self.bound


def at_most(bound: float, unit: str = "") -> Target:
    """No more than that."""
    return Target(bound, "at most", unit)


def at_least(bound: float, unit: str = "") -> Target:
    """No less than that."""
    return Target(bound, "at least", unit)


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what it is of, its unit, and its value in each run."""

    name: str
    unit: str
    values: Sequence[float]

    @property
    def median(self) -> float:
        """What is shown and held against the target."""
        return statistics.median(self.values)

    @property
    def spread(self) -> tuple[float, float]:
        """The lowest and the highest value."""
        return min(self.values), max(self.values)


Run = Callable[[Scope], Coroutine[Any, Any, list[Row]]]


@dataclass(frozen=True, slots=True)
class Benchmark:
    """What is measured, how, and what it should come to: a target by the name of its row."""

    name: str
    measures: str
    run: Run
    targets: Mapping[str, Target] = field(default_factory=dict)


async def in_turn(runs: int, ways: Mapping[str, Callable[[], Awaitable[T]]]) -> dict[str, list[T]]:
    """What each way gave in each run. They take turns, so that a noisy minute harms all of them alike."""
    found: dict[str, list[T]] = {name: [] for name in ways}
    for _ in range(runs):
        for name, way in ways.items():
            found[name].append(await way())
    return found


def ratios(values: Sequence[float], baselines: Sequence[float]) -> list[float]:
    """Each value by the baseline of the same run."""
    return [value / baseline for value, baseline in zip(values, baselines, strict=True)]


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which that share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]
