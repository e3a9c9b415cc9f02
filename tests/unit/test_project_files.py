"""The files around the code say the same as the code: settings, locks and vendored assets."""

from __future__ import annotations

import hashlib
import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement

from shared import settings

ROOT = Path(__file__).parents[2]
LOCKS = (
    "requirements.txt",
    "requirements-dev.txt",
    "requirements-build.txt",
    "requirements-containers.txt",
    "requirements-local-model.txt",
    "requirements-peers.txt",
)
VENDORED = [ROOT / "api" / "web" / name for name in ("swagger", "vendor")]


def _locked(name: str) -> dict[str, str]:
    return dict(re.findall(r"^([a-z0-9-]+)==(\S+)", (ROOT / name).read_text(), flags=re.MULTILINE))


def _pyproject() -> dict[str, object]:
    return tomllib.loads((ROOT / "pyproject.toml").read_text())


def _example() -> dict[str, str]:
    return dict(re.findall(r"^# ([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), flags=re.MULTILINE))


def test_the_example_environment_names_every_setting_and_no_other() -> None:
    assert set(_example()) == {settings._variable(name) for name in settings.Settings.model_fields}


def test_the_example_environment_shows_the_defaults(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    for name in _example():
        monkeypatch.delenv(name, raising=False)
    defaults = settings.Settings()
    for name, value in _example().items():
        monkeypatch.setenv(name, value)
    assert settings.Settings() == defaults


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_names_no_place_to_fetch_from(name: str) -> None:
    assert not re.search(r"://|^-|file:", (ROOT / name).read_text(), flags=re.MULTILINE)


@pytest.mark.parametrize("name", LOCKS)
def test_a_lock_has_a_hash_for_every_package(name: str) -> None:
    entries = re.split(r"^(?=[a-z0-9])", (ROOT / name).read_text(), flags=re.MULTILINE)[1:]
    assert entries
    assert [entry.split(" ")[0] for entry in entries if "--hash=sha256:" not in entry] == []


def test_the_locks_agree_with_each_other() -> None:
    runtime, development = _locked("requirements.txt"), _locked("requirements-dev.txt")
    assert runtime.items() <= development.items()


def test_the_locks_hold_what_pyproject_asks_for() -> None:
    """Whoever changes a dependency and forgets `make lock` learns it here."""
    project, groups = _pyproject()["project"], _pyproject()["dependency-groups"]
    assert isinstance(project, dict)
    assert isinstance(groups, dict)
    for lock, wanted in (
        ("requirements.txt", project["dependencies"]),
        ("requirements-dev.txt", project["dependencies"] + groups["dev"]),
        ("requirements-build.txt", groups["build"]),
        ("requirements-containers.txt", groups["containers"]),
        ("requirements-local-model.txt", groups["local-model"]),
        ("requirements-peers.txt", groups["peers"]),
    ):
        versions = _locked(lock)
        requirements = [Requirement(line) for line in wanted]
        stale = [str(needed) for needed in requirements if versions.get(needed.name, "") not in needed.specifier]
        assert stale == [], f"{lock} is stale: run make lock"


@pytest.mark.parametrize("folder", VENDORED, ids=lambda folder: str(folder.name))
def test_the_vendored_assets_are_those_their_page_records(folder: Path) -> None:
    page = (folder / "README.md").read_text()
    recorded = dict(re.findall(r"^\| `([^`]+)` \|.* `([0-9a-f]{64})` \|$", page, flags=re.MULTILINE))
    present = {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        # What the project writes there itself: the page, and what it uses of each library.
        if path.name != "README.md" and not path.name.endswith(".d.ts")
    }
    assert present == recorded


def test_every_vendored_licence_is_in_the_wheel() -> None:
    project = _pyproject()["project"]
    assert isinstance(project, dict)
    licences = {
        str(path.relative_to(ROOT))
        for folder in VENDORED
        for path in folder.iterdir()
        if path.suffix == ".LICENSE" or path.name in {"LICENSE", "NOTICE"}
    }
    listed = {str(path.relative_to(ROOT)) for pattern in project["license-files"] for path in ROOT.glob(pattern)}
    assert {"LICENSE", *licences} == listed


def test_every_decision_is_in_the_list_by_its_number_and_heading() -> None:
    folder = ROOT / "docs" / "decisions"
    records = sorted(folder.glob("0*.md"))
    numbers = [int(record.name[:4]) for record in records]
    assert numbers == sorted(set(numbers))
    listed = [line for line in (folder / "README.md").read_text().splitlines() if re.match(r"\d+\. ", line)]
    headings = [record.read_text().partition("\n")[0].removeprefix("# ").split(". ", 1) for record in records]
    assert listed == [
        f"{number}. [{title}]({record.name})" for (number, title), record in zip(headings, records, strict=True)
    ]
