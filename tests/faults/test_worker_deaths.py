"""A worker is killed at each place where that could matter; others finish its work."""

from __future__ import annotations

import random

import pytest

from tests.faults.asking import Client
from tests.faults.installation import Installation
from tests.faults.judging import judge

pytestmark = pytest.mark.anyio

CONVERSATIONS, TURNS = 6, 2
# Where it dies, after how many times at most, and what the model does meanwhile.
PLACES = [
    ("worker.claim.before", 4, "demo-300ms"),
    ("worker.claim.committed", 4, "demo-300ms"),
    ("worker.text.received", 60, "demo-500ms"),
    ("worker.finish.before", 6, "demo-300ms"),
    ("worker.finish.committed", 6, "demo-300ms"),
    ("worker.requeue.committed", 6, "demo-fail-500-once"),
]
SEEDS = (1, 2, 3)
QUICK = {("worker.text.received", 1), ("worker.finish.committed", 1)}


@pytest.mark.parametrize(
    ("place", "most", "model", "seed"),
    [
        pytest.param(*place, seed, marks=[pytest.mark.quick] if (place[0], seed) in QUICK else [])
        for place in PLACES
        for seed in SEEDS
    ],
)
async def test_what_a_killed_worker_had_is_finished_by_another(
    place: str, most: int, model: str, *, installation: Installation, client: Client, chance: random.Random
) -> None:
    # With few slots, so that both have some of the work.
    victim = installation.add_worker(slots=4, fault=f"{place}:{chance.randint(1, most)}")
    installation.add_worker(slots=4)
    await installation.start(gateways=2, workers=0)
    await client.ask_many(CONVERSATIONS, turns=TURNS, model=model)
    books = await judge(installation, client)
    await victim.ended()
    assert victim.was_killed
    assert books.statuses == {"completed": CONVERSATIONS * TURNS}
