"""The first start: from `asyncchat up` in an empty folder to the first answer, beside the start after that.

On a busy machine the seconds tell how busy it is, and only the CPU what a start costs.
"""

from __future__ import annotations

import asyncio
import os
import re
import signal
import tempfile
import time
from asyncio.subprocess import PIPE, STDOUT
from dataclasses import dataclass
from pathlib import Path

import httpx2

from bench.command import run as run_command
from bench.frame import Benchmark, Row, Scope, at_most
from bench.installation import READY_SECONDS, cpu_seconds, family, proportional_bytes
from cli.child_commands import child_python_path, python_module

READY = re.compile(rb"is ready on (http://\S+)")
FIRST = "first start, to the first answer"
# What would lead it to something that is running here already.
ELSEWHERE = ("DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL")


@dataclass(frozen=True, slots=True)
class _Start:
    """Seconds from the command to the first answered message, of the clock and of CPU, and the memory of all then."""

    seconds: float
    cpu_seconds: float
    megabytes: float


async def _start(folder: Path) -> _Start:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ASYNCCHAT_")}
    environment = {name: value for name, value in kept.items() if name not in ELSEWHERE}
    environment["PYTHONPATH"] = child_python_path()
    command = python_module("cli", "up", "--port", "0", "--data-dir", str(folder / "data"))
    began = time.perf_counter()
    process = await asyncio.create_subprocess_exec(*command, cwd=folder, env=environment, stdout=PIPE, stderr=STDOUT)
    assert process.stdout is not None
    try:
        url = await asyncio.wait_for(_url(process.stdout), READY_SECONDS)
        async with httpx2.AsyncClient(timeout=READY_SECONDS) as http:
            body = {"message": {"content": "Hello"}, "model": "demo-fast"}
            answer = (await http.post(f"{url}/conversations/?wait=50", json=body)).raise_for_status()
        took = time.perf_counter() - began
        if answer.json()["live_replies"]:
            raise TimeoutError("the first message was not answered")
        pids = family(process.pid)
        cpu = sum(cpu_seconds(pid, with_ended=True) for pid in pids)
        return _Start(took, cpu, sum(map(proportional_bytes, pids)) / 1e6)
    finally:
        process.send_signal(signal.SIGTERM)
        await process.communicate()


async def _url(output: asyncio.StreamReader) -> str:
    said = b""
    while line := await output.readline():
        said += line
        if match := READY.search(line):
            return match[1].decode()
    raise RuntimeError(f"it did not start: {said.decode(errors='replace')}")


async def run(scope: Scope) -> list[Row]:
    """Each run starts twice in a new folder."""
    first, second = [], []
    for _ in range(scope.runs_of(3)):
        with tempfile.TemporaryDirectory(prefix="asyncchat-bench-") as name:
            first.append(await _start(Path(name)))
            second.append(await _start(Path(name)))
    return [
        Row(FIRST, "s", [each.seconds for each in first]),
        Row("second start, to the first answer", "s", [each.seconds for each in second]),
        Row("first start, CPU of all processes", "s", [each.cpu_seconds for each in first]),
        Row("second start, CPU of all processes", "s", [each.cpu_seconds for each in second]),
        Row("memory of all processes", "MB", [each.megabytes for each in first]),
    ]


BENCHMARK = Benchmark(
    "first_start",
    "from `asyncchat up` in an empty folder to the first answered message, beside the start after it",
    run,
    {FIRST: at_most(5, "s")},
)

if __name__ == "__main__":
    run_command(BENCHMARK)
