"""The suite misses whatever keeps the promises: without it, it turns red."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.faults.mutants import NAMED, OF_LOCKS, OTHERS, WALK, Mutant
from tests.integration.shared.store.state_machine import QUICK_TO_FAIL

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "cli", "demo_model", "shared", "tests", "worker")
GREEN, RED = 0, 1
# Most mutants are met on the first few.
WALKS = 500

pytestmark = pytest.mark.timeout(600)
# Each mutant has a database of its own made, and what is missed on one is missed on the other.
ON_ONE_DATABASE = pytest.mark.sqlite


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The project, to be harmed."""
    folder = tmp_path_factory.mktemp("mutants")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package)
    shutil.copy2(ROOT / "pyproject.toml", folder)
    return folder


@contextmanager
def mutated(copy: Path, mutant: Mutant) -> Iterator[None]:
    """The copy with this one change."""
    path = copy / mutant.path
    path.write_text(path.read_text().replace(mutant.text, mutant.instead))
    yield
    shutil.copy2(ROOT / mutant.path, path)


def run(copy: Path, *tests: str) -> tuple[int, str]:
    """How the tests of the copy end, and what they say."""
    environment = {**os.environ, QUICK_TO_FAIL: "1", "TEST_WALKS": str(WALKS), "PYTHONDONTWRITEBYTECODE": "1"}
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--tb=line", "-p", "no:cacheprovider", *tests]
    done = subprocess.run(command, cwd=copy, env=environment, capture_output=True, text=True, check=False)
    return done.returncode, done.stdout + done.stderr


def turns_red(copy: Path, mutant: Mutant, tests: str) -> None:
    with mutated(copy, mutant):
        code, said = run(copy, tests)
    # What cannot even be imported would prove nothing.
    assert code == RED, said
    assert "FAILED" in said, said


@pytest.mark.quick
@pytest.mark.parametrize("mutant", NAMED + OTHERS + OF_LOCKS, ids=lambda mutant: mutant.name)
def test_no_mutant_is_of_something_long_gone(mutant: Mutant) -> None:
    """Its text is there, and once, and so are the tests that must miss it."""
    found = (ROOT / mutant.path).read_text().count(mutant.text)
    assert found == 1, f"{mutant.path} has this {found} times: {mutant.text}"
    assert (ROOT / mutant.seen_by).is_file()


@pytest.mark.quick
def test_the_tests_are_green_on_a_copy_without_a_mutant(copy: Path) -> None:
    code, said = run(copy, *sorted({mutant.seen_by for mutant in NAMED}))
    assert code == GREEN, said


@pytest.mark.quick
@pytest.mark.parametrize("mutant", NAMED, ids=lambda mutant: mutant.name)
def test_what_the_design_names_is_missed(mutant: Mutant, copy: Path) -> None:
    turns_red(copy, mutant, mutant.seen_by)


@ON_ONE_DATABASE
@pytest.mark.parametrize("mutant", OTHERS, ids=lambda mutant: mutant.name)
def test_other_checks_and_effects_are_missed(mutant: Mutant, copy: Path) -> None:
    turns_red(copy, mutant, mutant.seen_by)


@pytest.mark.postgresql
@pytest.mark.parametrize("mutant", OF_LOCKS, ids=lambda mutant: mutant.name)
def test_locks_are_missed(mutant: Mutant, copy: Path) -> None:
    turns_red(copy, mutant, mutant.seen_by)


@ON_ONE_DATABASE
@pytest.mark.parametrize("mutant", [each for each in NAMED + OTHERS if each.is_met], ids=lambda mutant: mutant.name)
def test_a_walk_in_any_order_comes_upon_it(mutant: Mutant, copy: Path) -> None:
    turns_red(copy, mutant, WALK)
