"""The figures of `bench.peers` side by side: a table with a column for each of them, and a picture."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from bench.drawing import bar, picture, spread, text
from bench.frame import Row
from bench.results import Result, described, figure

# How those are called that are not called by their own names.
CALLED = {"asyncchat": "Async Chat API", "textbook": "textbook service", "direct": "the model itself"}
# More of these is better, of all else less.
MORE_IS_BETTER = ("/s", "%")
WIDTH, MARGIN, TOP = 920, 20, 44
LABEL, BAR, LINE, HEAD, GAP = 122, 205, 22, 26, 22
PANEL = (WIDTH - MARGIN) / 2

# For each thing that was measured, who gave what.
Sides = dict[str, dict[str, Row]]


def sides(results: Sequence[Result]) -> Sides:
    """The rows by what they are of, and by whom."""
    found: Sides = {}
    for row in (row for result in results for row in result.rows):
        name, _, what = row.name.partition(", ")
        found.setdefault(what, {})[CALLED.get(name, name)] = row
    return found


def _names(found: Sides) -> list[str]:
    """Those who are compared, this project first and the model itself last."""
    names = dict.fromkeys(name for rows in found.values() for name in rows)
    last = CALLED["direct"]
    return [name for name in names if name != last] + [name for name in names if name == last]


def markdown(results: Sequence[Result]) -> str:
    """The table: medians, and in brackets the lowest and the highest value."""
    found = sides(results)
    names = _names(found)
    lines = [f"| | {' | '.join(names)} |", f"| --- |{' --- |' * len(names)}"]
    for what, rows in found.items():
        lines.append(f"| {what} | {' | '.join(_cell(rows.get(name)) for name in names)} |")
    return "\n".join(lines)


def _cell(row: Row | None) -> str:
    if row is None:
        return ""
    low, high = (figure(value) for value in row.spread)
    runs = f" ({low} to {high})" if len(row.values) > 1 else ""
    return f"{figure(row.median)} {row.unit}{runs}"


def svg(said: dict[str, Any], results: Sequence[Result]) -> str:
    """The picture: a panel for each thing that was measured, two beside each other."""
    found = sides(results)
    names = _names(found)
    panels = list(found.items())
    parts = [text(described(said["machine"], database=said["database"]), MARGIN, 24, kind="about")]
    y = float(TOP)
    for first in range(0, len(panels), 2):
        pair = panels[first : first + 2]
        for column, (what, rows) in enumerate(pair):
            parts += _panel(what, {name: rows[name] for name in names if name in rows}, MARGIN + column * PANEL, y)
        y += HEAD + LINE * max(len(rows) for _, rows in pair) + GAP
    title = "The same questions asked of Async Chat API, a textbook service and LiteLLM"
    return picture(title, parts, width=WIDTH, height=y)


def _panel(what: str, rows: dict[str, Row], x: float, y: float) -> Iterator[str]:
    unit = next(iter(rows.values())).unit
    most = max(row.spread[1] for row in rows.values()) or 1.0
    better = "more" if unit in MORE_IS_BETTER else "less"
    yield text(what, x, y + 14, kind="head")
    yield text(f"{unit}, {better} is better", x + PANEL - MARGIN, y + 14, kind="about", anchor="end")
    for number, (name, row) in enumerate(rows.items()):
        top = y + HEAD + LINE * number
        start = x + LABEL
        low, high = (start + BAR * max(value, 0) / most for value in row.spread)
        yield text(name, start - 8, top + 13, kind="name", anchor="end")
        own = name == CALLED["asyncchat"]
        yield bar(start, top + 2, width=BAR * max(row.median, 0) / most, height=14, kind="own" if own else "other")
        yield spread(low, high, top + 9)
        yield text(f"{figure(row.median)} {row.unit}", start + BAR + 8, top + 13, kind="about")
