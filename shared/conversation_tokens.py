"""Tokens for browsers: short-lived, bound to one conversation, and told by their signature alone.

`ct_<payload>.<signature>`, both in base64url: HMAC-SHA256 over the payload, which is JSON.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from dataclasses import dataclass, fields

import orjson

_BEGINNING = "ct_"
_MAX_CHARS = 1000


@dataclass(frozen=True, slots=True)
class ConversationToken:
    """What a token says: whose conversation it is good for, until when, and the key that it was made with.

    It is good no longer than that key. An open server makes tokens without one.
    """

    tenant_id: str
    conversation_id: str
    expires_at: int
    key_id: str | None


def is_token(text: str) -> bool:
    """Whether the text claims to be one."""
    return text.startswith(_BEGINNING)


def sign(token: ConversationToken, secret: bytes) -> str:
    """The token as a client gets it."""
    payload = _encode(orjson.dumps([token.tenant_id, token.conversation_id, token.expires_at, token.key_id]))
    return f"{_BEGINNING}{payload}.{_encode(_signature(payload, secret))}"


def read(text: str, secret: bytes) -> ConversationToken | None:
    """What the token says, or None if nobody here signed it. Whether it has expired is for the caller to see."""
    if not is_token(text) or len(text) > _MAX_CHARS or not text.isascii():
        return None
    payload, _, signature = text.removeprefix(_BEGINNING).partition(".")
    if not hmac.compare_digest(_encode(_signature(payload, secret)), signature):
        return None
    said = orjson.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
    return ConversationToken(*said) if len(said) == len(fields(ConversationToken)) else None


def _signature(payload: str, secret: bytes) -> bytes:
    return hmac.new(secret, payload.encode(), hashlib.sha256).digest()


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
