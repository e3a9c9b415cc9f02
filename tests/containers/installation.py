"""The installation of docker-compose.yml under a name, a port and volumes of its own."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
from pathlib import Path
from typing import Any

import httpx2

from cli.ports import free_port
from tests.fixtures.waiting import wait_for

ROOT = Path(__file__).parents[2]
# Building both images takes a minute or two where nothing is cached.
COMMAND_SECONDS = 900
# Prints the rows of a query as JSON, from inside a container that knows the database.
QUERY = """
import json, sys
from sqlalchemy import text
from shared.database.engine import open_engine, parse_url
from shared.settings import get_settings
with open_engine(parse_url(get_settings().database_url), read_only=True).begin() as connection:
    print(json.dumps([dict(row) for row in connection.execute(text(sys.argv[1])).mappings()]))
"""


class Installation:
    """COMPOSE names the compose command, COMPOSE_OVERLAY a further file, such as docker-compose.postgres.yml."""

    def __init__(self) -> None:
        files = ("docker-compose.yml", os.environ.get("COMPOSE_OVERLAY"), "tests/containers/docker-compose.test.yml")
        self._command = (
            *shlex.split(os.environ.get("COMPOSE", "docker compose")),
            *("--project-name", "asyncchat-test", "--env-file", os.devnull),
            *(word for file in files if file for word in ("--file", file)),
        )
        self.has_sqlite = "postgres" not in os.environ.get("COMPOSE_OVERLAY", "")
        self.address = f"localhost:{free_port()}"
        self.http = httpx2.Client(base_url=f"http://{self.address}", timeout=60)

    def compose(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Run one compose command."""
        ran = subprocess.run(
            (*self._command, *arguments),
            cwd=ROOT,
            env={**os.environ, "ASYNCCHAT_PORT": self.address.partition(":")[2]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=COMMAND_SECONDS,
            check=False,
        )
        assert not check or ran.returncode == 0, f"{arguments}\n{ran.stdout}\n{ran.stderr}"
        return ran

    def up(self, *, workers: int) -> None:
        """Start what does not run, and wait until every health check is content."""
        self.compose(
            *("up", "--detach", "--no-recreate", "--scale", f"worker={workers}"), *("--wait", "--wait-timeout", "180")
        )

    def execute(self, service: str, *command: str, index: int = 1, check: bool = True) -> str:
        """What a command prints in one of the service's containers."""
        return self.compose("exec", "-T", "--index", str(index), service, *command, check=check).stdout

    def rows(self, query: str) -> list[dict[str, Any]]:
        """The rows of a query."""
        # Some engines lose what a command prints last; then it is asked again.
        answers = (self.execute("api", "python", "-P", "-c", QUERY, query) for _ in range(3))
        found: list[dict[str, Any]] = json.loads(next(filter(None, answers), "[]"))
        return found

    def workers(self) -> list[dict[str, Any]]:
        """The workers, as the gateway tells them. A command in a container would take a Python, and its time."""
        found = self.http.get("/workers/").json()["data"]
        return [process for process in found if process["role"] == "worker"]

    def worker_ids(self) -> dict[str, str]:
        """The worker that runs on each host, that is, in each container."""
        return {worker["host"]: worker["id"] for worker in self.workers()}

    def exit_codes(self, service: str) -> list[int]:
        """Those of the service's containers; 0 also while one runs."""
        # One object a line, or one list: that depends on the client's version.
        text = self.compose("ps", "--all", "--format", "json", service).stdout.strip()
        found = json.loads(text if text.startswith("[") else f"[{','.join(text.splitlines())}]")
        return [int(container["ExitCode"]) for container in found]

    def ask(self, model: str) -> str:
        """Ask a question in a new conversation, which is accepted; the conversation's id."""
        answer = self.http.post("/conversations/", json={"model": model})
        assert answer.status_code == 201, answer.text
        conversation_id = str(answer.json()["id"])
        answer = self.http.post(f"/conversations/{conversation_id}/ask-message/", json={"content": "Hello, I am Ada"})
        assert answer.status_code == 202, answer.text
        return conversation_id

    def statuses(self, conversation_ids: list[str]) -> list[str]:
        """How each conversation's replies stand."""
        among = ", ".join(f"'{one}'" for one in conversation_ids)
        return [row["status"] for row in self.rows(f"select status from replies where conversation_id in ({among})")]  # noqa: S608  Our own ids.

    def assert_each_answered_once(self, conversation_ids: list[str], *, seconds: float = 60) -> None:
        """Every reply completes within the bound, and every conversation has exactly one answer."""
        completed = ["completed"] * len(conversation_ids)
        assert wait_for(lambda: self.statuses(conversation_ids) == completed, seconds), self.statuses(conversation_ids)
        for conversation_id in conversation_ids:
            page = self.http.get(f"/conversations/{conversation_id}/messages/").json()
            roles = [message["role"] for message in page["data"]]
            assert sorted(roles) == ["assistant", "user"]
