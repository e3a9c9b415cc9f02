"""The installation under test: two gateways, two workers, a Valkey and the demo model, each a child of this process.

Everything happens in the thread of the event loop, since a child's death signal is tied to the thread that started it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from cli.child_commands import celery_worker_arguments, child_python_path, python_module
from cli.child_process import ChildFailed, ChildProcess, Program, describe_exit
from cli.embedded_valkey import EmbeddedValkey, find_binary
from cli.ports import lasting_ports, url_of
from cli.verify.observer import Observer
from shared.models_file import NO_FILE
from shared.settings import PREFIX

HOST = "127.0.0.1"
VALKEY, MODEL = "valkey", "demo-model"
GATEWAYS = ("gateway-1", "gateway-2")
WORKERS = ("worker-1", "worker-2")
START_SECONDS = 60.0
# A worker drains for so long when it is told to stop, and both roles have so long to be gone.
DRAIN_SECONDS = 3
STOP_SECONDS = 20.0
RESTART_SECONDS = 0.5
MAX_DEATHS = 20
LOOK_SECONDS = 0.1
SLOTS = 50
# What a process told to stop ends with: its own 0, or by the signal, which uvicorn raises again when it is done.
GOOD_EXITS = (0, -signal.SIGTERM)


@dataclass(slots=True)
class Part:
    """One process and whether it is meant to run."""

    program: Program
    child: ChildProcess
    is_wanted: bool = True


class Installation:
    """Starts everything, keeps it running, and lets faults be put in. `say` gets what a person should know."""

    def __init__(self, directory: Path, database_url: str, *, say: Callable[[str], None]) -> None:
        find_binary()
        self._directory = directory
        self._say = say
        self._parts: dict[str, Part] = {}
        self._deaths = 0
        self._watch: asyncio.Task[None] | None = None
        self.valkey = EmbeddedValkey.in_directory(directory / "valkey")
        self._model_port, *self._ports = lasting_ports(1 + len(GATEWAYS))
        self.urls = [url_of(HOST, port) for port in self._ports]
        self.observer = Observer(database_url)
        self._environment = _environment(database_url, self.valkey.redis_url, self._model_port)

    @property
    def journal(self) -> Path:
        """Where the demo model notes every request."""
        return self._directory / "model-requests.jsonl"

    async def start(self) -> None:
        """Starts everything and waits until it works.

        Raises:
            ChildFailed: something does not start.
        """
        for program in self._programs():
            self._parts[program.name] = Part(program, ChildProcess(program))
        self._watch = asyncio.create_task(self._keep_running(), name="supervision")
        if not await self.is_whole(START_SECONDS):
            raise ChildFailed(f"the installation was not ready within {START_SECONDS:g} s")

    async def stop(self) -> None:
        """Ends everything."""
        if self._watch is not None:
            self._watch.cancel()
            await asyncio.gather(self._watch, return_exceptions=True)
        alive = [part for part in self._parts.values() if part.child.exit_code() is None]
        for part in alive:
            os.kill(part.child.pid, signal.SIGCONT)
            part.child.terminate()
        for part in alive:
            if not await _ends(part.child, DRAIN_SECONDS):
                part.child.kill()

    def kill(self, name: str) -> None:
        """SIGKILL; it stays away until it is started again."""
        part = self._parts[name]
        part.is_wanted = False
        part.child.kill()

    def freeze(self, name: str) -> None:
        """SIGSTOP."""
        os.kill(self._parts[name].child.pid, signal.SIGSTOP)

    def thaw(self, name: str) -> None:
        """SIGCONT."""
        os.kill(self._parts[name].child.pid, signal.SIGCONT)

    async def terminate(self, name: str) -> str | None:
        """SIGTERM, and waits for its end. A sentence if that was no good one."""
        part = self._parts[name]
        part.is_wanted = False
        part.child.terminate()
        if not await _ends(part.child, STOP_SECONDS):
            part.child.kill()
            return f"{name} did not end within {STOP_SECONDS:g} s of SIGTERM"
        code = part.child.exit_code()
        if code not in GOOD_EXITS:
            return f"{name} ended with {describe_exit(code or 0)} when it was told to stop"
        return None

    def start_again(self, name: str) -> None:
        """After a kill or an end."""
        part = self._parts[name]
        part.child = ChildProcess(part.program)
        part.is_wanted = True

    async def is_whole(self, seconds: float) -> bool:
        """Whether, within so many seconds, both gateways are ready and two workers beat and no other has a row.

        Raises:
            ChildFailed: something does not stay up.
        """
        give_up_at = time.monotonic() + seconds
        first = self.observer.worker_beats()
        async with aiohttp.ClientSession() as session:
            while time.monotonic() < give_up_at:
                if self._watch is not None and self._watch.done():
                    self._watch.result()
                beats = self.observer.worker_beats()
                both_beat = len(beats) == len(WORKERS) and all(
                    beat != first.setdefault(name, beat) for name, beat in beats.items()
                )
                if both_beat and all([await _is_ready(session, url) for url in self.urls]):
                    return True
                await asyncio.sleep(2 * LOOK_SECONDS)
        return False

    async def _keep_running(self) -> None:
        """Starts again what ended by itself, as systemd or a container engine would."""
        while True:
            for name, part in self._parts.items():
                code = part.child.exit_code()
                if code is None or not part.is_wanted:
                    continue
                self._deaths += 1
                self._say(f"{name} ended by itself ({describe_exit(code)}) and is started again")
                if self._deaths > MAX_DEATHS:
                    raise ChildFailed(f"{name} does not stay up", part.child.tail())
                await asyncio.sleep(RESTART_SECONDS)
                if part.is_wanted:
                    self.start_again(name)
            await asyncio.sleep(LOOK_SECONDS)

    def _programs(self) -> Iterator[Program]:
        yield self._program(VALKEY, self.valkey.command())
        address = ("--host", HOST, "--port", str(self._model_port))
        yield self._program(MODEL, python_module("demo_model", *address, "--journal", str(self.journal)))
        for name, port in zip(GATEWAYS, self._ports, strict=True):
            yield self._program(name, python_module("cli", "api", "--host", HOST, "--port", str(port)))
        for name in WORKERS:
            yield self._program(name, python_module("celery", *celery_worker_arguments(SLOTS, node=name)))

    def _program(self, name: str, command: tuple[str, ...]) -> Program:
        log = self._directory / "logs" / f"{name}.log"
        # In its own folder no .env of the person's is read.
        return Program(name, command, self._environment, log, directory=self._directory)


async def _ends(child: ChildProcess, seconds: float) -> bool:
    give_up_at = time.monotonic() + seconds
    while child.exit_code() is None:
        if time.monotonic() > give_up_at:
            return False
        await asyncio.sleep(LOOK_SECONDS)
    return True


async def _is_ready(session: aiohttp.ClientSession, url: str) -> bool:
    try:
        async with session.get(f"{url}/readyz", timeout=aiohttp.ClientTimeout(total=5)) as answer:
            found = await answer.json(content_type=None)
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return False
    return isinstance(found, dict) and found.get("status") == "ready"


def _environment(database_url: str, redis_url: str, model_port: int) -> Mapping[str, str]:
    """The person's environment without what configures an installation, or sends requests to a proxy."""
    outside = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith((PREFIX, "OPENAI_")) and not name.lower().endswith("_proxy")
    }
    return {
        **outside,
        "PYTHONPATH": child_python_path(),
        "PYTHONUNBUFFERED": "1",
        "DATABASE_URL": database_url,
        "REDIS_URL": redis_url,
        "OPENAI_BASE_URL": f"http://{HOST}:{model_port}/v1",
        "OPENAI_API_KEY": "demo",
        "ASYNCCHAT_MODELS_FILE": NO_FILE,
        "ASYNCCHAT_MODEL": "demo-fast",
        "ASYNCCHAT_SLOTS": str(SLOTS),
        "ASYNCCHAT_DRAIN_SECONDS": str(DRAIN_SECONDS),
        # The demo model answers at once or never.
        "ASYNCCHAT_FIRST_BYTE_SECONDS": "20",
        "ASYNCCHAT_CHUNK_SECONDS": "20",
        # Whole conversations, so that an answer shows all that came before it.
        "ASYNCCHAT_PROMPT_TOKENS": "1000000",
    }
