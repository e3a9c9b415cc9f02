"""Refusing a request at the gate, and reading there what it says of itself."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from starlette.types import Scope as AsgiScope


class Refusal(Exception):
    """The request may not be answered. `code` is of the catalogue."""

    def __init__(self, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.headers = dict(headers or {})


def values_of(scope: AsgiScope, name: bytes) -> Iterable[str]:
    """What the headers of this name, in lower case, say."""
    return [value.decode("latin-1") for header, value in scope["headers"] if header == name]


def only_value(scope: AsgiScope, name: bytes) -> str:
    """The same, where all say the same; else nothing."""
    values = set(values_of(scope, name))
    return values.pop().strip() if len(values) == 1 else ""
