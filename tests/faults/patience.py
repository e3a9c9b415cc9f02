"""Waiting for a condition while a dozen processes share the machine."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TypeVar

from tests.fixtures import waiting

T = TypeVar("T")

# For machines that have far too much to do. What ends sooner is not held up by it.
PATIENT_SECONDS = 150.0


async def until(condition: Callable[[], Awaitable[T]], *, seconds: float = PATIENT_SECONDS) -> T:
    """What the condition gives once that is true."""
    return await waiting.until(condition, seconds=seconds)
