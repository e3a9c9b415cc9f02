"""Sending one webhook: to an address that was checked, over https, without redirects, and for ten seconds at most."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from shared.webhooks.targets import AddressInfo, TargetRefused, Targets, address_of
from worker.model_text import storable
from worker.retry_after import seconds_of

# From the name to the last byte of the answer.
SEND_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 * 1024
# What is kept of the answer, for whoever looks for what is wrong with the receiver.
SHOWN_CHARS = 500
_HEADERS = {
    "Content-Type": "application/json",
    "User-Agent": "AsyncChatAPI-Webhooks/1",
    # What comes is not unpacked: a few bytes might become gigabytes.
    "Accept-Encoding": "identity",
}


class NotSent(Exception):
    """No answer came. The message is a sentence."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What the receiver said. `retry_after` is what it asked us to wait, in seconds."""

    status: int
    text: str
    retry_after: float | None


class _Refused(OSError):
    """An address that may not be called, as the client's layers let it through."""


class WebhookClient:
    """Sends on the current event loop. Nothing of the environment changes where to."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets
        connector = aiohttp.TCPConnector(
            limit=0,  # As many as there are slots.
            resolver=_CheckedResolver(targets),
            use_dns_cache=False,
            force_close=True,
            ssl=ssl.create_default_context(),
            socket_factory=self._open_socket,
        )
        self._session = aiohttp.ClientSession(
            connector=connector,
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=SEND_SECONDS),
            auto_decompress=False,
            trust_env=False,
        )

    async def close(self) -> None:
        """Closes every connection."""
        await self._session.close()

    async def post(self, url: str, body: str, headers: Mapping[str, str]) -> Answer:
        """Sends the body, which is JSON.

        Raises:
            NotSent: the target may not be called, or there was no answer.
        """
        try:
            target = self._targets.check_url(url)
            async with self._session.post(
                target,
                data=body.encode(),
                headers={**_HEADERS, **headers},
                allow_redirects=False,
            ) as response:
                return Answer(
                    response.status, await _beginning(response), seconds_of(response.headers.get("Retry-After", ""))
                )
        except TargetRefused as refused:
            raise NotSent(str(refused)) from None
        except (aiohttp.ClientError, OSError, ValueError) as error:
            raise NotSent(_sentence(error)) from None

    def _open_socket(self, info: AddressInfo) -> socket.socket:
        """The last word on where a connection goes, whatever was resolved, or not resolved, before."""
        try:
            self._targets.check_address(address_of(info))
        except TargetRefused as refused:
            raise _Refused(str(refused)) from None
        family, kind, protocol, _, _ = info
        return socket.socket(family, kind, protocol)


class _CheckedResolver(AbstractResolver):
    """Resolves a name once; what it gives is what is connected to."""

    def __init__(self, targets: Targets) -> None:
        self._targets = targets

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        """See `AbstractResolver.resolve`."""
        try:
            found = await self._targets.resolve(host, port)
        except TargetRefused as refused:
            raise _Refused(str(refused)) from None
        return [
            ResolveResult(
                hostname=host,
                host=str(address_of(info)),
                port=port,
                family=info[0],
                proto=info[2],
                flags=socket.AI_NUMERICHOST | socket.AI_NUMERICSERV,
            )
            for info in found
            if family in {socket.AF_UNSPEC, info[0]}
        ]

    async def close(self) -> None:
        """Nothing is open."""


async def _beginning(response: aiohttp.ClientResponse) -> str:
    """The first characters of the answer, as far as they come. Its status counts, whatever becomes of the rest."""
    read = bytearray()
    try:
        async for chunk in response.content.iter_any():
            read += chunk
            if len(read) >= MAX_ANSWER_BYTES:
                break
    except (aiohttp.ClientError, OSError):
        pass
    return storable(bytes(read[:MAX_ANSWER_BYTES]).decode(errors="replace"))[:SHOWN_CHARS]


def _sentence(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError) and isinstance(error.os_error, _Refused):
        return str(error.os_error)
    return next((sentence for kind, sentence in _SENTENCES.items() if isinstance(error, kind)), _NO_HTTP)


# The first that fits; the errors of the client are kinds of those of the system.
_SENTENCES: dict[type[Exception], str] = {
    aiohttp.ClientConnectorCertificateError: "The certificate of the receiver is not valid for its name.",
    aiohttp.ClientConnectorSSLError: "The receiver speaks no TLS that this side understands.",
    aiohttp.ClientConnectorDNSError: "The host of the receiver cannot be found.",
    TimeoutError: f"The receiver did not answer within {SEND_SECONDS:g} seconds.",
    aiohttp.ClientConnectorError: "The receiver cannot be reached.",
    aiohttp.ServerDisconnectedError: "The receiver closed the connection without an answer.",
    OSError: "The receiver closed the connection without an answer.",
}
_NO_HTTP = "The receiver's answer is not HTTP."
