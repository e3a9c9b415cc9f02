"""One demo model process for these tests, and OpenAI's own client for it."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from openai import AsyncOpenAI

from tests.fixtures.demo_process import DemoProcess


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="package")
def server() -> Iterator[DemoProcess]:
    with DemoProcess.started() as process:
        yield process


@pytest.fixture
async def client(server: DemoProcess) -> AsyncIterator[AsyncOpenAI]:
    """Does not retry, so that a test sees the first failure."""
    async with AsyncOpenAI(base_url=server.base_url, api_key="none", max_retries=0, timeout=10) as client:
        yield client


@pytest.fixture
async def http(server: DemoProcess) -> AsyncIterator[httpx2.AsyncClient]:
    """For what OpenAI's client does not ask or would not send."""
    async with httpx2.AsyncClient(base_url=server.root_url, timeout=10) as http:
        yield http
