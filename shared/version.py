"""Which version this is."""

from __future__ import annotations

from importlib import metadata


def version() -> str:
    """As it was installed, or 0 where it runs from its files alone."""
    try:
        return metadata.version("async-chat-api")
    except metadata.PackageNotFoundError:
        return "0"
