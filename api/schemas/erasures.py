"""Receipts of erasures."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.answers import Answer, Instant


class ErasedCounts(Answer):
    """How many of what were erased."""

    conversations: int
    messages: int
    replies: int
    attempts: int
    idempotency_keys: int
    webhook_deliveries: int
    event_logs: int


class Erasure(Answer):
    """The receipt of an erasure. It does not name the end user."""

    id: str = Field(examples=["erasure_01m8376nm1zqqnsr0dt18yp372"])
    status: Literal["in_progress", "completed"]
    erased: ErasedCounts
    event_logs_gone_by: Instant | None = Field(
        description="Redis did not answer, or a worker was still speaking: what is left of event logs ends by then. "
        "Null if nothing is left of them."
    )
    started_at: Instant
    finished_at: Instant | None
