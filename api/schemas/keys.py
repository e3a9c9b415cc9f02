"""Keys and tokens as they are told."""

from __future__ import annotations

from pydantic import Field

from api.schemas.answers import Answer, Instant
from shared.api_keys import Scope


class ApiKey(Answer):
    """A key, without its secret."""

    id: str
    name: str
    prefix: str = Field(description="What the key begins with, to tell keys apart.")
    scopes: list[Scope]
    created_at: Instant
    expires_at: Instant | None
    revoked_at: Instant | None
    last_used_at: Instant | None = Field(description="To the minute.")


class NewApiKey(ApiKey):
    """A key that was made just now."""

    secret: str = Field(description="The whole key, for `Authorization: Bearer`. It is never shown again.")


class ApiKeyPage(Answer):
    """A page of keys."""

    data: list[ApiKey]
    next_cursor: str | None
    has_more: bool


class NewConversationToken(Answer):
    """A token for one conversation."""

    token: str
    expires_at: Instant
