"""Draws the targets of a results file: `python -m bench.plot RESULTS.json -o docs/images/NAME.svg`.

Every bar is how much of what its target allows was used, so that one scale serves all of them. It is written by hand:
some rectangles that follow the reader's light or dark need no library.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from html import escape
from pathlib import Path

from bench.frame import Row, Target
from bench.results import described, figure, read

WIDTH, LABEL, BAR, LINE, TOP = 920, 400, 320, 26, 60
# The bound stands at two thirds, so that there is room to be beyond it.
BOUND = BAR * 2 / 3
FONT = 'font-size="13" font-family="system-ui, -apple-system, \'Segoe UI\', Helvetica, Arial, sans-serif"'
STYLE = """
    .page { fill: #ffffff } .met { fill: #1a7f37 } .missed { fill: #cf222e } .bound { stroke: #57606a }
    .spread { stroke: #1f2328 } .name { fill: #1f2328 } .about { fill: #57606a }
    @media (prefers-color-scheme: dark) {
      .page { fill: #0d1117 } .met { fill: #3fb950 } .missed { fill: #f85149 } .bound { stroke: #9da7b3 }
      .spread { stroke: #f0f6fc } .name { fill: #f0f6fc } .about { fill: #9da7b3 }
    }
"""


def used(target: Target, value: float) -> float:
    """The share of what the target allows: 1 is the bound, more is beyond it."""
    if target.kind == "at most":
        return value / target.bound
    return target.bound / value if value else float("inf")


def _place(share: float) -> float:
    return LABEL + min(share * BOUND, BAR)


def _bar(name: str, row: Row, target: Target, y: float) -> Iterator[str]:
    share = used(target, row.median)
    low, high = sorted(_place(used(target, value)) for value in row.spread)
    kind = "met" if target.is_met(row.median) else "missed"
    middle = y + LINE / 2
    yield f'<text class="name" x="{LABEL - 10}" y="{middle + 4:.0f}" text-anchor="end">{escape(name)}</text>'
    yield (
        f'<rect class="{kind}" x="{LABEL}" y="{y + 5:.0f}" width="{_place(share) - LABEL:.1f}"'
        f' height="{LINE - 10}" rx="2"/>'
    )
    yield f'<path class="spread" d="M{low:.1f} {middle:.0f}H{high:.1f}" stroke-width="2"/>'
    told = f"{figure(row.median)} {row.unit}".strip() + f" ({target})"
    yield f'<text class="about" x="{LABEL + BAR + 10}" y="{middle + 4:.0f}">{escape(told)}</text>'


def svg(path: Path) -> str:
    """The picture of a results file."""
    said, results = read(path)
    rows = [
        (f"{result.name}: {row.name}", row, result.targets[row.name])
        for result in results
        for row in result.rows
        if row.name in result.targets
    ]
    height = TOP + LINE * len(rows) + 20
    bound = LABEL + BOUND
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img" {FONT}>',
        "<title>What was measured, as a share of what each target allows</title>",
        f"<style>{STYLE}</style>",
        f'<rect class="page" width="{WIDTH}" height="{height}"/>',
        f'<text class="about" x="20" y="24">{escape(described(said["machine"]))}</text>',
        f'<text class="about" x="{bound:.0f}" y="{TOP - 8}" text-anchor="middle">the bound</text>',
    ]
    for number, (name, row, target) in enumerate(rows):
        parts += _bar(name, row, target, TOP + LINE * number)
    parts.append(f'<path class="bound" d="M{bound:.0f} {TOP}V{height - 20}" stroke-dasharray="4 3"/>')
    return "\n".join([*parts, "</svg>", ""])


def main() -> None:
    """Draws the file that is named."""
    options = argparse.ArgumentParser(description="Draws the targets of a results file.")
    options.add_argument("results", type=Path)
    options.add_argument("-o", "--output", type=Path, required=True)
    given = options.parse_args()
    given.output.write_text(svg(given.results), encoding="utf-8")


if __name__ == "__main__":
    main()
