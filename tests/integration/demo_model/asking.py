"""Asking the demo model through OpenAI's client, and what came back."""

from __future__ import annotations

from dataclasses import dataclass, field

from openai import AsyncOpenAI
from openai.types import CompletionUsage
from openai.types.chat import ChatCompletion, ChatCompletionMessageParam

INTRODUCTION: list[ChatCompletionMessageParam] = [{"role": "user", "content": "Hello, I am Ada"}]
ANSWER = "Hello Ada, nice to meet you! I am the demo model: set OPENAI_API_KEY and restart to talk to a real one."


@dataclass
class Streamed:
    """What one stream brought: kept up to date, so that it also tells what came before an error."""

    tokens: dict[int, list[str]] = field(default_factory=dict)
    finish_reasons: dict[int, str] = field(default_factory=dict)
    usage: CompletionUsage | None = None
    models: set[str] = field(default_factory=set)

    def text(self, index: int = 0) -> str:
        return "".join(self.tokens.get(index, []))

    @property
    def finish_reason(self) -> str | None:
        return self.finish_reasons.get(0)


async def stream(
    client: AsyncOpenAI, model: str, *, into: Streamed | None = None, say: str | None = None, n: int = 1
) -> Streamed:
    got = into or Streamed()
    chunks = await client.chat.completions.create(
        model=model, messages=said(say), n=n, stream=True, stream_options={"include_usage": True}
    )
    async for chunk in chunks:
        got.models.add(chunk.model)
        got.usage = chunk.usage or got.usage
        for choice in chunk.choices:
            if choice.delta.content:
                got.tokens.setdefault(choice.index, []).append(choice.delta.content)
            if choice.finish_reason:
                got.finish_reasons[choice.index] = choice.finish_reason
    return got


async def whole(client: AsyncOpenAI, model: str, *, say: str | None = None, n: int = 1) -> ChatCompletion:
    return await client.chat.completions.create(model=model, messages=said(say), n=n)


def said(text: str | None) -> list[ChatCompletionMessageParam]:
    return INTRODUCTION if text is None else [{"role": "user", "content": text}]
