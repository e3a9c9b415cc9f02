"""A worker whose event loop stands still while its threads live: it must not look alive."""

from __future__ import annotations

import signal

import pytest

from cli.child_commands import celery_worker_arguments, python_module
from shared.liveness.heartbeat import EXIT_STUCK
from tests.faults.asking import Client
from tests.faults.installation import Installation
from tests.faults.judging import judge

pytestmark = pytest.mark.anyio

REPLIES = 10


async def test_others_answer_what_it_had_and_it_ends_by_itself(installation: Installation, client: Client) -> None:
    command = python_module("tests.faults.stuck_worker", *celery_worker_arguments(50))
    stuck = installation.add_worker(command=command)
    await installation.start(gateways=1, workers=0)
    await client.ask_many(REPLIES, model="demo-silent-once")
    await installation.model_has_been_asked(REPLIES)
    stuck.process.send_signal(signal.SIGUSR2)
    await installation.start(gateways=0, workers=1)
    books = await judge(installation, client)
    assert books.outcomes == {"lost": REPLIES, "completed": REPLIES}
    await stuck.ended()
    assert stuck.process.returncode == EXIT_STUCK
    assert "the event loop has not turned" in stuck.said
