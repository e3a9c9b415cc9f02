"""A whole installation for OpenAI's own clients."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import httpx2
import openai
import pytest

from tests.faults.installation import Installation, gateways_and_worker
from tests.fixtures.databases import Databases

SECONDS = 60.0
# The second gateway offers some models only and serves one stream at a time.
PARTICULAR = {"ASYNCCHAT_MODEL": "demo-fast", "ASYNCCHAT_MODELS": "demo,demo-fail-400", "ASYNCCHAT_MAX_STREAMS": "1"}


@pytest.fixture(scope="session")
def installation(databases: Databases, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Installation]:
    """Two gateways and a worker."""
    folder = tmp_path_factory.mktemp("sdk")
    any_model = {"ASYNCCHAT_MODEL": "demo-fast"}
    with gateways_and_worker(folder, any_model, PARTICULAR, database_url=databases.new(folder)) as made:
        yield made


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
