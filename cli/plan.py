"""What `asyncchat up` is going to run: which processes, with which environment, and in which order they stop."""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from cli.child_commands import child_python_path, python_module
from cli.child_process import Program
from cli.embedded_valkey import EmbeddedValkey, find_binary
from cli.local_model import is_loaded
from cli.model_choice import ModelChoice
from cli.ports import url_of
from shared.errors import AsyncChatError
from shared.settings import Settings, is_loopback

# An interactive stop should not take longer than a person waits; a service's default would be 25 s.
DRAIN_SECONDS = 2.0
# Where everything is on one machine that nobody else reaches, so are the receivers of webhooks.
LOOPBACK = "127.0.0.0/8,::1/128"
# The order of stopping: the gateway stops accepting, workers drain, and what they lean on goes last.
API, WORKER, MODEL, VALKEY = range(4)
API_STOP_SECONDS = 0.4
# What a worker needs to end once its answers are out of the way.
WORKER_EXIT_SECONDS = 1.6
# In all, with the drain: 4.5 s, so that Ctrl-C ends everything within 5.
STOP_MARGIN_SECONDS = 2.5


@dataclass(frozen=True)
class Plan:
    """Everything decided before anything is started."""

    host: str
    port: int
    directory: Path
    workers: int
    model: ModelChoice
    environment: dict[str, str]
    drain_seconds: float
    valkey: EmbeddedValkey | None
    worker_metrics_port: int | None = None
    # Whether the gateway asks everybody for a key.
    asks_for_keys: bool = False

    @property
    def url(self) -> str:
        return url_of(self.host, self.port)

    @property
    def logs(self) -> Path:
        return self.directory / "logs"

    @property
    def stage_seconds(self) -> tuple[float, ...]:
        """How long each stage has for itself when stopping; the model and Valkey are asked together."""
        return (API_STOP_SECONDS, self.drain_seconds + WORKER_EXIT_SECONDS, 0.0, 0.0)

    @property
    def stop_seconds(self) -> float:
        return self.drain_seconds + STOP_MARGIN_SECONDS

    def programs(self, gate_fd: int) -> Iterator[Program]:
        """What to keep running. Whatever needs the tables waits at the gate."""
        if self.valkey is not None:
            yield replace(self._program("valkey", self.valkey.command(), VALKEY), repair=self.valkey.repair)
        for number in range(1, self.workers + 1):
            name = f"worker-{number}"
            command = python_module("cli.celery_worker", str(gate_fd), name)
            program = self._program(name, command, WORKER, pass_fds=(gate_fd,))
            yield replace(program, environment=self.environment | self._metrics_port(number))
        address = ("--host", self.host, "--port", str(self.port))
        command = python_module("cli", "api", *address, "--gate-fd", str(gate_fd))
        yield self._program("api", command, API, pass_fds=(gate_fd,))
        if self.model.demo_port is not None:
            command = python_module("demo_model", "--host", "127.0.0.1", "--port", str(self.model.demo_port))
            yield self._program("demo-model", command, MODEL)
        if self.model.local_port is not None:
            command = python_module("cli.local_model", "--port", str(self.model.local_port))
            yield self._program("local-model", command, MODEL)

    def _metrics_port(self, number: int) -> dict[str, str]:
        """Each worker serves its metrics on a port of its own: the one that is set, and those after it."""
        if self.worker_metrics_port is None:
            return {}
        return {"ASYNCCHAT_WORKER_METRICS_PORT": str(self.worker_metrics_port + number - 1)}

    def model_answers(self) -> bool:
        """Whether the model can be asked. Only weights on this machine must be read first."""
        return self.model.local_port is None or is_loaded(self.model.local_port)

    def migration(self) -> Program:
        """What to run once, before the gate opens."""
        return self._program("migration", python_module("cli.migration"), VALKEY)

    def _program(self, name: str, command: tuple[str, ...], stage: int, *, pass_fds: tuple[int, ...] = ()) -> Program:
        return Program(name, command, self.environment, self.logs / f"{name}.log", stage, pass_fds)


def make_plan(
    settings: Settings, model: ModelChoice, *, directory: Path, address: tuple[str, int], workers: int
) -> Plan:
    """Decide everything. What the user configured wins over what would be started for them.

    Raises:
        AsyncChatError: there is no embedded Valkey here, or its directory or the database's cannot be used.
    """
    given = settings.model_fields_set
    drain_seconds = settings.drain_seconds if "drain_seconds" in given else DRAIN_SECONDS
    environment = {
        **os.environ,
        "PYTHONPATH": child_python_path(),
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": settings.database_url if "database_url" in given else _sqlite_url(directory),
        "ASYNCCHAT_DRAIN_SECONDS": str(drain_seconds),
        **model.environment,
    }
    if "webhook_networks" not in given and settings.auth != "keys" and is_loopback(address[0]):
        environment["ASYNCCHAT_WEBHOOK_NETWORKS"] = LOOPBACK
    valkey = None
    if "redis_url" not in given:
        find_binary()
        valkey = EmbeddedValkey.in_directory(directory / "valkey")
        environment["REDIS_URL"] = valkey.redis_url
    port = settings.worker_metrics_port
    asks_for_keys = not settings.is_open_on(address[0])
    return Plan(*address, directory, workers, model, environment, drain_seconds, valkey, port, asks_for_keys)


def _sqlite_url(directory: Path) -> str:
    if "?" in str(directory):
        raise AsyncChatError(f"the data directory {directory} has a ? in its path; choose another with --data-dir")
    return f"sqlite:///{directory / 'asyncchat.db'}"
