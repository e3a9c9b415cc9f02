"""What a request's headers say, read where the server has put them: names are in lower case there."""

from __future__ import annotations

from starlette.types import Scope


def values_of(scope: Scope, name: bytes) -> list[str]:
    """What the headers of this name say."""
    return [value.decode("latin-1") for header, value in scope["headers"] if header == name]


def first_value(scope: Scope, name: bytes) -> str:
    """What the first of them says; nothing where there is none."""
    for header, value in scope["headers"]:
        if header == name:
            return str(value.decode("latin-1"))
    return ""


def only_value(scope: Scope, name: bytes) -> str:
    """What all of them say; nothing where they do not agree."""
    values = set(values_of(scope, name))
    return values.pop().strip() if len(values) == 1 else ""
