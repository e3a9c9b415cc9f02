"""Calling a model: the protocol, and the client for OpenAI and everything compatible with it."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

import aiohttp
import httpx2
from openai import AsyncOpenAI, AsyncStream, DefaultAioHttpClient, OpenAIError

from shared.models_file import Upstream
from shared.observability import tracing
from shared.settings import Settings
from worker.event_stream import EventDecoder
from worker.model_answer import Answer, Finished
from worker.model_failure import ModelFailure, malformed, of_exception, timed_out
from worker.silence import Silence

# Connecting takes milliseconds, or it will not work.
CONNECT_SECONDS = 10.0
# After its last event a stream ends at once, and its connection can be used again. Else it is closed.
REST_SECONDS = 0.1
# What a server without keys is told, since the SDK insists on one.
NO_KEY = "none"

_DONE = b"[DONE]"
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


class _Http(DefaultAioHttpClient):
    """Makes of what the SDK asks one request: all are for the same URL, and their headers need none of httpx2's."""

    _text = ""
    _url = httpx2.URL()

    def build_request(self, method: str, url: httpx2.URL | str, **parts: Any) -> httpx2.Request:
        """See `httpx2.AsyncClient.build_request`; of `parts` the body and the headers are taken."""
        if url != self._text:
            self._text, self._url = str(url), httpx2.URL(url)
        unpacks = ("Accept-Encoding", self.headers["Accept-Encoding"])
        return httpx2.Request(
            method,
            self._url,
            content=parts["content"],
            headers=[*parts["headers"], unpacks],
            extensions={"timeout": self.timeout.as_dict()},
        )


class OpenAIModelClient:
    """The `openai` package's client, which asks and tells refusals apart; the stream is read as bytes.

    The SDK's own way from bytes to a chunk costs more than all else that a chunk does (decision 23). Retries are ours,
    since they must be visible and survive a restart.
    """

    def __init__(self, upstream: Upstream, *, key: str | None, settings: Settings) -> None:
        self._first_byte_seconds = upstream.first_byte_seconds or settings.first_byte_seconds
        self._chunk_seconds = upstream.chunk_seconds or settings.chunk_seconds
        limits = httpx2.Limits(max_connections=0, max_keepalive_connections=settings.slots)  # 0: as many as slots
        http_client = _Http(
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
        self._url = f"{self._client.base_url}chat/completions"
        # OpenAI's newer models refuse `max_tokens`; many compatible servers know nothing else.
        is_openai = str(urlsplit(str(self._client.base_url)).hostname).endswith((".openai.com", ".azure.com"))
        self._length_name = "max_completion_tokens" if is_openai else "max_tokens"

    async def stream(self, request: ModelRequest, *, on_text: Callable[[str], None]) -> Finished:
        """See `ModelClient.stream`."""
        answer = Answer(on_text)
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

    async def _read(self, request: ModelRequest, answer: Answer) -> None:
        async with Silence(first_seconds=self._first_byte_seconds, then_seconds=self._chunk_seconds) as silence:
            answered = await self._client.post(
                self._url,
                content=self._body(request),
                # The answer itself, not the SDK's stream of it.
                cast_to=httpx2.Response,
                stream=True,
                stream_cls=AsyncStream[object],
                # No API reads the key for which it would otherwise ask the system for random bytes.
                options={"headers": tracing.headers(), "idempotency_key": ""},
            )
            async with aclosing(cast(httpx2.Response, answered)) as response:
                _require_event_stream(response)
                decoder, pieces = EventDecoder(), _pieces(response)
                async for piece in pieces:
                    for data in decoder.feed(piece):
                        if data.startswith(_DONE):
                            await _read_to_end(pieces)
                            return
                        silence.hear()
                        answer.take(data)

    async def close(self) -> None:
        """See `ModelClient.close`."""
        await self._client.close()

    def _body(self, request: ModelRequest) -> bytes:
        body: dict[str, Any] = {
            "model": request.model,
            "messages": request.messages,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
        body |= {name: request.parameters[name] for name in _SAME_NAMES if request.parameters.get(name) is not None}
        if (length := request.parameters.get("max_output_tokens")) is not None:
            body[self._length_name] = length
        return json.dumps(body, ensure_ascii=False, separators=(",", ":")).encode()


def _require_event_stream(response: httpx2.Response) -> None:
    kind = response.headers.get("content-type", "")
    if "text/event-stream" not in kind.lower():
        raise malformed(f"the answer is {kind.partition(';')[0][:50] or 'of no type'}, not a stream of events")


def _pieces(response: httpx2.Response) -> AsyncIterator[bytes]:
    """The answer as it arrives. Where nothing is to be unpacked, what would unpack it is left out."""
    stream = response.stream
    if "content-encoding" in response.headers or not isinstance(stream, httpx2.AsyncByteStream):
        return response.aiter_bytes()
    return aiter(stream)


async def _read_to_end(pieces: AsyncIterator[bytes]) -> None:
    try:
        async with asyncio.timeout(REST_SECONDS):
            async for _ in pieces:
                pass
    except (TimeoutError, *_BREAKS):
        pass  # The answer is whole; what becomes of its connection is nobody's business.
