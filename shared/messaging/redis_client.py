"""Connections to Redis for short commands. Losing them costs speed, never an answer."""

from __future__ import annotations

from redis.asyncio import BlockingConnectionPool, Redis

# Redis answers in well under a millisecond; one that takes longer than this is as good as gone.
SOCKET_TIMEOUT_SECONDS = 2.0
CONNECT_TIMEOUT_SECONDS = 1.0
HEALTH_CHECK_SECONDS = 10


def connect(url: str, *, connections: int = 4) -> Redis:
    """A client that connects at its first command and waits for one of a few connections.

    `url` is as redis-py spells it; see `Settings.client_redis_url`. The plain pool of redis-py raises when it is
    full, so this is the blocking one.
    """
    pool = BlockingConnectionPool.from_url(
        url,
        max_connections=connections,
        timeout=SOCKET_TIMEOUT_SECONDS,
        socket_timeout=SOCKET_TIMEOUT_SECONDS,
        socket_connect_timeout=CONNECT_TIMEOUT_SECONDS,
        health_check_interval=HEALTH_CHECK_SECONDS,
    )
    return Redis.from_pool(pool)
