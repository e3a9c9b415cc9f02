"""Writes what docs/performance.md does not say by hand: `python -m bench.page [RESULTS.json]`.

What each benchmark measures and what it should come to, from the benchmarks; and with a results file the figures.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from bench.__main__ import NAMES, benchmark
from bench.results import ROOT, described, markdown, read

PAGE = ROOT / "docs" / "performance.md"


def contents() -> str:
    """The table of the benchmarks."""
    lines = ["| `NAME` | what is measured | target |", "| --- | --- | --- |"]
    for name in NAMES:
        each = benchmark(name)
        targets = "<br>".join(f"{row}: {target}" for row, target in each.targets.items())
        lines.append(f"| `{name}` | {each.measures} | {targets} |")
    return "\n".join(lines)


def figures(path: Path) -> str:
    """The table of a results file, and what it was measured on.

    Raises:
        ValueError: it is of a quick run, whose figures mean nothing.
    """
    said, results = read(path)
    if said["quick"]:
        raise ValueError(f"{path} is of a quick run, whose figures mean little: make them with `make bench`")
    return f"On {described(said['machine'])}; database: {said['database']}.\n\n{markdown(results)}"


def filled(page: str, name: str, text: str) -> str:
    """The page with this text between the marks of that name."""
    begin, end = f"<!-- {name}: made by python -m bench.page -->\n", f"\n<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}{text}{end}{after}"


def main() -> None:
    """Writes the page."""
    options = argparse.ArgumentParser(description="Writes the tables of docs/performance.md.")
    options.add_argument("results", type=Path, nargs="?", help="without it the figures stay as they are")
    given = options.parse_args()
    page = filled(PAGE.read_text(encoding="utf-8"), "benchmarks", contents())
    if given.results is not None:
        try:
            page = filled(page, "figures", figures(given.results))
        except (OSError, ValueError) as error:
            sys.exit(str(error))
    PAGE.write_text(page, encoding="utf-8")


if __name__ == "__main__":
    main()
