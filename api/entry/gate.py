"""The gate: who may come in, and how often. It asks for keys, or where the server is open for being at home."""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import ExitStack
from urllib.parse import parse_qs

from starlette.types import ASGIApp, Message, Receive, Send
from starlette.types import Scope as AsgiScope

from api.entry.auth import EVERYBODY, Authenticator, Identity
from api.entry.home import Home, is_home, require_direct
from api.entry.open_requests import OpenRequests
from api.entry.rates import Kind, Taken, network_of
from api.entry.refusal import Refusal
from api.errors import problem_answer, storage_answer
from api.headers import values_of
from api.openai_compat.errors import speaks_openai
from shared.api_keys import Scope
from shared.conversation_tokens import is_token
from shared.errors import StorageError, TooManyAtOnce
from shared.observability.metrics import is_metrics_token
from shared.settings import Settings

# Alive, ready, what explains the API, and the pages, which hold nothing and ask for a key: for everybody.
_PUBLIC = ("/healthz", "/readyz", "/openapi.json", "/docs", "/errors/", "/assets/")
_PAGES = frozenset({"/", "/ops"})
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_ADMIN_PREFIXES = ("/keys", "/webhooks", "/workers", "/operations", "/usage", "/budgets")
_LISTENING = "/events/"
_METRICS = "/metrics"
_FEEDBACK = re.compile("/replies/[^/]+/feedback/")
_OF_FEEDBACK = frozenset({"PUT", "DELETE"})


class Gate:
    """Lets in who may come in. Behind it every request has an `identity` in its state."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._is_open = settings.is_open
        self._is_open_to_all = settings.auth == "open"
        self._home = Home(settings)
        self._metrics_token = settings.metrics_token

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            identity = await self._identify(scope)
            taken = _take(scope, identity)
        except Refusal as refusal:
            answer = problem_answer(scope, refusal.code, detail=str(refusal), headers=refusal.headers)
            await answer(scope, receive, send)
            return
        except StorageError as error:
            await storage_answer(scope, error)(scope, receive, send)
            return
        scope["state"]["identity"] = identity
        if taken is not None:
            send = _with_headers(send, _rate_headers(scope, taken))
        if identity.key_id is None:
            await self._app(scope, receive, send)
        else:
            await self._answer_key(scope, receive, send, identity=identity, key_id=identity.key_id)

    async def _answer_key(
        self, scope: AsgiScope, receive: Receive, send: Send, *, identity: Identity, key_id: str
    ) -> None:
        """Answers somebody with a key, as long as it is good."""
        open_requests: OpenRequests = scope["app"].state.resources.open_requests
        with ExitStack() as stack:
            try:
                request = stack.enter_context(open_requests.entered(identity, key_id))
            except TooManyAtOnce as error:
                answer = problem_answer(scope, error.code, detail=str(error), headers={"Retry-After": "1"})
                await answer(scope, receive, send)
                return
            scope["state"]["open_request"] = request
            await self._app(scope, request.until_ended(receive), send)

    async def _identify(self, scope: AsgiScope) -> Identity:
        path, method = scope["path"], scope["method"]
        if path == _METRICS and self._metrics_token:
            self._require_metrics_token(scope, self._metrics_token)
            return EVERYBODY
        if self._is_open and (self._is_open_to_all or is_home(scope)):
            self._home.require(scope)
            if not self._is_open_to_all and not _is_public(path, method):
                require_direct(scope)
            return EVERYBODY
        if _is_public(path, method):
            return EVERYBODY
        key = _key_of(scope)
        authenticator: Authenticator = scope["app"].state.resources.authenticator
        identity = await authenticator.identify(key)
        if identity is None:
            raise _unauthorized("This key is not known here, or no good any more.")
        needed = _needed(path, method)
        if identity.conversation_id is not None and not _is_of_token(path, method, identity.conversation_id):
            raise Refusal(
                "forbidden", "This token is good for asking, reading, listening and feedback in its conversation only."
            )
        if not identity.may(needed):
            raise Refusal("forbidden", f"This key has not the scope `{needed}`, which this takes.")
        if path == _METRICS:
            raise Refusal(
                "forbidden",
                "The metrics are about all tenants, and no key is good for them: set ASYNCCHAT_METRICS_TOKEN and send "
                "it as Bearer.",
            )
        return identity

    def _require_metrics_token(self, scope: AsgiScope, token: str) -> None:
        given = set(values_of(scope, b"authorization"))
        if len(given) != 1 or not is_metrics_token(given.pop(), token):
            raise _unauthorized("This takes the ASYNCCHAT_METRICS_TOKEN: `Authorization: Bearer …`.")


def _is_public(path: str, method: str) -> bool:
    return method == "OPTIONS" or path.startswith(_PUBLIC) or path in _PAGES


def _unauthorized(detail: str) -> Refusal:
    return Refusal("unauthorized", detail, headers={"WWW-Authenticate": "Bearer"})


def _take(scope: AsgiScope, identity: Identity) -> Taken | None:
    """Counts the request, where there is a rate.

    Raises:
        Refusal: it is one too many.
    """
    path, method = scope["path"], scope["method"]
    if _is_public(path, method):
        return None
    # A browser's token has a rate of its own: it shall not use up its key's.
    client = identity.conversation_id or identity.key_id or _network(scope)
    kind = Kind.READS if method in _READING else Kind.WRITES
    taken: Taken | None = scope["app"].state.resources.rates.take(client, kind)
    if taken is None or taken.is_allowed:
        return taken
    raise Refusal(
        "rate_limited",
        f"There may be {taken.rate.amount} {kind} in {taken.rate.seconds} seconds, and this is one more. "
        f"Send it again after {taken.retry_seconds} seconds.",
        headers={"Retry-After": str(taken.retry_seconds), **_rate_headers(scope, taken)},
    )


def _rate_headers(scope: AsgiScope, taken: Taken) -> dict[str, str]:
    if speaks_openai(scope["path"]):
        return taken.headers() | taken.openai_headers()
    return taken.headers()


def _with_headers(send: Send, headers: Mapping[str, str]) -> Send:
    encoded = [(name.lower().encode(), value.encode()) for name, value in headers.items()]

    async def send_with_headers(message: Message) -> None:
        if message["type"] == "http.response.start":
            message["headers"].extend(encoded)
        await send(message)

    return send_with_headers


def _network(scope: AsgiScope) -> str:
    """Where the request comes from, as far as one client cannot choose it."""
    client = scope.get("client")
    return network_of(client[0]) if client else "local"


def _needed(path: str, method: str) -> Scope:
    if path.startswith(_ADMIN_PREFIXES):
        return Scope.ADMIN
    return Scope.READ if method in _READING else Scope.WRITE


def _is_of_token(path: str, method: str, conversation_id: str) -> bool:
    """Whether this is what the token of the conversation is for."""
    own = f"/conversations/{conversation_id}/"
    if method in _READING:
        return path.startswith(own)
    # Which conversation a reply is in, the path does not say: `services.feedback` looks.
    return (method == "POST" and path == f"{own}ask-message/") or (
        method in _OF_FEEDBACK and _FEEDBACK.fullmatch(path) is not None
    )


def _key_of(scope: AsgiScope) -> str:
    """The key in the Authorization header.

    Raises:
        Refusal: there is none, or more than one, or of another scheme.
    """
    given = set(values_of(scope, b"authorization"))
    if not given and (token := _token_of_query(scope)):
        return token
    if not given:
        raise _unauthorized("This takes a key: `Authorization: Bearer ak_…`.")
    scheme, _, key = given.pop().strip().partition(" ")
    if given or scheme.lower() != "bearer" or not key.strip():
        raise _unauthorized("Send one key, as `Authorization: Bearer ak_…`.")
    return key.strip()


def _token_of_query(scope: AsgiScope) -> str:
    """A conversation's token in the query, where a browser can send it no other way."""
    if not scope["path"].endswith(_LISTENING):
        return ""
    tokens = parse_qs(scope["query_string"].decode("latin-1")).get("access_token", [])
    return tokens[0] if len(tokens) == 1 and is_token(tokens[0]) else ""
