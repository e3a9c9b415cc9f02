"""Writes what docs/performance.md does not say by hand, and its pictures: `python -m bench.page [RESULTS.json ...]`.

The results that are named are published: kept in bench/published/, one file for each database and one for the peers.
The page and its pictures are made from what is there.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

from bench import peer_figures, plot
from bench.__main__ import NAMED, NAMES, benchmark
from bench.results import DATABASES, ROOT, described, markdown, read

PAGE = ROOT / "docs" / "performance.md"
IMAGES = PAGE.parent / "images"
PUBLISHED = ROOT / "bench" / "published"
PEERS = "peers"
NONE = "None are published yet."


def publish(results: Path, *, into: Path = PUBLISHED) -> None:
    """Keeps a results file under the name of what it is of.

    Raises:
        ValueError: it is of a quick run, whose figures mean nothing.
    """
    said, found = read(results)
    if said["quick"]:
        raise ValueError(f"{results} is of a quick run, whose figures mean little: make them with `make bench`")
    if not found:
        raise ValueError(f"{results} has no figures")
    kind = PEERS if [result.name for result in found] == [PEERS] else said["database"]
    into.mkdir(exist_ok=True)
    shutil.copyfile(results, into / f"{kind}.json")


def contents() -> str:
    """The table of the benchmarks."""
    lines = ["| `NAME` | what is measured | target |", "| --- | --- | --- |"]
    for name in NAMES + NAMED:
        each = benchmark(name)
        targets = "<br>".join(f"{row}: {target}" for row, target in each.targets.items())
        lines.append(f"| `{name}` | {each.measures} | {targets} |")
    return "\n".join(lines)


def figures(published: Path) -> str:
    """The pictures and tables of what was measured on each database."""
    parts = []
    for kind, called in DATABASES.items():
        path = published / f"{kind}.json"
        if path.is_file():
            said, results = read(path)
            image = f"![On {called}: each figure as a share of what its target allows](images/performance-{kind}.svg)"
            parts += [f"### On {called}", f"{described(said['machine'], database=kind)}.", image, markdown(results)]
    return "\n\n".join(parts) or NONE


def beside_peers(published: Path) -> str:
    """The same for the peers."""
    path = published / f"{PEERS}.json"
    if not path.is_file():
        return NONE
    said, results = read(path)
    image = f"![The same questions asked of each of them, side by side](images/performance-{PEERS}.svg)"
    on = f"{described(said['machine'], database=said['database'])}."
    return "\n\n".join([on, image, peer_figures.markdown(results)])


def pictures(published: Path) -> Iterator[tuple[str, str]]:
    """The name and the text of each picture."""
    for kind in (*DATABASES, PEERS):
        path = published / f"{kind}.json"
        if path.is_file():
            drawn = peer_figures.svg(*read(path)) if kind == PEERS else plot.svg(*read(path))
            yield f"performance-{kind}.svg", drawn


def filled(page: str, name: str, text: str) -> str:
    """The page with this text between the marks of that name."""
    begin, end = f"<!-- {name}: made by python -m bench.page -->\n", f"\n<!-- end of {name} -->"
    before, _, rest = page.partition(begin)
    _, _, after = rest.partition(end)
    return f"{before}{begin}{text}{end}{after}"


def written(page: str, published: Path = PUBLISHED) -> str:
    """The page with all that is made."""
    page = filled(page, "benchmarks", contents())
    page = filled(page, "figures", figures(published))
    return filled(page, "peers", beside_peers(published))


def write(results: Sequence[Path]) -> None:
    """Publishes these, then writes the page and its pictures.

    Raises:
        OSError, ValueError: one of them cannot be published.
    """
    for path in results:
        publish(path)
    PAGE.write_text(written(PAGE.read_text(encoding="utf-8")), encoding="utf-8")
    for name, drawn in pictures(PUBLISHED):
        (IMAGES / name).write_text(drawn, encoding="utf-8")


def main() -> None:
    """The command."""
    options = argparse.ArgumentParser(description="Writes the tables and pictures of docs/performance.md.")
    options.add_argument("results", type=Path, nargs="*", help="what is to be published; without, what is already")
    given = options.parse_args()
    try:
        write(given.results)
    except (OSError, ValueError) as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
