"""The doorbell where there is no Redis."""

from __future__ import annotations

import pytest

from shared.doorbell import SENDER_TIMEOUT_SECONDS, Doorbell
from tests.fixtures.settings import settings_with
from tests.fixtures.waiting import until
from tests.fixtures.workers import NO_REDIS

pytestmark = pytest.mark.anyio


async def test_an_absent_redis_is_noticed_at_once() -> None:
    """Left to itself the client tries for six seconds, and a worker that ends would wait for it."""
    doorbell = Doorbell(settings_with(redis_url=NO_REDIS))
    doorbell.start()
    doorbell.ring(["reply_x"])

    async def is_noticed() -> bool:
        return doorbell.last_error is not None

    await until(is_noticed, seconds=SENDER_TIMEOUT_SECONDS)
    doorbell.stop()
    assert not doorbell.is_alive
