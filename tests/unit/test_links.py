"""A link from one page of the project to another leads somewhere."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from api.reference import anchor

ROOT = Path(__file__).parents[2]
FENCED = re.compile(r"^ *```.*?^ *```$", re.MULTILINE | re.DOTALL)
LINK = re.compile(r"\]\(([^)\s]+)\)|(?:src|srcset|href)=\"([^\"]+)\"")
CODE = re.compile(r"`[^`\n]*`")
HEADING = re.compile(r"^#+ (.+)$", re.MULTILINE)
INSTALLED = {"node_modules", "build", "dist", "data"}
OURS = {".github", ".ci"}
ELSEWHERE = re.compile(r"[a-z]+:")


def pages() -> list[Path]:
    """Every page in Markdown that belongs to the project, and none of what is installed beside it."""
    found: list[Path] = []
    for folder, folders, names in os.walk(ROOT):
        folders[:] = [name for name in folders if name not in INSTALLED and (name[0] != "." or name in OURS)]
        found += [Path(folder, name) for name in names if name.endswith(".md")]
    return sorted(found)


def prose(page: Path) -> str:
    """Without the fenced programs, where a bracket is no link and a `#` no heading."""
    return FENCED.sub("", page.read_text(encoding="utf-8"))


def anchors(page: Path) -> set[str]:
    """As GitHub makes them; it numbers what it meets again."""
    found: set[str] = set()
    for heading in HEADING.findall(prose(page)):
        text = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        name = anchor(text)
        number = 0
        while (numbered := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(numbered)
    return found


def test_the_index_sends_somebody_to_every_page() -> None:
    folder = ROOT / "docs"
    index = (folder / "README.md").read_text(encoding="utf-8")
    assert [
        path.name for path in folder.glob("*.md") if path.name != "README.md" and f"]({path.name})" not in index
    ] == []


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_each_link_of_a_page_leads_somewhere(page: Path) -> None:
    text = CODE.sub(lambda code: code[0] if "](" not in code[0] else "", prose(page))
    lost = []
    for link in (one or other for one, other in LINK.findall(text)):
        path, _, fragment = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        if ELSEWHERE.match(link):
            continue
        if not target.exists() or (fragment and fragment not in anchors(target)):
            lost.append(link)
    assert lost == []
