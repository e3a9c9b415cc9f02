"""`asyncchat verify` as a person runs it: real faults in real processes, and a judge that cannot be fooled."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing, nullcontext
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import delete, select
from sqlalchemy.exc import DBAPIError

from shared.database.engine import open_engine, parse_url, sqlite_path
from shared.database.file_lock import FileLock
from shared.database.models import replies
from shared.reply_status import ReplyStatus
from tests.fixtures.api_keys import make_key
from tests.fixtures.up import OURS, ROOT, StartUp, live_processes
from tests.fixtures.waiting import wait_for

# Everything is started, put to the test, healed and read: far more than it takes.
BOUND_SECONDS = 150.0
# The first fault of this seed is one that needs no healing.
FLUSH_FIRST = "6"

pytestmark = pytest.mark.timeout(240)


class Verify:
    """One running `asyncchat verify`, whose temporary directory is in a folder of the test's."""

    def __init__(self, folder: Path, *arguments: str) -> None:
        self.directories = folder / "tmp"
        self.directories.mkdir(exist_ok=True)
        self._output = folder / "output.txt"
        inherited = {k: v for k, v in os.environ.items() if k not in OURS and not k.startswith("ASYNCCHAT_")}
        path = os.pathsep.join([str(ROOT), *filter(None, [inherited.get("PYTHONPATH")])])
        with self._output.open("wb") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-P", "-m", "cli", "verify", *arguments],
                cwd=folder,
                env={**inherited, "PYTHONPATH": path, "TMPDIR": str(self.directories)},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        return self._output.read_text()

    def children(self) -> set[int]:
        return {pid for pid, (parent, _) in live_processes().items() if parent == self.process.pid}

    def count(self, name: str) -> int:
        """A number of the table."""
        found = re.search(rf"^{name} +([0-9,]+)", self.output, re.MULTILINE)
        assert found, self.output
        return int(found[1].replace(",", ""))

    def end(self) -> int:
        """The exit code; nothing that it started is left then."""
        code = self.process.wait(BOUND_SECONDS)
        assert wait_for(lambda: not self.children())
        return code


StartVerify = Callable[..., Verify]


@pytest.fixture
def start_verify(folder: Path) -> Iterator[StartVerify]:
    started: list[Verify] = []

    def start(*arguments: str) -> Verify:
        started.append(Verify(folder, *arguments))
        return started[-1]

    yield start
    for verify in started:
        if verify.process.poll() is None:
            verify.process.kill()
            verify.process.wait()


def _erase_a_completed_reply(database_url: str) -> bool:
    """As no process of ours ever would. False while there is none, or no table yet."""
    url = parse_url(database_url)
    path = sqlite_path(url)
    if path and not path.exists():
        return False
    lock = FileLock(path) if path else None
    with closing(lock) if lock else nullcontext(), lock.held() if lock else nullcontext():
        try:
            with open_engine(url, read_only=False).begin() as connection:
                completed = select(replies.c.id).where(replies.c.status == ReplyStatus.COMPLETED).limit(1)
                found = connection.execute(completed).scalar_one_or_none()
                return connection.execute(delete(replies).where(replies.c.id == found)).rowcount == 1
        except DBAPIError:
            return False


def test_nothing_is_lost_under_faults_and_the_database_is_not_used_again(
    empty_database_url: str, start_verify: StartVerify
) -> None:
    verify = start_verify("--seconds", "15", "--seed", "1", "--database-url", empty_database_url)
    assert verify.end() == 0, verify.output
    assert verify.count("accepted") > 50
    for name in ("lost", "duplicated", "out of order", "stuck"):
        assert verify.count(name) == 0
    assert "SIGKILL to worker-2" in verify.output
    # The kill comes early, when perhaps nothing is under way yet.
    assert re.search(r"^recovery +(p50 \d+\.\d s, p99 \d+\.\d s|nothing to recover)", verify.output, re.MULTILINE)
    assert "Again: asyncchat verify --seconds 15 --seed 1 --database-url" in verify.output
    assert list(verify.directories.iterdir()) == []

    again = start_verify("--seconds", "15", "--database-url", empty_database_url)
    assert again.end() == 1, again.output
    assert again.output.startswith("asyncchat: the database")
    assert "is not empty" in again.output
    assert again.output.count("\n") == 1


def test_a_reply_that_is_erased_behind_its_back_is_counted_as_lost(
    empty_database_url: str, start_verify: StartVerify
) -> None:
    verify = start_verify("--seconds", "3", "--seed", FLUSH_FIRST, "--database-url", empty_database_url)
    assert wait_for(lambda: _erase_a_completed_reply(empty_database_url))
    assert verify.end() == 1, verify.output
    assert verify.count("lost") >= 1
    # Whether the client had heard of it by its id depends on whether its request still waited for it.
    told = r"^lost: (reply_\w+: the reply was accepted and is not stored|.+ candidates were asked for, \d are stored)$"
    assert re.search(told, verify.output, re.MULTILINE)
    (kept,) = verify.directories.iterdir()
    assert f"are kept in {kept}" in verify.output
    assert {"logs", "findings.txt", "model-requests.jsonl"} <= {path.name for path in kept.iterdir()}


def test_ctrl_c_ends_it_with_what_was_seen(start_verify: StartVerify) -> None:
    verify = start_verify("--seconds", "600", "--seed", FLUSH_FIRST)
    assert wait_for(lambda: "FLUSHALL" in verify.output)
    verify.process.send_signal(signal.SIGINT)
    assert verify.end() == 130, verify.output
    assert "stopping" in verify.output
    assert verify.count("lost") == 0


def test_a_running_installation_is_loaded_over_http_with_a_key_and_left_as_it_was(
    database_url: str, start_up: StartUp, start_verify: StartVerify
) -> None:
    key = make_key(database_url)
    up = start_up(environment={"DATABASE_URL": database_url, "ASYNCCHAT_AUTH": "keys"})
    up.wait_until_ready()
    with httpx2.Client(base_url=up.url, headers={"Authorization": f"Bearer {key}"}) as client:
        mine = client.post("/conversations/", json={"title": "mine"}).json()["id"]
        children = up.children()
        without = start_verify("--seconds", "3", "--url", up.url)
        assert without.end() == 1
        assert "asks for a key" in without.output
        verify = start_verify("--seconds", "3", "--url", up.url, "--key", key)
        assert verify.end() == 0, verify.output
        assert verify.count("accepted") > 10
        assert verify.count("lost") == 0
        assert up.children() == children
        assert [each["id"] for each in client.get("/conversations/").json()["data"]] == [mine]
