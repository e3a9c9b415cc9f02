"""Calling a model: the protocol, and the client for OpenAI and everything compatible with it."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol
from urllib.parse import urlsplit

import aiohttp
import httpx2
from openai import AsyncOpenAI, AsyncStream, DefaultAioHttpClient, OpenAIError

from shared.ending import Usage
from shared.models_file import Upstream
from shared.observability import tracing
from shared.settings import Settings
from worker.model_failure import ModelFailure, cut_off, empty, malformed, of_exception, timed_out
from worker.model_text import storable

# Connecting takes milliseconds, or it will not work.
CONNECT_SECONDS = 10.0
# One answer: far more than any model writes, far less than would hurt the process.
MAX_ANSWER_CHARS = 4_000_000
# What a server without keys is told, since the SDK insists on one.
NO_KEY = "none"

# What the columns hold.
_MAX_COUNT = 2**31 - 1

# How a call breaks off: the SDK's errors, what its HTTP layers let through, and what reading JSON raises.
_BREAKS = (OpenAIError, httpx2.HTTPError, aiohttp.ClientError, ValueError, RecursionError)

# Parameter names that the chat completions API spells the same.
_SAME_NAMES = (
    "temperature",
    "top_p",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "reasoning_effort",
    "response_format",
    "verbosity",
)


@dataclass(frozen=True, slots=True)
class ModelRequest:
    """What a model is asked."""

    model: str
    messages: Sequence[Mapping[str, str]]
    parameters: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Finished:
    """How the model ended: `stop`, `length` or `content_filter`, and what it counted."""

    reason: str
    usage: Usage | None


class ModelClient(Protocol):
    """Whatever answers a request in pieces."""

    async def stream(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> Finished:
        """Calls `on_text` with each piece of the answer, and returns when the model is done.

        Raises:
            ModelFailure: the model gave no whole answer.
        """
        ...

    async def close(self) -> None:
        """Closes every connection."""
        ...


class OpenAIModelClient:
    """The `openai` package's client on its cheap path.

    Chunks stay plain dicts: building the SDK's typed models costs two to three times all else a reply takes. Retries
    are ours, since they must be visible and survive a restart.
    """

    def __init__(self, upstream: Upstream, *, key: str | None, settings: Settings) -> None:
        self._first_byte_seconds = upstream.first_byte_seconds or settings.first_byte_seconds
        self._chunk_seconds = upstream.chunk_seconds or settings.chunk_seconds
        limits = httpx2.Limits(max_connections=0, max_keepalive_connections=settings.slots)  # 0: as many as slots
        http_client = DefaultAioHttpClient(
            limits=limits,
            follow_redirects=False,
            timeout=httpx2.Timeout(None, connect=CONNECT_SECONDS),
        )
        self._client = AsyncOpenAI(
            api_key=key or NO_KEY,
            base_url=upstream.base_url,
            max_retries=0,
            http_client=http_client,
        )
        # OpenAI's newer models refuse `max_tokens`; many compatible servers know nothing else.
        is_openai = str(urlsplit(str(self._client.base_url)).hostname).endswith((".openai.com", ".azure.com"))
        self._length_name = "max_completion_tokens" if is_openai else "max_tokens"

    async def stream(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> Finished:
        """See `ModelClient.stream`."""
        answer = _Answer(on_text)
        try:
            try:
                await self._read(request, answer)
            except (TimeoutError, *_BREAKS) as error:
                # An answer that said why it ended is whole, whatever its connection does then: asking again pays twice.
                if not answer.has_ended:
                    if isinstance(error, TimeoutError):
                        raise timed_out(has_begun=answer.has_begun) from None
                    raise of_exception(error, has_begun=answer.has_begun) from error
            return answer.finished()
        except ModelFailure as failure:
            failure.usage = answer.usage
            raise

    async def _read(self, request: ModelRequest, answer: _Answer) -> None:
        async with asyncio.timeout(self._first_byte_seconds) as silence:
            events = await self._client.post(
                "/chat/completions",
                body=self._body(request),
                cast_to=object,
                stream=True,
                stream_cls=AsyncStream[object],
                options={"headers": tracing.headers()},
            )
            async with events:
                _require_event_stream(events.response)
                async for event in events:
                    silence.reschedule(asyncio.get_running_loop().time() + self._chunk_seconds)
                    answer.take(event)

    async def close(self) -> None:
        """See `ModelClient.close`."""
        await self._client.close()

    def _body(self, request: ModelRequest) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": request.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        body |= {name: request.parameters[name] for name in _SAME_NAMES if request.parameters.get(name) is not None}
        if (length := request.parameters.get("max_output_tokens")) is not None:
            body[self._length_name] = length
        return body


class _Answer:
    """Reads the chunks of one answer: https://platform.openai.com/docs/api-reference/chat-streaming."""

    def __init__(self, on_text: Callable[[str], None]) -> None:
        self._on_text = on_text
        self._chars = 0
        self._reason: str | None = None
        self.usage: Usage | None = None
        self._seen_choice = False
        self.has_begun = False

    @property
    def has_ended(self) -> bool:
        """Whether the model said why it ended."""
        return self._reason is not None

    def take(self, chunk: object) -> None:
        """One chunk, as it came."""
        self.has_begun = True
        fields = _object(chunk, "a chunk")
        if usage := fields.get("usage"):
            self.usage = _usage_of(usage)
        choices = fields.get("choices") or []
        if not isinstance(choices, list):
            raise malformed("the choices are not a list")
        for item in choices:
            self._seen_choice = True
            choice = _object(item, "a choice")
            delta = _object(choice.get("delta") or {}, "a delta")
            if text := delta.get("content") or delta.get("refusal"):
                self._add(_string(text, "a piece of text"))
            if reason := choice.get("finish_reason"):
                self._reason = _string(reason, "a finish_reason")

    def _add(self, text: str) -> None:
        text = storable(text)
        self._chars += len(text)
        if self._chars > MAX_ANSWER_CHARS:
            raise malformed(f"the answer is longer than {MAX_ANSWER_CHARS} characters")
        self._on_text(text)

    def finished(self) -> Finished:
        """How it ended, once the stream has."""
        if self._reason is None:
            raise cut_off() if self._seen_choice or not self.has_begun else empty()
        if self._chars == 0 and self._reason not in {"length", "content_filter"}:
            raise empty()
        return Finished(self._reason, self.usage)


def _object(value: object, what: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise malformed(f"{what} is not an object")
    return value


def _string(value: object, what: str) -> str:
    if not isinstance(value, str):
        raise malformed(f"{what} is not a string")
    return value


def _usage_of(usage: object) -> Usage | None:
    if not isinstance(usage, dict):
        return None
    read, written = usage.get("prompt_tokens"), usage.get("completion_tokens")
    if type(read) is not int or type(written) is not int:  # JSON's true is an int to isinstance
        return None
    return Usage(min(max(read, 0), _MAX_COUNT), min(max(written, 0), _MAX_COUNT))


def _require_event_stream(response: httpx2.Response) -> None:
    kind = response.headers.get("content-type", "")
    if "text/event-stream" not in kind.lower():
        raise malformed(f"the answer is {kind.partition(';')[0][:50] or 'of no type'}, not a stream of events")


__all__ = ["Finished", "ModelClient", "ModelFailure", "ModelRequest", "OpenAIModelClient"]
