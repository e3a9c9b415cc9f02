"""Text from a server as a terminal may see it."""

from __future__ import annotations

# Escape sequences begin with one of these: they could move the cursor, change the title, or write what looks like a
# prompt. Line breaks and tabs stay. The last ones turn around the direction of what follows.
_DROPPED = dict.fromkeys(
    [code for code in (*range(0x20), *range(0x7F, 0xA0)) if chr(code) not in "\n\t"]
    + [*range(0x202A, 0x202F), *range(0x2066, 0x206A)]
)


def as_typed(text: str) -> str:
    """What was typed or given, where the locale knows less than UTF-8: Python kept aside what it could not read.

    Raises:
        UnicodeError: it is not UTF-8 either.
    """
    return text.encode(errors="surrogateescape").decode()


def safe(text: str) -> str:
    """The text without control characters."""
    return text.translate(_DROPPED)


def safe_line(text: str) -> str:
    """The same, on one line."""
    return " ".join(safe(text).split())
