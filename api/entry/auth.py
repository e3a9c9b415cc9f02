"""Who asks, and what they may: by a key, or by a token that is good for one conversation."""

from __future__ import annotations

import asyncio
import logging
import time
from dataclasses import dataclass

from sqlalchemy import RowMapping

from shared import conversation_tokens
from shared.api_keys import ALL_SCOPES, Scope, is_same, prefix_of
from shared.clock import now_ms
from shared.conversation_tokens import ConversationToken
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT
from shared.errors import StorageError
from shared.settings import Settings
from shared.store import keys, secrets

log = logging.getLogger(__name__)

# How long a gateway believes what it has read of a key: a key that is revoked on another one is good for so long.
BELIEVE_SECONDS = 2.0
MAX_BELIEVED = 10_000
USED_EVERY_MS = 60_000


@dataclass(frozen=True, slots=True)
class Identity:
    """For whom a request acts, and what it may do."""

    tenant_id: str
    scopes: frozenset[Scope]
    # The key that was shown, or that the token was made with; none where the server is open.
    key_id: str | None = None
    # For the bearer of a conversation's token, the one it is good for, and until when.
    conversation_id: str | None = None
    expires_at: int | None = None

    def may(self, scope: Scope) -> bool:
        """Whether this is allowed."""
        return scope in self.scopes or Scope.ADMIN in self.scopes


# What the bearer of a token may do, in its conversation.
_OF_TOKENS = frozenset({Scope.READ, Scope.WRITE})
_SECRET_NAME = "conversation tokens"  # noqa: S105  what it is called
EVERYBODY = Identity(DEFAULT_TENANT, ALL_SCOPES)


@dataclass(frozen=True, slots=True)
class _Believed:
    identity: Identity | None
    until: float
    expires_at: int | None

    def present_identity(self) -> Identity | None:
        if self.expires_at is not None and self.expires_at <= now_ms():
            return None
        return self.identity


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
        found = self._remembered(key) or await self._look_up(key, prefix)
        return found.present_identity()

    async def sign(self, token: ConversationToken) -> str:
        """The token as a client gets it.

        Raises:
            StorageError: the database does not answer.
        """
        return conversation_tokens.sign(token, await self._secret())

    async def _identify_token(self, text: str) -> Identity | None:
        token = conversation_tokens.read(text, await self._secret())
        if token is None or token.expires_at <= now_ms() or token.key_id is None:
            return None
        found = self._remembered(token.key_id) or await self._look_up_maker(token.tenant_id, token.key_id)
        maker = found.present_identity()
        if maker is None:
            return None
        return Identity(
            token.tenant_id,
            frozenset(scope for scope in _OF_TOKENS if maker.may(scope)),
            key_id=token.key_id,
            conversation_id=token.conversation_id,
            expires_at=token.expires_at,
        )

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

    def _remembered(self, name: str) -> _Believed | None:
        """What is believed of the key: by itself, or for its tokens by its id."""
        found = self._believed.get(name)
        return found if found is not None and found.until >= time.monotonic() else None

    async def _look_up(self, key: str, prefix: str) -> _Believed:
        row = await self._database.read(keys.by_prefix, prefix)
        is_known = is_same(key, row["digest"] if row else None, self._pepper)
        found = self._believe(key, row if is_known else None)
        if found.identity is not None and found.identity.key_id is not None:
            self._note_use(found.identity.key_id)
        return found

    async def _look_up_maker(self, tenant_id: str, key_id: str) -> _Believed:
        return self._believe(key_id, await self._database.read(keys.get, tenant_id, key_id))

    def _believe(self, name: str, row: RowMapping | None) -> _Believed:
        until = time.monotonic() + BELIEVE_SECONDS
        if row is None or row["revoked_at"] is not None:
            return _Believed(None, until, None)
        if len(self._believed) >= MAX_BELIEVED:
            self._believed.clear()
        identity = Identity(row["tenant_id"], frozenset(map(Scope, row["scopes"])), row["id"])
        found = self._believed[name] = _Believed(identity, until, row["expires_at"])
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
