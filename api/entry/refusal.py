"""Refusing a request at the gate."""

from __future__ import annotations

from collections.abc import Mapping


class Refusal(Exception):
    """The request may not be answered. `code` is of the catalogue."""

    def __init__(self, code: str, detail: str, *, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.headers = dict(headers or {})
