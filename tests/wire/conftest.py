"""A whole installation for clients that nobody here wrote, and a proxy as people have it in front."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.installation import Installation, gateways_and_worker
from tests.fixtures.databases import Databases
from tests.wire.asking import NODE_FOLDER, Asking
from tests.wire.nginx import UPSTREAM, Nginx, find_nginx, running_nginx

OLDEST_NODE = 20
# So that a browser's page has to come back several times for one reply.
SHORT_STREAM_SECONDS = "1.5"


def _node_version() -> int:
    node = shutil.which("node")
    if node is None:
        return 0
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout
    return int(said.removeprefix("v").partition(".")[0] or 0)


def _missing() -> dict[str, str]:
    """Test files that cannot run here, with the reason. CI on Linux has to have everything."""
    if "CI" in os.environ and sys.platform == "linux":
        return {}
    missing = {}
    if shutil.which("curl") is None:
        missing["test_curl.py"] = "there is no curl"
    if find_nginx() is None:
        missing["test_nginx.py"] = "there is no nginx"
    if _node_version() < OLDEST_NODE:
        missing["test_event_source.py"] = f"there is no Node.js {OLDEST_NODE} or newer"
    elif not (NODE_FOLDER / "node_modules").is_dir():
        missing["test_event_source.py"] = "`npm ci --prefix tests/wire/node` was not run"
    return missing


_left_out = _missing()
collect_ignore = list(_left_out)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Says what is no part of the suite here, and why."""
    for name, reason in _left_out.items():
        terminalreporter.write_line(f"left out: tests/wire/{name}, since {reason}")


@pytest.fixture(scope="session")
def installation(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Two gateways and a worker. The second gateway closes every stream after a moment."""
    folder = tmp_path_factory.mktemp("wire")
    # By itself nginx names what is behind it by its own name for that.
    behind = {"ASYNCCHAT_ALLOWED_HOSTS": UPSTREAM}
    hasty = {"ASYNCCHAT_STREAM_SECONDS": SHORT_STREAM_SECONDS, **behind}
    with gateways_and_worker(folder, behind, hasty, database_url=databases.new(folder)) as made:
        yield made


@pytest.fixture
def url(installation: Installation) -> str:
    """A gateway whose streams last."""
    return installation.urls[0]


@pytest.fixture
def hasty_url(installation: Installation) -> str:
    """A gateway whose streams last a moment."""
    return installation.urls[1]


@pytest.fixture
def nginx(installation: Installation, tmp_path: Path) -> Iterator[Nginx]:
    """A proxy in front of both gateways, with the settings that nginx has by itself."""
    with running_nginx(tmp_path, installation.urls) as running:
        yield running


@pytest.fixture
def ask(url: str) -> Asking:
    return Asking(url)
