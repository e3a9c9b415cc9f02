"""What a model or a provider says, as every database and every client can take it."""

from __future__ import annotations


def storable(text: str) -> str:
    """The text without NUL, and with `?` for each half of a surrogate pair that stands alone."""
    return text.replace("\0", "").encode(errors="replace").decode()
