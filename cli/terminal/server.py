"""The server as the terminal sees it: requests that are repeated until they are answered, and streams that resume."""

from __future__ import annotations

import contextlib
import socket
import ssl
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Self
from uuid import uuid4

import httpx2
import orjson

from cli.terminal.safe_text import safe_line
from shared.errors import AsyncChatError
from shared.settings import is_loopback

CONNECT_SECONDS = 5.0
# A stream that says nothing for so long is dead: a sign of life comes every 15 seconds.
SILENCE_SECONDS = 40.0
# How long a server that was there may be away.
PATIENCE_SECONDS = 60.0
PAUSE_SECONDS = 0.3
# Nobody need hear of less.
TELL_SECONDS = 2.0
_UNAVAILABLE = frozenset({502, 503, 504})
_NO_CONTENT = 204


class ServerError(AsyncChatError):
    """The server refused, or is not there. The message is one sentence that says what to do."""


class TimeIsUp(Exception):
    """It took longer than the caller wants to wait."""


@dataclass(frozen=True, slots=True)
class Event:
    """One event of a stream."""

    kind: str
    data: Mapping[str, Any]


class Server:
    """A server at a URL. `on_trouble` hears a sentence when it is away, and None once it is back."""

    def __init__(
        self, url: str, key: str | None, *, on_trouble: Callable[[str | None], None] = lambda _sentence: None
    ) -> None:
        if not url.startswith(("http://", "https://")):
            raise ServerError(f"--url is an address like http://127.0.0.1:8000, and not {url!r:.100}")
        self.url = url.rstrip("/")
        key = (key or "").strip()  # A file or a paste may have put a line break behind it.
        if not (key.isascii() and key.isprintable()):
            raise ServerError("the key has characters that no key has: one looks like ak_ and letters and digits")
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        try:
            self._client = httpx2.Client(
                base_url=self.url,
                headers=headers,
                timeout=httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS),
                # What is on this machine is behind no proxy.
                trust_env=not is_loopback(httpx2.URL(self.url).host),
            )
        except (httpx2.InvalidURL, UnicodeError):
            raise ServerError(f"--url is an address like http://127.0.0.1:8000, and not {url!r:.100}") from None
        self._on_trouble = on_trouble
        self._was_there = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()

    def get(self, path: str, **query: Any) -> Any:
        """The JSON at a path."""
        return self._send("GET", path, params=query)

    def post(self, path: str, body: Any = None) -> Any:
        """Makes something, once, however often it has to be sent."""
        return self._send("POST", path, json=body, headers={"Idempotency-Key": uuid4().hex})

    def follow(self, path: str) -> Stream:
        """The events at a path."""
        return Stream(self, path)

    def open_stream(
        self, path: str, *, last_id: str, seconds: float
    ) -> contextlib.AbstractContextManager[httpx2.Response]:
        """One connection to a stream, on which nothing comes for so many seconds at most."""
        headers = {"Accept": "text/event-stream", **({"Last-Event-ID": last_id} if last_id else {})}
        timeout = httpx2.Timeout(SILENCE_SECONDS, connect=CONNECT_SECONDS, read=seconds)
        return self._client.stream("GET", path, headers=headers, timeout=timeout)

    def away(self) -> Away:
        """Patience with a server that is not there."""
        return Away(self.url, self._on_trouble)

    def _send(self, method: str, path: str, **request: Any) -> Any:
        away = self.away()
        while True:
            try:
                answer = self._client.request(method, path, **request)
            except httpx2.TransportError as error:
                if not self._was_there:
                    raise ServerError(_nobody_there(self.url, error)) from None
            else:
                self._was_there = True
                if answer.status_code not in _UNAVAILABLE:
                    away.is_over()
                    self.require_success(answer)
                    return _json_of(answer, self.url)
            away.lasts()

    def require_success(self, answer: httpx2.Response) -> None:
        """Raises:
        ServerError: the server refused.
        """
        if answer.is_success:
            return
        answer.read()
        problem = _json_or_none(answer)
        detail = _detail_of(problem) if isinstance(problem, dict) else None
        if not isinstance(detail, str):
            raise ServerError(f"{self.url} answered {answer.status_code} and is no Async Chat API: look at --url")
        if answer.status_code in (401, 403):
            detail += " Give a key with --key or ASYNCCHAT_API_KEY."
        raise ServerError(safe_line(detail))


class Stream:
    """Events that are read on from where they broke off."""

    def __init__(self, server: Server, path: str) -> None:
        self._server = server
        self._path = path
        self._last_id = ""

    def events(self, *, until: float | None = None) -> Iterator[Event]:
        """Those that were not read yet, to the end of the stream. `until` is a monotonic time.

        Raises:
            ServerError: the server is not there any more, or refuses.
            TimeIsUp: there is more to come, and it is later than `until`.
        """
        away = self._server.away()
        while True:
            seconds = SILENCE_SECONDS if until is None else min(SILENCE_SECONDS, until - time.monotonic())
            try:
                with self._server.open_stream(self._path, last_id=self._last_id, seconds=max(0.01, seconds)) as answer:
                    if answer.status_code == _NO_CONTENT:
                        return
                    if answer.status_code not in _UNAVAILABLE:
                        self._server.require_success(answer)
                        for event in self._read(answer.iter_lines()):
                            away.is_over()
                            yield event
                            _require_time(until)
            except (httpx2.TransportError, httpx2.StreamError):
                pass  # It broke off; what came is noted.
            _require_time(until)
            away.lasts()

    def _read(self, lines: Iterator[str]) -> Iterator[Event]:
        fields: dict[str, str] = {}
        for line in lines:
            if line:
                name, _, value = line.partition(":")
                if name:  # Without one it is a comment, a sign of life.
                    fields[name] = value.removeprefix(" ")
                continue
            if "data" in fields:
                self._last_id = fields.get("id") or self._last_id
                yield Event(fields.get("event", "message"), orjson.loads(fields["data"]))
            fields = {}


class Away:
    """How long a server has been away."""

    def __init__(self, url: str, tell: Callable[[str | None], None]) -> None:
        self._url = url
        self._tell = tell
        self._since: float | None = None
        self._is_told = False

    def lasts(self) -> None:
        """Waits a moment.

        Raises:
            ServerError: it has been away for too long.
        """
        now = time.monotonic()
        self._since = self._since or now
        if now - self._since > PATIENCE_SECONDS:
            raise ServerError(f"{self._url} has been away for {PATIENCE_SECONDS:g} s: does `asyncchat up` still run?")
        if now - self._since > TELL_SECONDS and not self._is_told:
            self._is_told = True
            self._tell(f"{self._url} is away; trying again …")
        time.sleep(PAUSE_SECONDS)

    def is_over(self) -> None:
        """It is there."""
        if self._is_told:
            self._tell(None)
        self._since, self._is_told = None, False


def _require_time(until: float | None) -> None:
    if until is not None and time.monotonic() >= until:
        raise TimeIsUp


def _detail_of(problem: Mapping[str, Any]) -> Any:
    """The sentence for whoever typed the command, to whom a place in the request's body means nothing."""
    errors = problem.get("errors")
    first = errors[0] if isinstance(errors, list) and errors else None
    return (first.get("detail") if isinstance(first, dict) else None) or problem.get("detail")


def _nobody_there(url: str, error: httpx2.TransportError) -> str:
    if isinstance(error, httpx2.ConnectError):
        reason = next(iter(error.__cause__.args), None) if error.__cause__ else None
        if isinstance(reason, socket.gaierror):
            return f"No host of the name in {url} was found: look at --url, and whether there is a network."
        if isinstance(reason, ssl.SSLError):
            return (
                f"{url} does not speak TLS as it should ({reason.reason}): is it http://? Or whose certificate is it?"
            )
        return f"Nothing listens at {url}: start it with `asyncchat up`, or say where it is with --url."
    return f"{url} does not answer ({type(error).__name__}): is it an Async Chat API, and does a proxy stand before it?"


def _json_or_none(answer: httpx2.Response) -> Any:
    try:
        return orjson.loads(answer.content)
    except ValueError:
        return None


def _json_of(answer: httpx2.Response, url: str) -> Any:
    content = _json_or_none(answer)
    if content is None and answer.content:
        raise ServerError(f"{url} answered with something else than JSON: look at --url")
    return content
