"""From asking to the first token at the client, beside asking the model directly.

`python -m bench.first_token [ASKS]`: one at a time, taking turns, on an idle installation.
"""

from __future__ import annotations

import asyncio
import sys
import time

import httpx2

from bench.installation import installed, machine, percentile

MODEL = "demo"  # its first word comes after 50 ms
WARM_UP = 20
# The rest of an answer is of no interest here.
TOKENS = 3


async def _direct(http: httpx2.AsyncClient, base_url: str) -> float:
    messages = [{"role": "user", "content": "Hello"}]
    body = {"model": MODEL, "stream": True, "messages": messages, "max_tokens": TOKENS}
    began = time.perf_counter()
    first = 0.0
    async with http.stream("POST", f"{base_url}/chat/completions", json=body) as answer:
        async for line in answer.aiter_lines():
            if not first and '"content":"' in line.replace('"content": "', '"content":"').replace('"content":""', ""):
                first = time.perf_counter() - began
    return 1000 * first


async def _through(http: httpx2.AsyncClient, url: str) -> float:
    conversation = (await http.post(f"{url}/conversations/", json={})).json()["id"]
    body = {"content": "Hello", "model": MODEL, "parameters": {"max_output_tokens": TOKENS}}
    headers = {"Accept": "text/event-stream"}
    began = time.perf_counter()
    first = 0.0
    ask = f"{url}/conversations/{conversation}/ask-message/"
    async with http.stream("POST", ask, json=body, headers=headers) as answer:
        async for line in answer.aiter_lines():
            if not first and line == "event: reply.delta":
                first = time.perf_counter() - began
    return 1000 * first


async def _main(asks: int) -> None:
    print(f"{asks} asks, one at a time; {machine()}")
    async with installed() as installation, httpx2.AsyncClient(timeout=30) as http:
        _, base_url = await installation.start_demo()
        installation.start_worker(base_url)
        _, url = await installation.start_gateway()
        for _ in range(WARM_UP):
            await _through(http, url)
        direct, through = [], []
        for _ in range(asks):
            direct.append(await _direct(http, base_url))
            through.append(await _through(http, url))
    for name, values in (("direct", direct), ("asyncchat", through)):
        print(f"{name:<10} first token p50 {percentile(values, 0.5):.1f} p99 {percentile(values, 0.99):.1f} ms")
    added = sorted(own - model for own, model in zip(through, direct, strict=True))
    print(f"added      p50 {percentile(added, 0.5):.1f} p99 {percentile(added, 0.99):.1f} ms")


if __name__ == "__main__":
    asyncio.run(_main(int(sys.argv[1]) if len(sys.argv) > 1 else 200))
