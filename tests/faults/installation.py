"""A whole installation of real processes, of which each can be given an environment of its own and be harmed."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import httpx2
import pytest

from cli.child_commands import celery_worker_arguments, child_python_path, python_module
from cli.ports import lasting_ports
from shared.clock import now_ms
from shared.crash_points import VARIABLE as FAULT
from shared.database.access import Database
from shared.errors import StorageError
from shared.store import workers
from tests.faults.patience import until
from tests.faults.witness import call_witness
from tests.fixtures.demo_counts import open_streams
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.valkey import running_valkey

# Far more than it takes to start or to stop.
START_SECONDS = 240.0
STOP_SECONDS = 120.0
# Tests may run as root, of which Celery warns.
_NO_ROOT_WARNING = "ignore:You're running the worker with superuser privileges"


class Member:
    """One process of the installation. All it says goes to a file."""

    def __init__(self, name: str, command: Sequence[str], *, folder: Path, environment: dict[str, str]) -> None:
        self.name = name
        self._said = folder / f"{name}.log"
        with self._said.open("ab") as log:
            self.process = subprocess.Popen(
                command, cwd=folder, env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        self.started_at = now_ms()

    @property
    def said(self) -> str:
        """All it wrote so far."""
        return self._said.read_text(errors="replace")

    @property
    def is_running(self) -> bool:
        """Whether it has not ended yet."""
        return self.process.poll() is None

    @property
    def was_killed(self) -> bool:
        """Whether it ended as `kill -9` ends a process."""
        return self.process.poll() == -signal.SIGKILL

    def kill(self) -> None:
        """Ends it at once."""
        self.process.kill()
        self.process.wait(STOP_SECONDS)

    def terminate(self) -> int:
        """Tells it to stop; its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS)

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """For the block, it does nothing at all."""
        self.process.send_signal(signal.SIGSTOP)
        try:
            yield
        finally:
            self.process.send_signal(signal.SIGCONT)

    async def ended(self) -> None:
        """Waits until it has ended, however it does."""

        async def has_ended() -> bool:
            return not self.is_running

        await until(has_ended, seconds=STOP_SECONDS)


class Gateway(Member):
    """A process that serves the API on a port of its own."""

    url: str


class Installation:
    """Gateways and workers on one database, one Redis and one demo model.

    A process has all it needs to know in its environment; what a test names replaces it for that process alone.
    """

    def __init__(self, folder: Path, *, database_url: str, redis_url: str, demo: DemoProcess) -> None:
        self._folder = folder
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ASYNCCHAT_", "OPENAI_"))},
            "PYTHONPATH": child_python_path(),
            "PYTHONWARNINGS": _NO_ROOT_WARNING,
            "PYTHONUNBUFFERED": "1",
            "DATABASE_URL": database_url,
            "REDIS_URL": redis_url,
            "OPENAI_BASE_URL": demo.base_url,
        }
        self.database_url = database_url
        self.demo = demo
        call_witness(database_url)
        self.database = Database(database_url)
        self.database.start()
        self.urls: list[str] = []
        self.gateways: list[Gateway] = []
        self.workers: list[Member] = []
        self._awaited: list[Member] = []
        self._known: set[str] = set()

    def add_gateway(self, *, fault: str | None = None, environment: Mapping[str, str] | None = None) -> Gateway:
        """Starts one more gateway; `fault` is where it dies."""
        (port,) = lasting_ports(1)
        command = python_module("cli", "api", "--host", "127.0.0.1", "--port", str(port))
        name = f"gateway-{len(self.gateways) + 1}"
        gateway = Gateway(name, command, folder=self._folder, environment=self._with(environment, fault))
        gateway.url = f"http://127.0.0.1:{port}"
        self.urls.append(gateway.url)
        self.gateways.append(gateway)
        self._awaited.append(gateway)
        return gateway

    def add_worker(
        self,
        *,
        slots: int = 50,
        fault: str | None = None,
        command: Sequence[str] | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> Member:
        """Starts one more worker; `fault` is where it dies."""
        name = f"worker-{len(self.workers) + 1}"
        command = command or python_module("celery", *celery_worker_arguments(slots, node=name))
        worker = Member(name, command, folder=self._folder, environment=self._with(environment, fault))
        self.workers.append(worker)
        self._awaited.append(worker)
        return worker

    async def start(self, *, gateways: int = 2, workers: int = 2) -> None:
        """Starts so many of each and waits until they are there."""
        for _ in range(gateways):
            self.add_gateway()
        for _ in range(workers):
            self.add_worker()
        await self.ready()

    async def ready(self) -> None:
        """Waits until everything that was started since the last call does its work, or has died as it should."""
        awaited, self._awaited = self._awaited, []
        expected = sum(not isinstance(member, Gateway) for member in awaited)

        async def are_registered() -> bool:
            _refuse_the_dead(awaited)
            return len(await self._worker_ids() - self._known) >= expected

        try:
            await until(are_registered, seconds=START_SECONDS)
        except AssertionError:
            pytest.fail("\n".join(f"{member.name} said:\n{member.said}" for member in awaited))
        self._known |= await self._worker_ids()
        async with httpx2.AsyncClient() as http:
            for gateway in awaited:
                if isinstance(gateway, Gateway):
                    await until(lambda url=gateway.url: _answers(http, url), seconds=START_SECONDS)  # type: ignore[misc]

    async def model_has_been_asked(self, count: int) -> None:
        """Waits until so many answers are under way at the model."""

        async def is_so() -> bool:
            return await open_streams(self.demo) == count

        await until(is_so)

    async def worker_count(self) -> int:
        """How many workers are registered."""
        return len(await self._worker_ids())

    def stop(self) -> None:
        """Ends everything at once."""
        members = [*self.gateways, *self.workers]
        for member in members:
            if member.is_running:
                member.process.kill()
        for member in members:
            member.process.wait(STOP_SECONDS)
        self.database.stop()

    def _with(self, environment: Mapping[str, str] | None, fault: str | None) -> dict[str, str]:
        return {**self._environment, **({FAULT: fault} if fault else {}), **(environment or {})}

    async def _worker_ids(self) -> set[str]:
        try:
            return {each for each in await self.database.read(workers.beats) if each.startswith("worker_")}
        except StorageError:
            return set()


@contextmanager
def gateways_and_worker(folder: Path, *environments: Mapping[str, str], database_url: str) -> Iterator[Installation]:
    """A gateway in each of the environments and a worker, ready, for clients that many tests are.

    With a Valkey of their own: on one that is shared this worker would answer the bells of other tests.
    """
    with running_valkey() as valkey, DemoProcess.started() as demo:
        made = Installation(folder, database_url=database_url, redis_url=valkey.url, demo=demo)
        for environment in environments:
            made.add_gateway(environment=environment)
        made.add_worker()
        try:
            asyncio.run(made.ready())
            yield made
        finally:
            made.stop()


def _refuse_the_dead(members: Sequence[Member]) -> None:
    for member in members:
        assert member.is_running or member.was_killed, f"{member.name} did not start:\n{member.said}"


async def _answers(http: httpx2.AsyncClient, url: str) -> bool:
    try:
        return (await http.get(f"{url}/healthz")).status_code == 200
    except httpx2.TransportError:
        return False
