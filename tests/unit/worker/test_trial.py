"""A worker that tries a suspect takes nothing else until it is heard or over."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

from tests.fixtures.waiting import eventually
from worker import trial
from worker.trial import Trial

pytestmark = pytest.mark.anyio


@dataclass
class Stream:
    """What a trial wants to know of a stream."""

    is_empty: bool = True


async def test_it_is_on_until_the_model_is_heard() -> None:
    stream, on_trial = Stream(), Trial()
    task = asyncio.create_task(asyncio.Event().wait())
    assert not on_trial.is_on
    on_trial.begin(task, stream)
    assert on_trial.is_on
    stream.is_empty = False
    assert not on_trial.is_on
    task.cancel()


async def test_it_is_over_with_its_task() -> None:
    on_trial = Trial()
    task = asyncio.create_task(asyncio.sleep(0))
    on_trial.begin(task, Stream())
    await task
    assert not on_trial.is_on


async def test_a_silent_model_keeps_a_worker_for_a_while_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trial, "TRIAL_SECONDS", 0.05)
    on_trial = Trial()
    task = asyncio.create_task(asyncio.Event().wait())
    on_trial.begin(task, Stream())
    await eventually(lambda: not on_trial.is_on)
    task.cancel()
