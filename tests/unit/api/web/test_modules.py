"""The pages' modules: each of them can be read, and those that need no browser do what they should."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
WEB = Path(__file__).parents[4] / "api" / "web"
OWN = sorted(path for folder in ("base", "chat", "ops") for path in (WEB / folder).rglob("*.js"))
SUITES = sorted(path.name for path in HERE.glob("*.test.mjs"))
OLDEST_NODE = 20
# They run before anything is there, as plain scripts.
PLAIN = ("arrival.js", "theme_first.js")
MAX_LINES = 300
# All of them in one process.
_PARSE = """
const { SourceTextModule } = require("vm");
for (const path of process.argv.slice(1)) {
  new SourceTextModule(require("fs").readFileSync(path, "utf8"), { identifier: path });
}
"""


def _has_node() -> bool:
    node = shutil.which("node")
    if node is None:
        return False
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return int(said.removeprefix("v").partition(".")[0] or 0) >= OLDEST_NODE


# In CI on Linux it never applies, so that a missing Node.js fails.
needs_node = pytest.mark.skipif(
    not _has_node() and not ("CI" in os.environ and sys.platform == "linux"),
    reason=f"there is no Node.js {OLDEST_NODE} or newer",
)


def _run(*arguments: str) -> None:
    ran = subprocess.run(["node", *arguments], cwd=HERE, capture_output=True, text=True, check=False)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"


@needs_node
@pytest.mark.parametrize("suite", SUITES)
def test_pure_modules(suite: str) -> None:
    _run("--test", suite)


@needs_node
def test_every_module_can_be_parsed() -> None:
    modules = [str(path) for path in OWN if path.name not in PLAIN]
    _run("--experimental-vm-modules", "--no-warnings", "-e", _PARSE, *modules)
    for name in PLAIN:
        _run("--check", str(WEB / "base" / name))


def test_no_module_is_long() -> None:
    assert [path.name for path in OWN if len(path.read_text().splitlines()) > MAX_LINES] == []
