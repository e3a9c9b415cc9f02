"""The picture of the targets of a results file: how much of what its target allows each figure used.

A share serves them all with one scale, whatever their units, and whether less or more is better.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench.drawing import bar, picture, spread, text
from bench.frame import Row, Target
from bench.results import DATABASES, Result, described, figure

WIDTH, LABEL, BAR, LINE, TOP, BOTTOM = 920, 370, 300, 26, 64, 20
# The bound stands at two thirds, so that there is room to be beyond it.
BOUND = BAR * 2 / 3


def used(target: Target, value: float) -> float:
    """The share of what the target allows: 1 is the bound, more is beyond it."""
    if target.kind == "at most":
        return value / target.bound
    return target.bound / value if value else float("inf")


def _place(share: float) -> float:
    return LABEL + min(share * BOUND, BAR)


def _line(name: str, row: Row, target: Target, y: float) -> Iterator[str]:
    width = _place(used(target, row.median)) - LABEL
    low, high = sorted(_place(used(target, value)) for value in row.spread)
    kind = "met" if target.is_met(row.median) else "missed"
    middle = y + LINE / 2
    told = f"{figure(row.median)} {row.unit}".strip() + f" ({target}{', missed' if kind == 'missed' else ''})"
    yield text(name, LABEL - 10, middle + 4, kind="name", anchor="end")
    yield bar(LABEL, y + 5, width=width, height=LINE - 10, kind=kind)
    yield spread(low, high, middle)
    yield text(told, LABEL + BAR + 10, middle + 4, kind="about")


def svg(said: dict[str, Any], results: Sequence[Result]) -> str:
    """The picture of what a results file says."""
    rows = [
        (f"{result.name}: {row.name}", row, result.targets[row.name])
        for result in results
        for row in result.rows
        if row.name in result.targets
    ]
    height = TOP + LINE * len(rows) + BOTTOM
    bound = LABEL + BOUND
    parts = [
        text(described(said["machine"], database=said["database"]), 20, 24, kind="about"),
        text("how much of what is allowed was used, and the spread of the runs", 20, TOP - 12, kind="about"),
        text("the target", bound, TOP - 12, kind="about", anchor="middle"),
    ]
    for number, (name, row, target) in enumerate(rows):
        parts += _line(name, row, target, TOP + LINE * number)
    parts.append(f'<path class="bound" d="M{bound:.0f} {TOP - 6}V{height - BOTTOM}" stroke-dasharray="4 3"/>')
    title = f"What was measured on {DATABASES[said['database']]}, as a share of what each target allows"
    return picture(title, parts, width=WIDTH, height=height)
