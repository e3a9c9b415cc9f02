"""Rates: how many requests each client may send in a while, on all gateways together.

Every gateway counts by itself and tells Redis four times a second what it let in, which answers with what all let in.
So a request costs no round trip and never waits for Redis, a rate is met to within what gateways let in during a
quarter of a second, and while Redis is away each gateway goes on with its own count.

The while slides: what is left of the one before counts by the share of it that is still within reach, so that nobody
gets twice the rate around a full minute.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
import math
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from functools import lru_cache

from redis.asyncio import Redis
from redis.exceptions import RedisError

from shared.background import end
from shared.clock import now_ms
from shared.rate import Rate
from shared.settings import Settings

log = logging.getLogger(__name__)

TELL_SECONDS = 0.25
STOP_SECONDS = 1.0
# Beyond it those are forgotten who have sent nothing for a while, or all.
MAX_CLIENTS = 50_000
_CLIENTS_A_ROUND_TRIP = 500
# What a share of a while may be off by, and nobody shall wait another second for.
_ROUNDING = 1e-6


class Kind(StrEnum):
    """What is counted apart, so that looking for a reply never takes away from asking."""

    READS = "reads"
    WRITES = "writes"


@dataclass(frozen=True, slots=True)
class Taken:
    """What became of one request."""

    kind: Kind
    rate: Rate
    is_allowed: bool
    remaining: int
    # Until the while ends, and until there is room for another request (0 if there is).
    reset_seconds: int
    retry_seconds: int

    def headers(self) -> dict[str, str]:
        """As draft-ietf-httpapi-ratelimit-headers-10 tells them."""
        name, rate = self.kind, self.rate
        return {
            "RateLimit-Policy": f'"{name}";q={rate.amount};w={rate.seconds}',
            "RateLimit": f'"{name}";r={self.remaining};t={self.reset_seconds}',
        }

    def openai_headers(self) -> dict[str, str]:
        """As OpenAI's service tells them."""
        return {
            "x-ratelimit-limit-requests": str(self.rate.amount),
            "x-ratelimit-remaining-requests": str(self.remaining),
            "x-ratelimit-reset-requests": f"{self.reset_seconds}s",
        }


@dataclass(frozen=True, slots=True)
class _Place:
    """What is counted together: one client's requests of one kind in one while. Whiles are numbered since 1970."""

    client: str
    kind: Kind
    seconds: int
    number: int

    @property
    def before(self) -> _Place:
        return _Place(self.client, self.kind, self.seconds, self.number - 1)

    @property
    def key(self) -> str:
        return f"asyncchat:rate:{self.kind}:{self.seconds}:{self.client}:{self.number}"


@dataclass(slots=True)
class _Count:
    """Requests in the present while and in the one before, on all gateways as far as is known."""

    number: int
    present: int = 0
    before: int = 0


class Rates:
    """Counts the requests of every client. There is nothing to count where no rate is set."""

    def __init__(self, redis: Redis, settings: Settings) -> None:
        self._redis = redis
        self._rates: Mapping[Kind, Rate | None] = {Kind.READS: settings.read_rate, Kind.WRITES: settings.write_rate}
        self._counts: dict[tuple[str, Kind], _Count] = {}
        # What was let in here and Redis does not know of.
        self._untold: Counter[_Place] = Counter()
        self._has_untold = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self._is_reachable = True

    def start(self) -> None:
        """Starts telling Redis. It need not be there."""
        if any(self._rates.values()):
            self._task = asyncio.create_task(self._tell_forever(), name="rates")

    async def stop(self) -> None:
        """Ends telling."""
        if self._task is not None:
            await end(self._task)

    def take(self, client: str, kind: Kind) -> Taken | None:
        """Counts one request of the client, unless it is one too many. None where there is no rate."""
        rate = self._rates[kind]
        if rate is None:
            return None
        now = now_ms() / 1000
        number = int(now // rate.seconds)
        elapsed = now / rate.seconds - number
        count = self._count_of(client, kind, number)
        used = count.before * (1 - elapsed) + count.present
        is_allowed = used + 1 <= rate.amount + _ROUNDING
        if is_allowed:
            used += 1
            count.present += 1
            self._untold[_Place(client, kind, rate.seconds, number)] += 1
            self._has_untold.set()
        return Taken(
            kind,
            rate,
            is_allowed,
            remaining=max(0, int(rate.amount - used)),
            reset_seconds=math.ceil(rate.seconds * (1 - elapsed)),
            retry_seconds=0 if is_allowed else _until_room(rate, count, elapsed),
        )

    def _count_of(self, client: str, kind: Kind, number: int) -> _Count:
        count = self._counts.get((client, kind))
        if count is None:
            if len(self._counts) >= MAX_CLIENTS:
                self._forget()
            count = self._counts[client, kind] = _Count(number)
        elif count.number != number:
            count.before = count.present if count.number == number - 1 else 0
            count.number, count.present = number, 0
        return count

    def _forget(self) -> None:
        now = now_ms() // 1000
        seconds = {kind: rate.seconds for kind, rate in self._rates.items() if rate is not None}
        recent = {place: each for place, each in self._counts.items() if each.number >= now // seconds[place[1]] - 1}
        self._counts = recent if len(recent) < MAX_CLIENTS else {}

    async def _tell_forever(self) -> None:
        while True:
            await self._has_untold.wait()
            self._has_untold.clear()
            untold, self._untold = self._untold, Counter()
            try:
                await self._tell(untold)
            except (RedisError, OSError) as error:
                self._keep(untold)
                if self._is_reachable:
                    log.warning("Redis is away, so each gateway counts requests by itself: %s", error)
                self._is_reachable = False
            else:
                if not self._is_reachable:
                    log.warning("Redis is back, and requests are counted together again")
                self._is_reachable = True
            await asyncio.sleep(TELL_SECONDS)

    async def _tell(self, untold: Counter[_Place]) -> None:
        """Adds to the counts in Redis, and takes over what they are then."""
        places = list(untold)
        for start in range(0, len(places), _CLIENTS_A_ROUND_TRIP):
            batch = places[start : start + _CLIENTS_A_ROUND_TRIP]
            async with self._redis.pipeline(transaction=False) as pipeline:
                for place in batch:
                    # A command on a pipeline is only noted down; execute() sends it.
                    pipeline.incrby(place.key, untold[place])  # type: ignore[unused-awaitable]
                    pipeline.expire(place.key, 2 * place.seconds + 1)  # type: ignore[unused-awaitable]
                    pipeline.get(place.before.key)  # type: ignore[unused-awaitable]
                answers = await pipeline.execute()
            for number, place in enumerate(batch):
                present, _, before = answers[3 * number : 3 * number + 3]
                del untold[place]
                self._take_over(place, present=present, before=int(before or 0))

    def _take_over(self, place: _Place, *, present: int, before: int) -> None:
        count = self._counts.get((place.client, place.kind))
        if count is None:
            return
        total = present + self._untold[place]
        if count.number == place.number:
            count.present, count.before = max(count.present, total), max(count.before, before)
        elif count.number == place.number + 1:
            count.before = max(count.before, total)

    def _keep(self, untold: Counter[_Place]) -> None:
        """For the next time; not what is over by then."""
        now = now_ms() // 1000
        for place, amount in untold.items():
            if place.number >= now // place.seconds - 1:
                self._untold[place] += amount


@lru_cache(maxsize=10_000)
def network_of(address: str) -> str:
    """The address, as far as a client cannot choose it: of IPv6 everybody has a whole network of 2^64."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    if found.version == 4:
        return address
    return str(ipaddress.ip_network((found, 64), strict=False))


def _until_room(rate: Rate, count: _Count, elapsed: float) -> int:
    """Seconds until one more request is within the rate, at least 1; `elapsed` is how much of the while is over."""
    room = rate.amount - 1
    if count.present <= room:
        # As soon as enough of the while before is out of reach.
        share = 1 - (room - count.present) / count.before - elapsed
    else:
        share = 1 - elapsed + (1 - room / count.present)
    return max(1, math.ceil(rate.seconds * share))
