"""Who asks, and what they may: keys, or in open mode everybody on this machine and no web page of another origin."""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import time
from collections.abc import Iterable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from starlette.types import ASGIApp, Receive, Send
from starlette.types import Scope as AsgiScope

from api.errors import problem_answer
from shared import conversation_tokens
from shared.api_keys import ALL_SCOPES, Scope, is_same, prefix_of
from shared.clock import now_ms
from shared.conversation_tokens import ConversationToken
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT
from shared.errors import StorageError
from shared.settings import Settings, is_loopback
from shared.store import keys, secrets

log = logging.getLogger(__name__)

# How long a gateway believes what it has read of a key: a key that is revoked on another one is good for so long.
BELIEVE_SECONDS = 2.0
MAX_BELIEVED = 10_000
USED_EVERY_MS = 60_000
# Alive, ready, and what explains the API: for everybody.
_PUBLIC = ("/healthz", "/readyz", "/openapi.json", "/docs", "/errors/")
_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_ADMIN_PREFIX = "/keys"
_HOME = frozenset({"localhost"})


@dataclass(frozen=True, slots=True)
class Identity:
    """For whom a request acts, and what it may do."""

    tenant_id: str
    scopes: frozenset[Scope]
    key_id: str | None = None
    # For the bearer of a conversation's token, the one it is good for.
    conversation_id: str | None = None

    def may(self, scope: Scope) -> bool:
        """Whether this is allowed."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


# What the bearer of a token may do, in its conversation.
_OF_TOKENS = frozenset({Scope.READ, Scope.WRITE})
_SECRET_NAME = "conversation tokens"  # noqa: S105  what it is called
_LISTENING = "/events/"
EVERYBODY = Identity(DEFAULT_TENANT, ALL_SCOPES)


@dataclass(frozen=True, slots=True)
class _Believed:
    identity: Identity | None
    until: float
    expires_at: int | None


class Authenticator:
    """Finds out who has a key."""

    def __init__(self, database: Database, settings: Settings) -> None:
        self._database = database
        self._pepper = settings.key_pepper
        self._believed: dict[str, _Believed] = {}
        self._notes: set[asyncio.Task[None]] = set()
        self._token_secret: bytes | None = None

    async def identify(self, key: str) -> Identity | None:
        """Whose key or token it is, or None if it is none, or no good any more.

        Raises:
            StorageError: the database does not answer.
        """
        if conversation_tokens.is_token(key):
            return await self._identify_token(key)
        prefix = prefix_of(key)
        if prefix is None:
            is_same(key, None, self._pepper)
            return None
        found = self._believed.get(key)
        if found is None or found.until < time.monotonic():
            found = await self._look_up(key, prefix)
        if found.expires_at is not None and found.expires_at <= now_ms():
            return None
        return found.identity

    async def sign(self, token: ConversationToken) -> str:
        """The token as a client gets it.

        Raises:
            StorageError: the database does not answer.
        """
        return conversation_tokens.sign(token, await self._secret())

    async def _identify_token(self, text: str) -> Identity | None:
        token = conversation_tokens.read(text, await self._secret())
        if token is None or token.expires_at <= now_ms():
            return None
        return Identity(token.tenant_id, _OF_TOKENS, conversation_id=token.conversation_id)

    async def _secret(self) -> bytes:
        """The same on every gateway."""
        if self._token_secret is None:
            self._token_secret = bytes.fromhex(
                await self._database.write(secrets.get_or_make, _SECRET_NAME, now=now_ms())
            )
        return self._token_secret

    def forget(self) -> None:
        """Keys have changed."""
        self._believed.clear()

    async def _look_up(self, key: str, prefix: str) -> _Believed:
        row = await self._database.read(keys.by_prefix, prefix)
        identity = None
        if is_same(key, row["digest"] if row else None, self._pepper) and row is not None and row["revoked_at"] is None:
            identity = Identity(row["tenant_id"], frozenset(map(Scope, row["scopes"])), row["id"])
            self._note_use(row["id"])
        found = _Believed(identity, time.monotonic() + BELIEVE_SECONDS, row["expires_at"] if row else None)
        if identity is not None:
            if len(self._believed) >= MAX_BELIEVED:
                self._believed.clear()
            self._believed[key] = found
        return found

    def _note_use(self, key_id: str) -> None:
        task = asyncio.create_task(self._write_use(key_id))
        self._notes.add(task)
        task.add_done_callback(self._notes.discard)

    async def _write_use(self, key_id: str) -> None:
        try:
            await self._database.write(keys.used, key_id, now=now_ms(), at_most_every_ms=USED_EVERY_MS)
        except StorageError as error:
            log.debug("the use of a key was not noted: %s", error)


class Refusal(Exception):
    """The request may not be answered. `code` is of the catalogue."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(detail)
        self.code = code


class Gate:
    """Lets in who may come in. Behind it every request has an `identity` in its state."""

    def __init__(self, app: ASGIApp, *, settings: Settings) -> None:
        self._app = app
        self._is_open = settings.is_open
        self._is_open_to_all = settings.auth == "open"
        self._hosts = frozenset({*_HOME, settings.host.lower(), *(host.lower() for host in settings.allowed_hosts)})
        self._origins = frozenset(settings.cors_origins)

    async def __call__(self, scope: AsgiScope, receive: Receive, send: Send) -> None:
        """One request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            identity = await self._identify(scope)
        except Refusal as refusal:
            headers = {"WWW-Authenticate": "Bearer"} if refusal.code == "unauthorized" else None
            answer = problem_answer(scope, refusal.code, detail=str(refusal), headers=headers)
            await answer(scope, receive, send)
            return
        scope["state"]["identity"] = identity
        await self._app(scope, receive, send)

    async def _identify(self, scope: AsgiScope) -> Identity:
        path, method = scope["path"], scope["method"]
        if self._is_open and (self._is_open_to_all or _is_home(scope)):
            self._require_home(scope)
            return EVERYBODY
        if method == "OPTIONS" or path.startswith(_PUBLIC):
            return EVERYBODY
        key = _key_of(scope)
        authenticator: Authenticator = scope["app"].state.resources.authenticator
        identity = await authenticator.identify(key)
        if identity is None:
            raise Refusal("unauthorized", "This key is not known here, or no good any more.")
        needed = _needed(path, method)
        if identity.conversation_id is not None and not _is_of_token(path, method, identity.conversation_id):
            raise Refusal("forbidden", "This token is good for asking, reading and listening in its conversation only.")
        if not identity.may(needed):
            raise Refusal("forbidden", f"This key has not the scope `{needed}`, which this takes.")
        return identity

    def _require_home(self, scope: AsgiScope) -> None:
        """Refuses what a web page elsewhere may have a browser send here, also by a name that leads here."""
        host = _hostname(_only(scope, b"host"))
        if host not in self._hosts and not _is_address(host):
            raise Refusal(
                "forbidden_host",
                f"This server is open to this machine only, and does not serve the host {host!r:.100}. "
                "Set ASYNCCHAT_ALLOWED_HOSTS to serve it under more names, or ASYNCCHAT_AUTH=keys.",
            )
        origin = _only(scope, b"origin")
        if not origin or origin in self._origins:
            return
        if _netloc(origin) != _only(scope, b"host").lower():
            raise Refusal(
                "forbidden_origin",
                f"Web pages of {origin!r:.100} may not use this server. Set ASYNCCHAT_CORS_ORIGINS to let them.",
            )


def _is_home(scope: AsgiScope) -> bool:
    """Whether the request came to an address that only this machine reaches, whatever the server was told to bind."""
    server = scope.get("server")
    return server is None or is_loopback(server[0])


def _needed(path: str, method: str) -> Scope:
    if path.startswith(_ADMIN_PREFIX):
        return Scope.ADMIN
    return Scope.READ if method in _READING else Scope.WRITE


def _is_of_token(path: str, method: str, conversation_id: str) -> bool:
    """Whether this is what the token of the conversation is for."""
    own = f"/conversations/{conversation_id}/"
    if method in _READING:
        return path.startswith(own)
    return method == "POST" and path == f"{own}ask-message/"


def _values(scope: AsgiScope, name: bytes) -> Iterable[str]:
    return [value.decode("latin-1") for header, value in scope["headers"] if header == name]


def _only(scope: AsgiScope, name: bytes) -> str:
    values = set(_values(scope, name))
    return values.pop().strip() if len(values) == 1 else ""


def _key_of(scope: AsgiScope) -> str:
    """The key in the Authorization header.

    Raises:
        Refusal: there is none, or more than one, or of another scheme.
    """
    given = set(_values(scope, b"authorization"))
    if not given and (token := _token_of_query(scope)):
        return token
    if not given:
        raise Refusal("unauthorized", "This takes a key: `Authorization: Bearer ak_…`.")
    scheme, _, key = given.pop().strip().partition(" ")
    if given or scheme.lower() != "bearer" or not key.strip():
        raise Refusal("unauthorized", "Send one key, as `Authorization: Bearer ak_…`.")
    return key.strip()


def _token_of_query(scope: AsgiScope) -> str:
    """A conversation's token in the query, where a browser can send it no other way."""
    if not scope["path"].endswith(_LISTENING):
        return ""
    tokens = parse_qs(scope["query_string"].decode("latin-1")).get("access_token", [])
    return tokens[0] if len(tokens) == 1 and conversation_tokens.is_token(tokens[0]) else ""


def _hostname(host: str) -> str:
    """The name in a Host header, without the port."""
    if host.startswith("["):
        return host.partition("]")[0][1:].lower()
    return host.partition(":")[0].lower()


def _is_address(host: str) -> bool:
    """Whether it is a number: no name that somebody else's server has given out."""
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _netloc(origin: str) -> str:
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""
