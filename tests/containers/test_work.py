"""The installation does its work, whatever dies."""

from __future__ import annotations

import logging
import re
import subprocess
import time
from functools import partial
from pathlib import Path

import pytest

from tests.containers.conftest import WORKERS
from tests.containers.installation import ROOT, Installation
from tests.fixtures.waiting import wait_for

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]

log = logging.getLogger(__name__)

ASKS = 60
KILL_EVERYTHING = "import os; os.kill(-1, 9)"
ATTEMPTS = "select worker_id, outcome, count(*) as number from attempts group by worker_id, outcome"


def _in_progress(installation: Installation) -> dict[str, int]:
    return {worker["id"]: worker["live_replies"] for worker in installation.workers() if worker["live_replies"]}


def test_the_first_command_of_the_readme_is_answered(installation: Installation) -> None:
    command = re.search(r"^\$ (curl .*)$", (ROOT / "README.md").read_text(), re.MULTILINE)
    assert command
    line = command[1].replace("localhost:8000", installation.address)
    ran = subprocess.run(["bash", "-c", line], capture_output=True, text=True, timeout=60, check=True)
    assert "Hello Ada, nice to meet you! I am the demo model" in ran.stdout


def test_every_health_check_finds_its_role_at_work(installation: Installation) -> None:
    def finds(word: str, role: str, index: int) -> bool:
        # Some engines lose what a command prints last; then it is asked again.
        return word in installation.execute(role, "asyncchat", "health", role, index=index)

    assert wait_for(lambda: finds("swept", "api", 1))
    for index in range(1, WORKERS + 1):
        assert wait_for(partial(finds, "beats", "worker", index))


def test_a_gateway_is_no_worker(installation: Installation) -> None:
    """The check looks at what beats on this machine, not at whether a program runs."""

    def is_none() -> bool:
        # Some engines lose how a command ended; then it is asked again.
        return installation.compose("exec", "-T", "api", "asyncchat", "health", "worker", check=False).returncode == 1

    assert wait_for(is_none)


def test_workers_share_the_asks_and_one_that_is_killed_loses_nothing(installation: Installation) -> None:
    ids = installation.worker_ids()
    assert len(ids) == WORKERS
    victim = ids[installation.execute("worker", "hostname", index=2).strip()]
    # Longer than it takes to look who has some.
    asked = [installation.ask("demo-30000ms") for _ in range(ASKS)]
    assert wait_for(lambda: set(_in_progress(installation)) >= set(ids.values()))
    installation.execute("worker", "python", "-c", KILL_EVERYTHING, index=2, check=False)
    installation.assert_each_answered_once(asked, seconds=120)
    outcomes = {(row["worker_id"], row["outcome"]): row["number"] for row in installation.rows(ATTEMPTS)}
    log.info("attempts: %s", outcomes)
    assert outcomes[victim, "lost"] > 0
    for worker_id in set(ids.values()) - {victim}:
        assert outcomes[worker_id, "completed"] > 0
    # The container starts again by itself, as another worker.
    assert wait_for(lambda: len(installation.worker_ids()) == WORKERS)
    assert victim not in installation.worker_ids().values()


def test_without_redis_asks_are_accepted_and_answered(installation: Installation) -> None:
    installation.compose("kill", "--signal", "KILL", "redis")
    # Where a killed container is started again, it is stopped for good.
    installation.compose("stop", "--timeout", "1", "redis")
    assert wait_for(lambda: installation.http.get("/readyz").json()["redis"] == "down")
    asked = [installation.ask("demo") for _ in range(10)]
    installation.assert_each_answered_once(asked)
    installation.compose("start", "redis")
    assert wait_for(lambda: installation.http.get("/readyz").json()["status"] == "ready")
    installation.assert_each_answered_once([installation.ask("demo")])


def test_workers_that_are_stopped_finish_what_they_can_and_hand_back_the_rest(installation: Installation) -> None:
    soon = [installation.ask("demo-5000ms") for _ in range(6)]
    late = installation.ask("demo-90000ms")
    assert wait_for(lambda: sum(_in_progress(installation).values()) == len(soon) + 1)
    began = time.monotonic()
    installation.compose("stop", "worker")
    took = time.monotonic() - began
    log.info("the workers stopped within %.1f s", took)
    # Not 137: none outlived its stop_grace_period.
    assert installation.exit_codes("worker") == [0] * WORKERS
    assert installation.worker_ids() == {}
    installation.assert_each_answered_once(soon, seconds=0)
    assert installation.statuses([late]) == ["queued"]
    assert installation.http.delete(f"/conversations/{late}/").status_code == 204


def test_everything_is_there_again_after_down_and_up(installation: Installation) -> None:
    asked = installation.ask("demo")
    installation.assert_each_answered_once([asked])
    installation.compose("down")
    installation.up(workers=WORKERS)
    installation.assert_each_answered_once([asked], seconds=0)


DUMP = "/var/lib/postgresql/chat.dump"


def _save(installation: Installation, saved: Path) -> None:
    """Each command is the page's own."""
    if installation.has_sqlite:
        installation.execute("api", "asyncchat", "backup", "/data/backup.db")
        installation.compose("cp", "api:/data/backup.db", str(saved))
        installation.execute("api", "rm", "/data/backup.db")
        saved.chmod(0o644)
    else:
        dump = ("pg_dump", "--username=asyncchat", "--format=custom", f"--file={DUMP}", "asyncchat")
        installation.execute("postgres", *dump)
        installation.compose("cp", f"postgres:{DUMP}", str(saved))
        installation.execute("postgres", "rm", DUMP)


def _restore(installation: Installation, saved: Path) -> None:
    """Each command is the page's own."""
    if installation.has_sqlite:
        mounted = f"{saved}:/backup.db:ro"
        installation.compose(
            *("run", "--rm", "-T", "--no-deps", "--volume", mounted, "api", "asyncchat", "restore", "/backup.db")
        )
    else:
        installation.compose("cp", str(saved), f"postgres:{DUMP}")
        installation.execute("postgres", "dropdb", "--username=asyncchat", "--force", "asyncchat")
        installation.execute("postgres", "createdb", "--username=asyncchat", "asyncchat")
        restore = ("pg_restore", "--username=asyncchat", "--exit-on-error", "--single-transaction")
        installation.execute("postgres", *restore, "--dbname=asyncchat", DUMP)
        installation.execute("postgres", "rm", DUMP)


def test_a_backup_is_restored_as_the_page_of_operations_says(installation: Installation, tmp_path: Path) -> None:
    before, saved = installation.ask("demo"), tmp_path / "chat-backup"
    installation.assert_each_answered_once([before])
    _save(installation, saved)
    after = installation.ask("demo")
    installation.assert_each_answered_once([after])
    installation.compose("stop", "api", "worker")
    _restore(installation, saved)
    installation.execute("redis", "redis-cli", "flushall")
    installation.up(workers=WORKERS)
    installation.assert_each_answered_once([before], seconds=0)
    assert installation.http.get(f"/conversations/{after}/").status_code == 404
