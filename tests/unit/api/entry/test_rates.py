"""The while that slides."""

from __future__ import annotations

import pytest
from redis.asyncio import Redis

from api.entry import rates
from api.entry.rates import Kind, Rates, network_of
from shared.rate import Rate
from tests.fixtures.settings import settings_with

pytestmark = pytest.mark.anyio

MINUTE = 60_000


class Clock:
    """Milliseconds since the start of some minute."""

    def __init__(self) -> None:
        self.at = 0

    def now(self) -> int:
        return 30_000_000 * MINUTE + self.at


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(rates, "now_ms", made.now)
    return made


@pytest.fixture
async def counted() -> Rates:
    """Ten writes a minute; nothing is told to Redis, which is not there."""
    return Rates(Redis(), settings_with(write_rate=Rate(10, 60)))


def _sent(counted: Rates, times: int, *, client: str = "key_1") -> int:
    """How many of so many requests were let in."""
    taken = [counted.take(client, Kind.WRITES) for _ in range(times)]
    return sum(each is not None and each.is_allowed for each in taken)


@pytest.mark.usefixtures("clock")
async def test_only_what_has_a_rate_is_counted_and_each_client_by_itself(counted: Rates) -> None:
    assert counted.take("key_1", Kind.READS) is None
    assert _sent(counted, 12) == 10
    assert _sent(counted, 12, client="key_2") == 10


async def test_around_a_full_minute_there_is_no_room_for_twice_as_many(counted: Rates, clock: Clock) -> None:
    clock.at = MINUTE - 1
    assert _sent(counted, 20) == 10
    clock.at = MINUTE + 1
    assert _sent(counted, 20) == 0
    clock.at = MINUTE + MINUTE // 2
    assert _sent(counted, 20) == 5
    clock.at = 3 * MINUTE
    assert _sent(counted, 20) == 10


async def test_who_waits_as_long_as_told_is_let_in(counted: Rates, clock: Clock) -> None:
    for at in (0, 17_300, MINUTE - 1):
        clock.at = at
        assert _sent(counted, 10) > 0
        for _ in range(15):
            refused = counted.take("key_1", Kind.WRITES)
            assert refused is not None
            if refused.is_allowed:
                continue
            assert 0 < refused.retry_seconds <= 120
            clock.at += 1000 * refused.retry_seconds
            let_in = counted.take("key_1", Kind.WRITES)
            assert let_in is not None
            assert let_in.is_allowed
        clock.at += 10 * MINUTE


async def test_what_is_refused_is_not_counted(counted: Rates, clock: Clock) -> None:
    assert _sent(counted, 1000) == 10
    clock.at = MINUTE + MINUTE // 2
    assert _sent(counted, 20) == 5


@pytest.mark.usefixtures("clock")
async def test_the_headers_are_those_of_the_draft(counted: Rates) -> None:
    taken = counted.take("key_1", Kind.WRITES)
    assert taken is not None
    assert taken.headers() == {"RateLimit-Policy": '"writes";q=10;w=60', "RateLimit": '"writes";r=9;t=60'}


async def test_however_many_clients_come_what_is_kept_of_them_is_bounded(
    counted: Rates, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rates, "MAX_CLIENTS", 5)
    for number in range(20):
        clock.at += MINUTE
        assert _sent(counted, 1, client=f"key_{number}") == 1
        assert len(counted._counts) <= 5
    assert _sent(counted, 10, client="key_19") == 9, "who came just now is not forgotten"


@pytest.mark.parametrize(
    ("address", "network"),
    [
        ("203.0.113.9", "203.0.113.9"),
        ("2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"),
        ("2001:db8:1:2::9", "2001:db8:1:2::/64"),
        ("testclient", "testclient"),
    ],
)
def test_a_client_is_counted_by_what_it_cannot_choose(address: str, network: str) -> None:
    assert network_of(address) == network
