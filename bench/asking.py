"""Asking for answers as streams, of this project and of the model itself."""

from __future__ import annotations

from asyncio import gather
from collections.abc import Awaitable, Callable

import httpx2

from bench.event_reader import Told, told
from bench.installation import Installation, until_workers
from bench.rows import AT_ONCE

QUESTION = "Hello"
# Asks once, with an answer of so many tokens at most, or of all where it is None.
Ask = Callable[[int | None], Awaitable[Told]]


def of_model(base_url: str, model: str) -> Ask:
    """Asks an OpenAI-compatible server: the model itself, or whatever stands before it."""

    async def ask(tokens: int | None) -> Told:
        messages = [{"role": "user", "content": QUESTION}]
        body = {"model": model, "stream": True, "messages": messages, **({"max_tokens": tokens} if tokens else {})}
        return await told(f"{base_url}/chat/completions", body)

    return ask


async def of_gateway(url: str, model: str, *, conversations: int) -> Ask:
    """Asks in one conversation after the other, which are made now."""
    ids = iter(await _made(url, conversations))

    async def ask(tokens: int | None) -> Told:
        parameters = {"max_output_tokens": tokens} if tokens else {}
        body = {"content": QUESTION, "model": model, "parameters": parameters}
        return await told(f"{url}/conversations/{next(ids)}/ask-message/", body)

    return ask


async def _made(url: str, count: int) -> list[str]:
    async with httpx2.AsyncClient(base_url=url, timeout=60) as http:
        return [(await http.post("/conversations/", json={})).json()["id"] for _ in range(count)]


async def ask_for_load(url: str, count: int, *, model: str) -> None:
    """Asks for so many answers, and waits for none of them."""
    limits = httpx2.Limits(max_connections=32)
    async with httpx2.AsyncClient(base_url=url, timeout=60, limits=limits) as http:

        async def ask() -> None:
            body = {"message": {"content": QUESTION}, "model": model}
            (await http.post("/conversations/", json=body)).raise_for_status()

        for start in range(0, count, AT_ONCE):
            await gather(*(ask() for _ in range(min(AT_ONCE, count - start))))


async def answering(installation: Installation, *, slots: int = 200) -> tuple[str, str]:
    """Starts a demo model, a gateway and a worker; returns the base URL of the first and the URL of the second."""
    base_url = await installation.start_demo()
    gateway = await installation.start_gateway()
    installation.start_worker(base_url, slots=slots)
    await until_workers(gateway, 1)
    return base_url, gateway.url
