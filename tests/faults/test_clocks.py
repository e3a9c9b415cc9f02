"""Clocks that are wrong by an hour, from the start or all of a sudden."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from sqlalchemy import Connection, func, select

from shared.database.models import attempts
from shared.reply_status import AttemptOutcome, ReplyError, ReplyStatus
from tests.faults.asking import Client
from tests.faults.installation import Installation
from tests.faults.judging import judge
from tests.faults.patience import until
from tests.fixtures.clock import Clock

pytestmark = pytest.mark.anyio

HOUR = 3600.0
# Further away than any step of the clock here.
LONG_DEADLINE = 3 * HOUR
REPLIES, TURNS = 12, 2

by_an_hour = pytest.mark.parametrize("seconds", [HOUR, -HOUR], ids=["ahead", "behind"])


@pytest.fixture
def clock(tmp_path: Path) -> Clock:
    return Clock(tmp_path)


async def _start(installation: Installation, clock: Clock) -> None:
    """All processes on one machine, whose clock this is."""
    for _ in range(2):
        installation.add_gateway(environment=clock.environment)
        # Little room, so that replies are queued and running when the clock is set.
        installation.add_worker(slots=3, environment=clock.environment)
    await installation.ready()


def _retried(connection: Connection) -> int:
    return int(
        connection.execute(select(func.count()).where(attempts.c.outcome == AttemptOutcome.RETRIED)).scalar_one()
    )


@pytest.mark.sqlite
@by_an_hour
@pytest.mark.parametrize("seed", [1, 2])
async def test_a_machine_whose_clock_is_set_under_load_goes_on(
    seconds: float, installation: Installation, client: Client, *, clock: Clock, chance: random.Random
) -> None:
    await _start(installation, clock)
    for _ in range(2):
        model = chance.choice(["demo-300ms", "demo-1000ms"])
        await client.ask_many(REPLIES, turns=TURNS, model=model, deadline_seconds=LONG_DEADLINE)
        clock.set_ahead(seconds)
        await client.ask_many(REPLIES, turns=TURNS, model=model, deadline_seconds=LONG_DEADLINE)
        clock.set_ahead(0)
    books = await judge(installation, client)
    assert "lost" not in books.outcomes, "nobody is taken for dead because of it"


@pytest.mark.sqlite
async def test_a_next_try_does_not_wait_for_a_clock_that_was_set_back(
    installation: Installation, client: Client, clock: Clock
) -> None:
    """Asked at the right time, failed while the clock was ahead, to be tried again within the minute."""
    patience = {"ASYNCCHAT_FIRST_BYTE_SECONDS": "3", "ASYNCCHAT_RETRY_BASE_SECONDS": "20"}
    installation.add_worker(environment={**clock.environment, **patience})
    installation.add_gateway(environment=clock.environment)
    await installation.ready()
    await client.ask_many(REPLIES, model="demo-silent-once", deadline_seconds=LONG_DEADLINE)
    await installation.model_has_been_asked(REPLIES)
    clock.set_ahead(HOUR)

    async def all_are_to_be_tried_again() -> bool:
        return await installation.database.read(_retried) == REPLIES

    await until(all_are_to_be_tried_again)
    clock.set_ahead(0)
    await judge(installation, client, seconds=120)


@pytest.mark.sqlite
async def test_a_deadline_is_an_instant_of_the_clock(installation: Installation, client: Client, clock: Clock) -> None:
    """What is due within ten minutes has ended once an hour has passed, as far as anybody here can tell."""
    await _start(installation, clock)
    await client.ask_many(REPLIES, turns=TURNS, model="demo-3000ms", deadline_seconds=600)
    clock.set_ahead(HOUR)
    books = await judge(installation, client, statuses={ReplyStatus.COMPLETED, ReplyStatus.FAILED})
    assert {row["error_code"] for row in books.replies} <= {None, ReplyError.DEADLINE_EXCEEDED}


@pytest.mark.postgresql
@by_an_hour
async def test_a_machine_whose_clock_is_wrong_follows_the_servers(
    seconds: float, installation: Installation, client: Client, clock: Clock
) -> None:
    """It accepts, answers and sweeps as the others do, with a deadline that is far nearer than its error."""
    clock.set_ahead(seconds)
    installation.add_gateway(environment=clock.environment)
    installation.add_worker(environment=clock.environment, slots=4)
    installation.add_worker(slots=4)
    await installation.start(gateways=1, workers=0)
    await client.ask_many(REPLIES, turns=TURNS, model="demo-300ms", deadline_seconds=120)
    books = await judge(installation, client)
    assert books.outcomes == {"completed": REPLIES * TURNS}


@pytest.mark.postgresql
@by_an_hour
async def test_a_machine_whose_clock_is_set_under_load_follows_the_server_again(
    seconds: float, installation: Installation, client: Client, clock: Clock
) -> None:
    """Until its next beat it is wrong, which must not cost more than that."""
    installation.add_gateway(environment=clock.environment)
    installation.add_worker(environment=clock.environment, slots=4)
    installation.add_worker(slots=4)
    await installation.start(gateways=1, workers=0)
    await client.ask_many(REPLIES, turns=TURNS, model="demo-300ms", deadline_seconds=2 * HOUR)
    clock.set_ahead(seconds)
    await client.ask_many(REPLIES, turns=TURNS, model="demo-300ms", deadline_seconds=2 * HOUR)
    books = await judge(installation, client)
    assert "lost" not in books.outcomes
