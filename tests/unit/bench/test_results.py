"""What is kept and shown of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.frame import Benchmark, Row, Scope, at_least, at_most
from bench.results import Result, as_json, machine, read, table

ROWS = [Row("waited", "ms", [9, 1, 2]), Row("stored", "/s", [1234.5]), Row("share", "", [0.5])]


async def _run(_scope: Scope) -> list[Row]:
    return ROWS


BENCHMARK = Benchmark("example", "an <example>", _run, {"waited": at_most(2, "ms"), "share": at_least(0.6)})
RESULT = Result.of(BENCHMARK, ROWS, seconds=3)


def test_a_table_has_the_median_the_spread_the_target_and_whether_it_is_met() -> None:
    waited, stored, share = (line.split() for line in table(RESULT).splitlines()[1:])
    assert waited == ["waited", "2", "ms", "1", "to", "9", "≤", "2", "ms", "met"]
    assert stored == ["stored", "1,234", "/s", "one", "run"]
    assert share == ["share", "0.5", "one", "run", "≥", "0.6", "not", "met"]


@pytest.mark.parametrize("rows", [[], [Row("waited", "s", [1]), Row("share", "", [1])]])
def test_a_target_without_its_figure_is_an_error(rows: list[Row]) -> None:
    with pytest.raises(ValueError, match="target"):
        Result.of(BENCHMARK, rows, seconds=3)


def test_a_results_file_is_read_as_it_was_written(tmp_path: Path) -> None:
    path = tmp_path / "results.json"
    scope = Scope(database_url="postgresql+psycopg://user:secret@host/name")
    path.write_text(as_json(machine(), scope, [RESULT]), encoding="utf-8")
    said, results = read(path)
    assert results == [RESULT]
    assert said["database"] == "postgresql"
    assert "secret" not in str(said)
