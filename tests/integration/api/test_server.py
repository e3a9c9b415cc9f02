"""A gateway as a process: stopping, hanging up, and what a raw socket may send."""

from __future__ import annotations

import asyncio
import signal
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from redis.asyncio import Redis

from shared.messaging.notices import channel
from tests.fixtures.databases import Databases
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.integration.api.gateway import LONG_SECONDS, MIGHT_HAVE, PlayedWorker
from tests.integration.api.serving import Served, command, served_gateway

pytestmark = pytest.mark.anyio


@pytest.fixture
def served(database_url: str, shared_valkey: Valkey, tmp_path: Path) -> Iterator[Served]:
    with served_gateway(database_url, shared_valkey.url, tmp_path / "gateway.log") as process:
        yield process


@pytest.fixture(scope="module")
def unharmed(databases: Databases, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One process for all tests after which it should be as before."""
    folder = tmp_path_factory.mktemp("served")
    with served_gateway(databases.new(folder), shared_valkey.url, folder / "gateway.log") as process:
        yield process


async def _created(client: httpx2.AsyncClient) -> str:
    return str((await client.post("/conversations/", json={"message": {"content": "Hello"}})).headers["Location"])


async def _until_watched(valkey: Valkey, path: str, *, watched: bool) -> None:
    name = channel(path.split("/")[2])
    async with Redis.from_url(valkey.client_url) as redis:

        async def is_so() -> bool:
            ((_, count),) = await redis.pubsub_numsub(name)
            return bool(count) is watched

        await until(is_so)


async def test_a_gateway_in_another_process_wakes_its_waiters(
    served: Served, shared_valkey: Valkey, worker: PlayedWorker
) -> None:
    async with httpx2.AsyncClient(base_url=served.url, timeout=LONG_SECONDS) as client:
        path = await _created(client)
        waiting = asyncio.create_task(client.get(f"{path}?wait=20"))
        await _until_watched(shared_valkey, path, watched=True)
        await worker.answer_all("Hello, Ada")
        answer = await waiting
        assert [message["content"] for message in answer.json()["messages"]] == ["Hello", "Hello, Ada"]


async def test_on_sigterm_waiting_clients_are_answered_at_once(served: Served, shared_valkey: Valkey) -> None:
    async with httpx2.AsyncClient(base_url=served.url, timeout=LONG_SECONDS) as client:
        path = await _created(client)
        waiting = asyncio.create_task(client.get(f"{path}?wait={2 * LONG_SECONDS}"))
        await _until_watched(shared_valkey, path, watched=True)
        served.process.send_signal(signal.SIGTERM)
        answer = await waiting
        assert answer.status_code == 200
        assert answer.json()["live_replies"][0]["status"] == "queued"
    await asyncio.to_thread(served.process.wait, LONG_SECONDS)
    assert "Traceback" not in served.log()


async def test_who_hangs_up_is_waited_for_no_longer(served: Served, shared_valkey: Valkey) -> None:
    async with httpx2.AsyncClient(base_url=served.url, timeout=LONG_SECONDS) as client:
        path = await _created(client)
        async with httpx2.AsyncClient(base_url=served.url, timeout=LONG_SECONDS) as impatient:
            waiting = asyncio.create_task(impatient.get(f"{path}?wait=50"))
            await _until_watched(shared_valkey, path, watched=True)
            waiting.cancel()
        await _until_watched(shared_valkey, path, watched=False)
        assert (await client.get(path)).status_code == 200
    assert "Traceback" not in served.log()


@pytest.mark.parametrize(
    "request_bytes",
    [
        pytest.param(
            b"POST /conversations/ HTTP/1.1\r\nHost: localhost\r\nContent-Length: 99999999999999999999999\r\n\r\n",
            id="huge",
        ),
        pytest.param(
            b"POST /conversations/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
            id="two lengths",
        ),
        pytest.param(
            b"POST /conversations/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
            b"Transfer-Encoding: chunked\r\n\r\nzz\r\n{}\r\n0\r\n\r\n",
            id="bad chunk",
        ),
        pytest.param(
            b"GET /" + b"a" * 200_000 + b" HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", id="long path"
        ),
        pytest.param(
            b"GET /replies/ HTTP/1.1\r\nHost: localhost\r\nX-Long: "
            + b"a" * 200_000
            + b"\r\nConnection: close\r\n\r\n",
            id="long header",
        ),
        pytest.param(
            b"GET /conversations/\xff\xfe/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n",
            id="bytes in the path",
        ),
        pytest.param(
            b"GET /conversations/../../etc/passwd HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", id="dots"
        ),
        pytest.param(
            b"GET /docs/..%2f..%2fapp.py HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", id="dots escaped"
        ),
        pytest.param(b"TRACE / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", id="TRACE"),
        pytest.param(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", id="TLS"),
        pytest.param(b"GET http://elsewhere/ HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n", id="absolute"),
    ],
)
def test_strange_bytes_break_nothing(unharmed: Served, request_bytes: bytes) -> None:
    received = unharmed.answer_to(request_bytes)
    assert not received.startswith(b"HTTP/1.1 5"), received[:300]
    assert unharmed.is_well()
    assert "Traceback" not in unharmed.log()


def test_a_body_that_never_comes_leaves_others_alone(unharmed: Served) -> None:
    head = b"POST /conversations/ HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
    with socket.create_connection(("127.0.0.1", unharmed.port), timeout=MIGHT_HAVE) as connection:
        connection.sendall(head + b"Content-Length: 50\r\n\r\n{")
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert unharmed.is_well()
    assert "Traceback" not in unharmed.log()


def test_without_tables_it_does_not_start_and_says_what_to_do(
    empty_database_url: str, shared_valkey: Valkey, tmp_path: Path
) -> None:
    environment = {"DATABASE_URL": empty_database_url, "REDIS_URL": shared_valkey.url}
    ended = subprocess.run(command(1), env=environment, capture_output=True, timeout=60, check=False)
    assert ended.returncode != 0
    assert b"asyncchat migrate" in ended.stderr
    assert list(tmp_path.iterdir()) == []
