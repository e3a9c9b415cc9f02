"""What is published of results, and that the page and its pictures say nothing else."""

from __future__ import annotations

from pathlib import Path
from xml.etree import ElementTree

import pytest

from bench.frame import Benchmark, Row, Scope, at_least, at_most
from bench.page import IMAGES, NONE, PAGE, PUBLISHED, beside_peers, figures, pictures, publish, written
from bench.results import Result, as_json, machine

OWN = Benchmark("example", "an <example>", lambda _scope: None, {"waited": at_most(2, "ms"), "share": at_least(0.6)})  # type: ignore[arg-type, return-value]
PEERS = Benchmark("peers", "others", OWN.run)
SVG = "{http://www.w3.org/2000/svg}"


def _results(folder: Path, benchmark: Benchmark, rows: list[Row], scope: Scope = Scope()) -> Path:  # noqa: B008 - frozen
    path = folder / "results.json"
    result = Result.of(benchmark, rows, seconds=3)
    path.write_text(as_json(machine(), scope, [result]), encoding="utf-8")
    return path


@pytest.fixture
def published(tmp_path: Path) -> Path:
    """A folder with the figures of one benchmark, and some of the peers."""
    folder = tmp_path / "published"
    publish(_results(tmp_path, OWN, [Row("waited", "ms", [9, 1, 2]), Row("share", "", [0.5])]), into=folder)
    sides = {"direct, answers": [80.0], "asyncchat, answers": [60.0, 50.0], "LiteLLM 1.2, answers": [20.0]}
    rows = [Row(name, "/s", values) for name, values in sides.items()] + [Row("asyncchat, accepted", "/s", [500.0])]
    publish(_results(tmp_path, PEERS, rows), into=folder)
    return folder


def test_results_are_kept_under_the_name_of_what_they_are_of(tmp_path: Path, published: Path) -> None:
    publish(_results(tmp_path, PEERS, [], Scope(database_url="postgresql://host/name")), into=published)
    rows = [Row("waited", "ms", [1]), Row("share", "", [1])]
    publish(_results(tmp_path, OWN, rows, Scope(database_url="postgresql://host/name")), into=published)
    assert sorted(path.name for path in published.iterdir()) == ["peers.json", "postgresql.json", "sqlite.json"]


def test_figures_of_a_quick_run_are_not_published(tmp_path: Path) -> None:
    quick = _results(tmp_path, PEERS, [], Scope(quick=True))
    with pytest.raises(ValueError, match="quick"):
        publish(quick, into=tmp_path / "published")


def test_the_page_shows_the_figures_of_a_database(published: Path) -> None:
    shown = figures(published)
    assert "### On SQLite" in shown
    assert "| `example` | waited | 2 ms | 1 to 9 | ≤ 2 ms | met |" in shown
    assert "PostgreSQL" not in shown


def test_the_peers_stand_beside_each_other(published: Path) -> None:
    head, _, *rows = beside_peers(published).splitlines()[4:]
    assert head == "| | Async Chat API | LiteLLM 1.2 | the model itself |"
    assert rows[0] == "| answers | 55 /s (50 to 60) | 20 /s | 80 /s |"
    assert rows[1] == "| accepted | 500 /s |  |  |"


def test_a_picture_has_a_bar_for_each_figure(published: Path) -> None:
    bars = {
        name: [each.get("class") for each in ElementTree.fromstring(drawn).iter(f"{SVG}rect")][1:]  # noqa: S314 - ours
        for name, drawn in pictures(published)
    }
    assert bars == {
        "performance-sqlite.svg": ["met", "missed"],
        "performance-peers.svg": ["own", "other", "other", "own"],
    }


def test_where_nothing_is_published_the_page_says_so(tmp_path: Path) -> None:
    assert figures(tmp_path) == beside_peers(tmp_path) == NONE


def test_the_page_and_its_pictures_say_what_is_published_and_what_the_benchmarks_tell() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert written(page) == page
    for name, drawn in pictures(PUBLISHED):
        assert (IMAGES / name).read_text(encoding="utf-8") == drawn
