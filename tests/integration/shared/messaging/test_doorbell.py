"""The doorbell, with a real server, without one, and with one that comes and goes."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest
from kombu.transport.redis import Channel
from redis import Redis

from shared.messaging import doorbell as doorbell_module
from shared.messaging.doorbell import QUEUE, SENDER_TIMEOUT_SECONDS, TASK, Doorbell
from tests.fixtures.settings import settings_with
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import eventually, until
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


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """A server that does not answer is given up soon."""
    monkeypatch.setattr(doorbell_module, "SENDER_TIMEOUT_SECONDS", 0.3)


@pytest.fixture
def doorbell(valkey: Valkey) -> Iterator[Doorbell]:
    """A doorbell that is not started yet."""
    doorbell = Doorbell(settings_with(redis_url=valkey.url))
    yield doorbell
    doorbell.stop()
    assert not doorbell.is_alive


@contextmanager
def ringing(valkey: Valkey, *, knock: Callable[[int], bool]) -> Iterator[Doorbell]:
    """A doorbell that is started, and before which somebody may knock."""
    doorbell = Doorbell(settings_with(redis_url=valkey.url), knock=knock)
    doorbell.start()
    yield doorbell
    doorbell.stop()


def bells(valkey: Valkey) -> list[list[str]]:
    """The ids of each task that waits in the queue, oldest first."""
    with Redis.from_url(valkey.client_url) as redis:
        waiting = [json.loads(message) for message in redis.lrange(QUEUE, 0, -1)]
    assert {message["headers"]["task"] for message in waiting} <= {TASK}
    assert {message["content-type"] for message in waiting} <= {"application/json"}
    return [json.loads(base64.b64decode(message["body"]))[0][0] for message in reversed(waiting)]


async def test_a_bell_on_a_quiet_day_carries_one_reply(doorbell: Doorbell, valkey: Valkey) -> None:
    doorbell.start()
    rung: list[list[str]] = []
    for reply_id in ("reply_0", "reply_1", "reply_2"):
        rung.append([reply_id])
        doorbell.ring([reply_id])
        await eventually(lambda: len(bells(valkey)) == len(rung))
    assert bells(valkey) == rung
    assert doorbell.last_error is None


async def test_all_bells_go_through_one_client(
    doorbell: Doorbell, valkey: Valkey, monkeypatch: pytest.MonkeyPatch
) -> None:
    doorbell.start()
    doorbell.ring(["reply_0"])
    await eventually(lambda: bells(valkey))
    monkeypatch.delattr(Channel, "_create_client")
    doorbell.ring(["reply_1"])
    await eventually(lambda: bells(valkey) == [["reply_0"], ["reply_1"]])
    assert doorbell.last_error is None


async def test_a_doorbell_that_is_behind_rings_for_several_at_once(doorbell: Doorbell, valkey: Valkey) -> None:
    ids = [f"reply_{number}" for number in range(80)]
    for reply_id in ids:
        doorbell.ring([reply_id])
    doorbell.start()
    await eventually(lambda: len(bells(valkey)) == 3)
    assert bells(valkey) == [ids[:32], ids[32:64], ids[64:]]


async def test_somebody_knocks_before_a_bell_that_comes_alone_and_the_bell_follows(valkey: Valkey) -> None:
    """What comes so soon after a knock rings with the bell that follows, and nobody knocks again."""
    knocks: list[int] = []

    def knock(count: int) -> bool:
        knocks.append(count)
        return True

    with ringing(valkey, knock=knock) as doorbell:
        for ids in (["reply_0", "reply_1"], ["reply_2"]):
            doorbell.ring(ids)
        await eventually(lambda: bells(valkey))
        assert (knocks, bells(valkey)) == ([2], [["reply_0", "reply_1", "reply_2"]])
        await eventually(lambda: time.monotonic() > doorbell._rang_at + doorbell_module._GATHER_SECONDS)
        doorbell.ring(["reply_3"])
        assert knocks == [2, 1]


async def test_where_nobody_is_to_be_knocked_for_a_bell_rings_as_ever(valkey: Valkey) -> None:
    with ringing(valkey, knock=lambda _count: False) as doorbell:
        doorbell.ring(["reply_0"])
        await eventually(lambda: bells(valkey) == [["reply_0"]])
        assert doorbell._rang_at > 0


async def test_stopping_rings_what_is_left(doorbell: Doorbell, valkey: Valkey) -> None:
    doorbell.ring([f"reply_{number}" for number in range(40)])
    doorbell.start()
    doorbell.stop()
    assert [len(ids) for ids in bells(valkey)] == [32, 8]


def test_what_waits_is_bounded_and_the_oldest_are_dropped() -> None:
    doorbell = Doorbell(settings_with(redis_url=NO_REDIS))
    doorbell.ring([f"reply_{number}" for number in range(10_003)])
    assert len(doorbell._pending) == 10_000
    assert doorbell._pending[0] == "reply_3"


async def test_a_killed_redis_is_told_of_and_found_again(
    doorbell: Doorbell, valkey: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    doorbell.start()
    doorbell.ring(["reply_0"])
    await eventually(lambda: bells(valkey))
    valkey.kill()
    doorbell.ring(["reply_1"])
    await eventually(lambda: doorbell.last_error)
    assert doorbell.is_alive
    valkey.start()
    doorbell.ring(["reply_2"])
    await eventually(lambda: bells(valkey))
    await eventually(lambda: doorbell.last_error is None)
    assert bells(valkey) == [["reply_2"]]
    said = [record.getMessage() for record in caplog.records if record.name == "shared.messaging.doorbell"]
    assert len(said) == 2
    assert said[0].startswith("the doorbell does not ring")
    assert said[1] == "the doorbell rings again"


async def until_rung(doorbell: Doorbell, valkey: Valkey, reply_id: str) -> None:
    """Rings until it is heard: who gives up soon may do so while the machine is busy."""

    def is_heard() -> bool:
        doorbell.ring([reply_id])
        return any(reply_id in ids for ids in bells(valkey))

    await eventually(is_heard)


@pytest.mark.usefixtures("quick")
async def test_a_frozen_redis_holds_up_nobody_who_rings(doorbell: Doorbell, valkey: Valkey) -> None:
    doorbell.start()
    await until_rung(doorbell, valkey, "reply_0")
    with valkey.frozen():
        for _ in range(1_000):
            doorbell.ring(["reply_1"])
        await eventually(lambda: doorbell.last_error)
    assert doorbell.is_alive
    await until_rung(doorbell, valkey, "reply_2")


@pytest.mark.usefixtures("quick")
async def test_a_doorbell_ends_while_redis_is_frozen(doorbell: Doorbell, valkey: Valkey) -> None:
    doorbell.start()
    await until_rung(doorbell, valkey, "reply_0")
    with valkey.frozen():
        doorbell.ring(["reply_1"])
        await eventually(lambda: not doorbell._pending)
        doorbell.stop()
        await eventually(lambda: not doorbell.is_alive)


async def test_what_cannot_be_sent_does_not_end_the_doorbell(doorbell: Doorbell, valkey: Valkey) -> None:
    doorbell.start()
    doorbell.ring([object()])  # type: ignore[list-item]  # which JSON cannot carry
    await eventually(lambda: doorbell.last_error)
    doorbell.ring(["reply_1"])
    await eventually(lambda: bells(valkey) == [["reply_1"]])


async def test_a_doorbell_that_is_stopped_while_redis_is_gone_ends_in_good_order(
    doorbell: Doorbell, valkey: Valkey
) -> None:
    doorbell.start()
    doorbell.ring(["reply_0"])
    await eventually(lambda: bells(valkey))
    valkey.kill()
