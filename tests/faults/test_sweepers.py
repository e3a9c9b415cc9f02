"""What sweepers do at once, and what is left when one is killed in the middle of it."""

from __future__ import annotations

import pytest

from tests.faults.asking import Client
from tests.faults.installation import Installation
from tests.faults.judging import judge
from tests.faults.patience import until

pytestmark = pytest.mark.anyio

REPLIES = 12
ANSWERS_THE_SECOND_TIME = "demo-silent-once"


async def test_a_sweeper_that_dies_after_its_take_over_leaves_work_that_others_find(
    installation: Installation, client: Client
) -> None:
    victim = installation.add_worker()
    dying = [installation.add_gateway(fault="sweeper.take_over.committed") for _ in range(2)]
    await installation.ready()
    await client.ask_many(REPLIES, model=ANSWERS_THE_SECOND_TIME)
    await installation.model_has_been_asked(REPLIES)
    victim.kill()

    async def one_has_died() -> bool:
        return any(not gateway.is_running for gateway in dying)

    await until(one_has_died)
    await installation.start(gateways=1, workers=1)
    books = await judge(installation, client)
    assert books.outcomes == {"lost": REPLIES, "completed": REPLIES}
    assert any(gateway.was_killed for gateway in dying)


@pytest.mark.quick
async def test_five_sweepers_at_once_move_each_reply_once(installation: Installation, client: Client) -> None:
    victim = installation.add_worker()
    await installation.start(gateways=2, workers=0)
    await client.ask_many(REPLIES, model=ANSWERS_THE_SECOND_TIME)
    await installation.model_has_been_asked(REPLIES)
    await installation.start(gateways=0, workers=3)
    victim.kill()
    books = await judge(installation, client)
    assert books.outcomes == {"lost": REPLIES, "completed": REPLIES}
    # Accepted, claimed, taken over, claimed.
    assert {row["token"] for row in books.replies} == {4}
