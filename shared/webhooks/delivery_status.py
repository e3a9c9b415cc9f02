"""Where a delivery of a webhook stands, and why an endpoint gets none."""

from __future__ import annotations

from enum import StrEnum


class DeliveryStatus(StrEnum):
    """Where a delivery stands."""

    PENDING = "pending"  # waits for a worker, or for its next try
    IN_PROGRESS = "in_progress"  # a worker is sending it
    DELIVERED = "delivered"  # the receiver answered with 2xx
    FAILED = "failed"  # it is not tried any more


class DisabledBecause(StrEnum):
    """Why an endpoint gets nothing."""

    REQUESTED = "requested"  # somebody switched it off
    GONE = "gone"  # the receiver answered with 410
    FAILING = "failing"  # nothing came through for days
