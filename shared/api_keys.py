"""API keys: `ak_<prefix>_<secret>`, of which only a digest is stored.

The secret has 256 random bits, so that HMAC-SHA-256 is as good as any slow hash. With a pepper, its key, who can write
to the database still cannot put a key of their own there.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from enum import StrEnum

_KEY = re.compile(r"ak_([0-9a-z]{12})_([A-Za-z0-9_-]{43})")
_PREFIX_ALPHABET = "0123456789abcdefghijklmnopqrstuvwxyz"
_PREFIX_CHARS = 12
_SECRET_BYTES = 32


class Scope(StrEnum):
    """What a key is good for."""

    READ = "read"  # see what is there, wait for it, listen to it
    WRITE = "write"  # ask, change, delete
    ADMIN = "admin"  # make and revoke keys; it includes the others


ALL_SCOPES = frozenset(Scope)


@dataclass(frozen=True, slots=True)
class NewKey:
    """A key that was made just now. `text` is all of it, and is shown once."""

    prefix: str
    text: str
    digest: str


def new_key(pepper: str) -> NewKey:
    """A fresh one."""
    prefix = "".join(secrets.choice(_PREFIX_ALPHABET) for _ in range(_PREFIX_CHARS))
    text = f"ak_{prefix}_{secrets.token_urlsafe(_SECRET_BYTES)}"
    return NewKey(prefix, text, digest_of(text, pepper))


def prefix_of(text: str) -> str | None:
    """What a key is looked up by, or None if the text is no key."""
    found = _KEY.fullmatch(text)
    return found[1] if found else None


def digest_of(text: str, pepper: str) -> str:
    """What is stored of a key: 64 hexadecimal digits."""
    return hmac.new(pepper.encode(), text.encode(), hashlib.sha256).hexdigest()


def is_same(text: str, digest: str | None, pepper: str) -> bool:
    """Whether the text is the key with this digest. It takes as long where there is no such key (None)."""
    expected = digest or "0" * 64
    return hmac.compare_digest(digest_of(text, pepper), expected) and digest is not None
