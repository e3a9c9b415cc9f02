"""Calls of a model that sends exactly chosen bytes."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.models_file import Upstream
from tests.fixtures.raw_model import raw_model
from tests.fixtures.settings import settings_with
from tests.fixtures.waiting import BOUND_SECONDS
from worker.model_answer import Finished
from worker.model_client import ModelRequest, OpenAIModelClient
from worker.model_failure import ModelFailure

MESSAGES = [{"role": "user", "content": "Hello"}]
SOON = 0.2


class Heard:
    """What one call gave."""

    def __init__(self) -> None:
        self.pieces: list[str] = []
        self.began = asyncio.Event()
        self.finished: Finished | None = None

    def add(self, piece: str) -> None:
        self.pieces.append(piece)
        self.began.set()

    @property
    def text(self) -> str:
        return "".join(self.pieces)


def client_of(**settings: Any) -> OpenAIModelClient:
    """The client of the one upstream that the settings describe."""
    chosen = settings_with(**settings)
    return OpenAIModelClient(Upstream("default", chosen.openai_base_url), key=chosen.openai_api_key, settings=chosen)


async def call(base_url: str, *, into: Heard | None = None, **settings: Any) -> Heard:
    """Asks the model at this address."""
    heard = into or Heard()
    client = client_of(openai_base_url=base_url, **settings)
    request = ModelRequest("some-model", MESSAGES, {})
    try:
        async with asyncio.timeout(BOUND_SECONDS):
            heard.finished = await client.stream(request, on_text=heard.add)
    finally:
        await client.close()
    return heard


async def hear(*parts: bytes, holds: bool = False, **settings: Any) -> Heard:
    """What comes of an answer."""
    async with raw_model(*parts, holds=holds) as model:
        return await call(model.base_url, **settings)


async def fail(*parts: bytes, holds: bool = False, **settings: Any) -> ModelFailure:
    """The failure that an answer comes to."""
    with pytest.raises(ModelFailure) as caught:
        await hear(*parts, holds=holds, **settings)
    return caught.value
