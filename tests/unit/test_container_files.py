"""The files that make containers agree with each other and with the locks."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).parents[2]
ROLE = re.compile(r"^# --- what makes it the (\w+) ---$", re.MULTILINE)


def _lines_above_the_role(name: str) -> list[str]:
    text = (ROOT / name).read_text()
    above = text[: text.index("# --- what makes it")]
    # The first lines say which of the two it is.
    return above.split("\n\n", 1)[1].splitlines()


def test_both_images_are_made_alike_up_to_their_role() -> None:
    assert _lines_above_the_role("Dockerfile.api") == _lines_above_the_role("Dockerfile.worker")
    assert [ROLE.findall((ROOT / name).read_text()) for name in ("Dockerfile.api", "Dockerfile.worker")] == [
        ["gateway"],
        ["worker"],
    ]


def test_images_are_built_with_the_locked_uv() -> None:
    locked = re.search(r"^uv==(\S+)", (ROOT / "requirements-build.txt").read_text(), re.MULTILINE)
    used = re.search(r"^FROM ghcr\.io/astral-sh/uv:(\S+) ", (ROOT / "Dockerfile.api").read_text(), re.MULTILINE)
    assert locked
    assert used
    assert used[1] == locked[1]


def test_the_images_get_every_package_and_no_other_file() -> None:
    wheel = re.search(r"^packages = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert wheel
    packages = set(re.findall(r"\w+", wheel[1]))
    sent = set(re.findall(r"^!(\w+)/$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert sent == packages
