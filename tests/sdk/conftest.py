"""A whole installation for OpenAI's own clients."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator

import httpx2
import openai
import pytest

from tests.faults.installation import Installation
from tests.fixtures.databases import Databases
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.valkey import Valkey

SECONDS = 60.0
# The second gateway offers some models only and serves one stream at a time.
PARTICULAR = {"ASYNCCHAT_MODEL": "demo-fast", "ASYNCCHAT_MODELS": "demo,demo-fail-400", "ASYNCCHAT_MAX_STREAMS": "1"}


@pytest.fixture(scope="session")
def installation(
    databases: Databases, shared_valkey: Valkey, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Installation]:
    """Two gateways and a worker."""
    folder = tmp_path_factory.mktemp("sdk")
    url = databases.new(folder)
    with DemoProcess.started() as demo:
        made = Installation(folder, database_url=url, redis_url=shared_valkey.url, demo=demo)
        made.add_gateway(environment={"ASYNCCHAT_MODEL": "demo-fast"})
        made.add_gateway(environment=PARTICULAR)
        made.add_worker()
        try:
            asyncio.run(made.ready())
            yield made
        finally:
            made.stop()


@pytest.fixture
def url(installation: Installation) -> str:
    """A gateway that takes any model."""
    return installation.urls[0]


@pytest.fixture
def particular_url(installation: Installation) -> str:
    """A gateway that offers three models and serves one stream at a time."""
    return installation.urls[1]


@pytest.fixture
def client(url: str) -> Iterator[openai.OpenAI]:
    """OpenAI's client, as for their own service but for the address."""
    with openai.OpenAI(base_url=f"{url}/v1", api_key="any", timeout=SECONDS) as client:
        yield client


@pytest.fixture
async def async_client(url: str) -> AsyncIterator[openai.AsyncOpenAI]:
    """The same for coroutines."""
    async with openai.AsyncOpenAI(base_url=f"{url}/v1", api_key="any", timeout=SECONDS) as client:
        yield client


@pytest.fixture
def http(url: str) -> Iterator[httpx2.Client]:
    """What is below the clients, and the native API."""
    with httpx2.Client(base_url=url, timeout=SECONDS) as client:
        yield client
