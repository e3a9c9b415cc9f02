"""What the benchmarks run on: a Valkey, a database, and processes of this project with CPU that can be read."""

from __future__ import annotations

import asyncio
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import httpx2

from cli.child_commands import celery_worker_arguments, child_python_path, python_module
from cli.embedded_valkey import EmbeddedValkey
from cli.ports import free_port
from shared.database.schema import migrate
from shared.settings import Settings

READY_SECONDS = 60.0
_TICKS = os.sysconf("SC_CLK_TCK")
_PAGE = os.sysconf("SC_PAGE_SIZE")


def cpu_seconds(pid: int) -> float:
    """User and system time of a process so far."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def resident_bytes(pid: int) -> int:
    """Memory of a process."""
    return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE


def machine() -> str:
    """What the figures were measured on."""
    load = os.getloadavg()[0]
    return f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}, load {load:.1f} before"


def percentile(values: list[float], share: float) -> float:
    """The value below which that share of them lies."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(len(ordered) * share))]


@dataclass
class Installation:
    """A Valkey and a database in a temporary folder; processes are started on demand and end with the block."""

    folder: Path
    valkey: EmbeddedValkey
    database_url: str
    stack: ExitStack = field(default_factory=ExitStack)

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

    def start(self, *command: str, name: str, **environment: str) -> subprocess.Popen[bytes]:
        """Starts a process that is killed at the end."""
        log = self.stack.enter_context((self.folder / f"{name}.log").open("ab"))
        process = subprocess.Popen(  # noqa: S603  our own commands
            command, env={**self.environment, **environment}, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        )
        self.stack.callback(process.wait)
        self.stack.callback(process.kill)
        return process

    async def start_gateway(self, **environment: str) -> tuple[subprocess.Popen[bytes], str]:
        """A gateway, and its URL, once it is ready."""
        port = free_port()
        command = python_module("cli", "api", "--host", "127.0.0.1", "--port", str(port))
        process = self.start(*command, name=f"api-{port}", **environment)
        url = f"http://127.0.0.1:{port}"
        await until_answers(f"{url}/readyz")
        return process, url

    async def start_demo(self) -> tuple[subprocess.Popen[bytes], str]:
        """The demo model, and its base URL."""
        port = free_port()
        process = self.start(*python_module("demo_model", "--host", "127.0.0.1", "--port", str(port)), name="demo")
        await until_answers(f"http://127.0.0.1:{port}/healthz")
        return process, f"http://127.0.0.1:{port}/v1"

    def start_worker(self, base_url: str, *, slots: int = 200) -> subprocess.Popen[bytes]:
        """A worker."""
        command = python_module("celery", *celery_worker_arguments(slots))
        return self.start(*command, name="worker", OPENAI_BASE_URL=base_url, ASYNCCHAT_MODEL="demo-load")


async def until_answers(url: str) -> None:
    """Waits until something answers there."""
    deadline = time.monotonic() + READY_SECONDS
    async with httpx2.AsyncClient(timeout=5) as http:
        while True:
            try:
                if (await http.get(url)).status_code == 200:
                    return
            except httpx2.HTTPError:
                pass
            if time.monotonic() > deadline:
                sys.exit(f"{url} did not become ready")
            await asyncio.sleep(0.05)


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


@asynccontextmanager
async def installed(database_url: str | None = None) -> AsyncIterator[Installation]:
    """An installation for the block. `database_url` names an empty database; without one it is a SQLite file."""
    with tempfile.TemporaryDirectory(prefix="asyncchat-bench-") as name, ExitStack() as stack:
        folder = Path(name)
        valkey = stack.enter_context(_valkey(folder))
        url = database_url or f"sqlite:///{folder / 'bench.db'}"
        migrate(url)
        installation = Installation(folder, valkey, url)
        stack.push(installation.stack)
        yield installation
