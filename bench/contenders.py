"""Who is measured beside each other by `bench.peers`: each answers questions, with the same demo model behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import httpx2

from bench.asking import QUESTION, Ask, of_gateway, of_model
from bench.installation import Installation, cpu_seconds_of_all, until_workers

# What is asked without streaming: it answers at once, so that the model is no limit.
FAST_MODEL = "demo-fast"
CONNECTIONS = 64
SLOTS = 200
WAIT_SECONDS = 50


@dataclass(frozen=True, slots=True)
class Contender:
    """One who answers."""

    name: str
    pids: Sequence[int]
    # Gets ready to ask that model so many times. Whoever has to poll does it every so many seconds.
    asks: Callable[[str, int, float], Awaitable[Ask]]
    # Has that many answers made of the fast model, without streaming, and returns when all are there.
    answers: Callable[[int], Awaitable[None]]

    def cpu_seconds(self) -> float:
        """What its processes have used so far."""
        return sum(cpu_seconds_of_all(pid) for pid in self.pids)


def client(url: str) -> httpx2.AsyncClient:
    """What asks without streaming."""
    return httpx2.AsyncClient(base_url=url, timeout=120, limits=httpx2.Limits(max_connections=CONNECTIONS))


def of_openai(name: str, base_url: str, *, pids: Sequence[int] = ()) -> Contender:
    """An OpenAI-compatible server: the model itself, or whatever stands before it."""

    async def asks(model: str, _times: int, _poll_seconds: float) -> Ask:
        return of_model(base_url, model)

    async def answers(count: int) -> None:
        body = {"model": FAST_MODEL, "messages": [{"role": "user", "content": QUESTION}]}
        async with client(base_url) as http:

            async def ask() -> None:
                answer = (await http.post("/chat/completions", json=body)).raise_for_status()
                assert answer.json()["choices"][0]["message"]["content"]

            await asyncio.gather(*(ask() for _ in range(count)))

    return Contender(name, pids, asks, answers)


async def asyncchat(installation: Installation, base_url: str) -> Contender:
    """This project: a gateway and a worker."""
    gateway = await installation.start_gateway()
    worker = installation.start_worker(base_url, slots=SLOTS)
    await until_workers(gateway, 1)

    async def asks(model: str, times: int, _poll_seconds: float) -> Ask:
        return await of_gateway(gateway.url, model, conversations=times)

    async def answers(count: int) -> None:
        body = {"message": {"content": QUESTION}, "model": FAST_MODEL}
        async with client(gateway.url) as http:

            async def ask() -> None:
                answer = await http.post("/conversations/", params={"wait": WAIT_SECONDS}, json=body)
                assert not answer.raise_for_status().json()["live_replies"]

            await asyncio.gather(*(ask() for _ in range(count)))

    return Contender("asyncchat", (gateway.pid, worker.pid), asks, answers)
