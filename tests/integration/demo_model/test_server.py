"""The server around the answers: its other paths, its counters, wrong requests, starting and stopping."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.fixtures.demo_process import DemoProcess
from tests.integration.demo_model.asking import INTRODUCTION

CHAT = "/v1/chat/completions"
BOUND_SECONDS = 5.0


def body(model: str, **fields: Any) -> dict[str, Any]:
    return {"model": model, "messages": INTRODUCTION, **fields}


async def stats_until(http: httpx2.AsyncClient, **expected: int) -> dict[str, Any]:
    """The counters once they are as expected."""
    async with asyncio.timeout(BOUND_SECONDS):
        while True:
            stats: dict[str, Any] = (await http.get("/stats")).json()
            if expected.items() <= stats.items():
                return stats
            await asyncio.sleep(0.01)


@pytest.mark.anyio
async def test_it_is_healthy(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/healthz")
    assert (answer.status_code, answer.json()) == (200, {"status": "ok"})


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("method", "path", "content", "status"),
    [
        ("POST", CHAT, b"{", 400),
        ("POST", CHAT, b"[]", 400),
        ("POST", CHAT, b'{"model": "demo"}', 400),
        ("GET", CHAT, b"", 405),
        ("GET", "/v1/nothing", b"", 404),
        ("POST", "/", b"x", 404),
        ("DELETE", "/v1/models/demo", b"", 404),
        ("GET", "/v1/models/llama", b"", 404),
    ],
)
async def test_wrong_requests_get_errors_shaped_like_openais(
    http: httpx2.AsyncClient, method: str, path: str, content: bytes, status: int
) -> None:
    answer = await http.request(method, path, content=content)
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/json"
    assert answer.json()["error"].keys() >= {"message", "type", "param", "code"}


@pytest.mark.anyio
async def test_requests_are_counted_by_model_and_their_bodies_kept(http: httpx2.AsyncClient) -> None:
    for model in ("demo-counted-a", "demo-counted-a", "demo-fail-500", "counted-unknown"):
        await http.post(CHAT, json=body(model, max_tokens=1))
    counted = (await http.get("/stats")).json()["requests"]
    assert (counted["demo-counted-a"], counted["counted-unknown"]) == (2, 1)
    kept = (await http.get("/requests")).json()["requests"]
    assert [request["model"] for request in kept[-4:-1]] == ["demo-counted-a", "demo-counted-a", "demo-fail-500"]
    assert kept[-1] == body("counted-unknown", max_tokens=1)


@pytest.mark.anyio
async def test_only_the_last_hundred_bodies_are_kept(http: httpx2.AsyncClient) -> None:
    for number in range(105):
        await http.post(CHAT, json=body("demo-fail-500", seed=number))
    kept = (await http.get("/requests")).json()["requests"]
    assert [request["seed"] for request in kept] == list(range(5, 105))


@pytest.mark.anyio
@pytest.mark.parametrize("model", ["demo-silent", "demo-stall", "demo-drip", "demo-20000ms", "demo-flood", "demo-load"])
async def test_a_stream_is_counted_while_open_and_its_loss_is_noticed(http: httpx2.AsyncClient, model: str) -> None:
    before = (await stats_until(http, open_streams=0))["client_disconnects"]
    asking = asyncio.ensure_future(_read_little(http, body(model, stream=True)))
    await stats_until(http, open_streams=1)
    asking.cancel()
    await stats_until(http, open_streams=0, client_disconnects=before + 1)


@pytest.mark.anyio
async def test_a_client_that_leaves_before_a_whole_answer_is_noticed(http: httpx2.AsyncClient) -> None:
    before = (await stats_until(http, open_streams=0))["client_disconnects"]
    with pytest.raises(httpx2.ReadTimeout):
        await http.post(CHAT, json=body("demo-20000ms"), timeout=0.1)
    await stats_until(http, client_disconnects=before + 1)


@pytest.mark.anyio
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_at_once_and_quietly_even_with_streams_open(number: int) -> None:
    models = ("demo-silent", "demo-stall", "demo-20000ms", "demo-flood")
    with DemoProcess.started() as server:
        async with httpx2.AsyncClient(base_url=server.root_url, timeout=BOUND_SECONDS) as http:
            asking = [asyncio.ensure_future(_read_little(http, body(model, stream=True))) for model in models]
            await stats_until(http, open_streams=len(models))
            assert await asyncio.to_thread(server.stop, number) == (0, "")
            for ask in asking:
                ask.cancel()
            await asyncio.wait(asking)


def test_a_port_in_use_is_one_clear_sentence(server: DemoProcess) -> None:
    command = (sys.executable, "-m", "demo_model", "--port", str(server.port))
    second = subprocess.run(command, capture_output=True, text=True, timeout=20, check=False)
    assert second.returncode == 1
    assert second.stderr.startswith(f"demo model: cannot listen on 127.0.0.1:{server.port}: ")
    assert second.stderr.count("\n") == 1


async def _read_little(http: httpx2.AsyncClient, body: dict[str, Any]) -> None:
    """Ask, read the first bytes if any come, and then neither read on nor leave."""
    with contextlib.suppress(httpx2.TransportError):
        async with http.stream("POST", CHAT, json=body) as answer:
            parts = answer.aiter_raw()  # named, because dropping it would close the connection
            await anext(parts)
            await asyncio.Event().wait()


@pytest.mark.anyio
async def test_the_journal_has_a_line_for_every_request_also_for_one_that_is_refused(tmp_path: Path) -> None:
    journal = tmp_path / "journal.jsonl"
    with DemoProcess.started("--journal", str(journal)) as process:
        async with httpx2.AsyncClient(base_url=process.root_url, timeout=10) as http:
            for model in ("demo-fast", "demo-fail-500"):
                await http.post(CHAT, json=body(model))
    lines = [json.loads(line) for line in journal.read_text().splitlines()]
    assert [(line["model"], line["asked"]) for line in lines] == [
        ("demo-fast", INTRODUCTION[-1]["content"]),
        ("demo-fail-500", INTRODUCTION[-1]["content"]),
    ]
    assert lines[0]["at_ms"] <= lines[1]["at_ms"]
