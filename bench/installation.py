"""What the benchmarks run on: a Valkey, a database, and processes of this project with CPU that can be read."""

from __future__ import annotations

import asyncio
import itertools
import os
import secrets
import signal
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import httpx2
from sqlalchemy import create_engine
from sqlalchemy.pool import NullPool

from cli.child_commands import celery_worker_arguments, child_python_path, python_module
from cli.embedded_valkey import EmbeddedValkey
from cli.ports import free_port
from cli.readiness import ask_readiness
from shared.database.access import Database
from shared.database.engine import parse_url
from shared.database.schema import migrate
from shared.settings import Settings

READY_SECONDS = 60.0
# 41 tokens, the first after 0.5 s, the last after 2 s.
LOAD_MODEL = "demo-load"
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int, *, with_ended: bool = False) -> float:
    """User and system time of a process so far; on request with that of its children that have ended."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return sum(map(int, fields[11 : 15 if with_ended else 13])) / _TICKS


def family(pid: int) -> list[int]:
    """A process and all that it has started, and these."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [pid, *(each for child in children for each in family(int(child)))]


def proportional_bytes(pid: int) -> int:
    """Memory of a process, where what it shares with others counts in parts."""
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    return 1024 * next(int(line.split()[1]) for line in lines if line.startswith("Pss:"))


def cpu_seconds_of_all(pid: int) -> float:
    """The same of a process and of those that it has started."""
    started = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return cpu_seconds(pid) + sum(cpu_seconds_of_all(int(each)) for each in started)


def resident_bytes(pid: int) -> int:
    """Memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


@dataclass(frozen=True, slots=True)
class Served:
    """A process that serves at this URL: a gateway, or what one is measured beside."""

    pid: int
    url: str


@dataclass
class Installation:
    """A Valkey and a database in a temporary folder; processes are started on demand and end with the block."""

    folder: Path
    valkey: EmbeddedValkey
    database_url: str
    stack: ExitStack = field(default_factory=ExitStack)
    _numbers: Iterator[int] = field(default_factory=lambda: itertools.count(1))

    @property
    def environment(self) -> dict[str, str]:
        """What every process gets."""
        return {
            **os.environ,
            "PYTHONPATH": child_python_path(),
            "DATABASE_URL": self.database_url,
            "REDIS_URL": self.valkey.redis_url,
            "ASYNCCHAT_LOG_LEVEL": "warning",
        }

    def settings(self) -> Settings:
        """The same for this process."""
        return Settings(DATABASE_URL=self.database_url, REDIS_URL=self.valkey.redis_url)

    @asynccontextmanager
    async def database(self) -> AsyncIterator[Database]:
        """The database, open in this process for the block."""
        database = Database(self.database_url)
        database.start()
        try:
            yield database
        finally:
            database.stop()

    def start(self, *command: str, name: str, **environment: str) -> subprocess.Popen[bytes]:
        """Starts a process that is killed at the end, with those that it has started."""
        log = self.stack.enter_context((self.folder / f"{name}.log").open("ab"))
        process = subprocess.Popen(  # noqa: S603  our own commands
            command,
            env={**self.environment, **environment},
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
        self.stack.callback(process.wait)
        self.stack.callback(_kill_group, process.pid)
        return process

    async def start_gateway(self, **environment: str) -> Served:
        """A gateway, once it is ready."""
        port = free_port()
        command = python_module("cli", "api", "--host", "127.0.0.1", "--port", str(port))
        return await self.start_serving(command, port, name=f"api-{port}", environment=environment)

    async def start_app(self, app: str, **environment: str) -> Served:
        """An ASGI application of `bench.processes`, as a gateway would be served, once it is ready."""
        port = free_port()
        command = python_module("uvicorn", f"bench.processes.{app}", "--port", str(port), "--log-level", "error")
        return await self.start_serving(
            (*command, "--loop", "uvloop"), port, name=f"app-{port}", environment=environment
        )

    async def start_demo(self) -> str:
        """The demo model; returns its base URL."""
        port = free_port()
        command = python_module("demo_model", "--host", "127.0.0.1", "--port", str(port))
        return (await self.start_serving(command, port, name="demo", path="/healthz")).url + "/v1"

    def start_worker(self, base_url: str, *, slots: int = 200) -> subprocess.Popen[bytes]:
        """A worker. It may not be ready yet."""
        number = next(self._numbers)
        command = python_module("celery", *celery_worker_arguments(slots, node=f"worker-{number}"))
        environment = {"OPENAI_BASE_URL": base_url, "ASYNCCHAT_MODEL": LOAD_MODEL}
        return self.start(*command, name=f"worker-{number}", **environment)

    async def start_serving(
        self,
        command: Sequence[str],
        port: int,
        *,
        name: str,
        path: str = "/readyz",
        seconds: float = READY_SECONDS,
        environment: Mapping[str, str] = MappingProxyType({}),
    ) -> Served:
        """Whatever serves HTTP on that port, once it answers on this path.

        Raises:
            TimeoutError: it did not within so many seconds.
            RuntimeError: it ended.
        """
        process = self.start(*command, name=name, **environment)
        served = Served(process.pid, f"http://127.0.0.1:{port}")
        await until_answers(served.url + path, seconds=seconds, alive=lambda: self._check(process, name))
        return served

    def _check(self, process: subprocess.Popen[bytes], name: str) -> None:
        """Raises what it said last if the process has ended."""
        if process.poll() is not None:
            said = (self.folder / f"{name}.log").read_text(errors="replace").split("\n")
            last = next((line for line in reversed(said) if line.strip()), "nothing")
            raise RuntimeError(f"{name} ended with exit code {process.returncode} and said last: {last}")


def _kill_group(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.killpg(pid, signal.SIGKILL)


async def until_answers(url: str, *, seconds: float, alive: Callable[[], None]) -> None:
    """Waits until something answers there. `alive` raises once nothing can any more."""
    async with httpx2.AsyncClient(timeout=5) as http:

        async def answers() -> bool:
            alive()
            try:
                return (await http.get(url)).status_code == 200
            except httpx2.HTTPError:
                return False

        await until(answers, what=url, seconds=seconds)


@contextmanager
def _valkey(folder: Path) -> Iterator[EmbeddedValkey]:
    valkey = EmbeddedValkey.in_directory(folder / "valkey")
    process = subprocess.Popen(  # noqa: S603  our own binary
        valkey.command(), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        while not valkey.answers():
            time.sleep(0.02)
        yield valkey
    finally:
        process.kill()
        process.wait()


@contextmanager
def fresh_database(folder: Path, database_url: str | None) -> Iterator[str]:
    """The URL of an empty database for the block: a file in the folder, or one more on that PostgreSQL server."""
    if database_url is None:
        yield f"sqlite:///{folder / 'bench.db'}"
        return
    url = parse_url(database_url)
    if url.get_backend_name() != "postgresql":
        raise ValueError("a database URL is one of a PostgreSQL server; SQLite files are made by themselves")
    name = f"asyncchat_bench_{secrets.token_hex(4)}"
    engine = create_engine(url, isolation_level="AUTOCOMMIT", poolclass=NullPool)
    with engine.connect() as connection:
        connection.exec_driver_sql(f"create database {name}")
    try:
        yield url.set(database=name).render_as_string(hide_password=False)
    finally:
        with engine.connect() as connection:
            connection.exec_driver_sql(f"drop database {name} with (force)")


@asynccontextmanager
async def installed(database_url: str | None = None) -> AsyncIterator[Installation]:
    """An installation for the block, with a database of its own: on that PostgreSQL server, or a SQLite file."""
    with tempfile.TemporaryDirectory(prefix="asyncchat-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        valkey = stack.enter_context(_valkey(folder))
        url = stack.enter_context(fresh_database(folder, database_url))
        migrate(url)
        installation = Installation(folder, valkey, url)
        stack.push(installation.stack)
        yield installation


async def until_workers(gateway: Served, count: int) -> None:
    """Waits until the gateway sees so many workers, all of which take replies."""
    port = int(gateway.url.rpartition(":")[2])
    await until(lambda: asyncio.to_thread(_sees, port, count), what=f"{count} workers")


def _sees(port: int, count: int) -> bool:
    found = ask_readiness("127.0.0.1", port)
    return found is not None and found.workers >= count


async def until(condition: Callable[[], Awaitable[bool]], *, what: str, seconds: float = READY_SECONDS) -> None:
    """Waits until it holds.

    Raises:
        TimeoutError: it did not come to that.
    """
    deadline = time.monotonic() + seconds
    while not await condition():
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {seconds:g} s for {what}")
        await asyncio.sleep(0.05)
