"""One more candidate for the last turn."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from shared.clock import now_ms
from shared.store.candidates import MAX_CANDIDATES
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.integration.api.candidates import asked, post, selected
from tests.integration.api.gateway import LONG_SECONDS, Gateway, PlayedWorker, running_gateway, still_waits
from tests.integration.api.redis_side import until_rung

pytestmark = pytest.mark.anyio


async def test_a_regeneration_is_one_more_candidate_of_the_turn(
    gateway: Gateway, worker: PlayedWorker, shared_valkey: Valkey
) -> None:
    conversation_id, (reply_id,) = await asked(gateway, model="some-model", metadata={"a": "b"})
    await worker.answer_all("One")
    answer = await post(gateway, reply_id, "regenerate")
    assert answer.status_code == 202
    assert answer.headers["Location"] == f"/conversations/{conversation_id}/turns/1/"
    assert answer.headers["Retry-After"] == "1"
    turn = answer.json()
    assert turn == await gateway.get(answer.headers["Location"])
    first, second = turn["replies"]
    assert (first["id"], first["content"], first["selected"]) == (reply_id, "One", True)
    assert (second["candidate"], second["status"], second["selected"]) == (2, "queued", False)
    assert (second["model"], second["metadata"]) == ("some-model", {"a": "b"})
    await until_rung(shared_valkey, second["id"])
    await worker.answer_all("Two")
    assert await selected(gateway, conversation_id) == [2]


async def test_a_regeneration_may_be_different(gateway: Gateway, worker: PlayedWorker) -> None:
    _, (reply_id,) = await asked(gateway, parameters={"seed": 7, "top_p": 0.5})
    await worker.answer_all()
    answer = await post(
        gateway,
        reply_id,
        "regenerate",
        model="another",
        parameters={"top_p": 1, "temperature": None},
        metadata={"c": "d"},
        on_crash="fail",
        deadline_seconds=9.5,
    )
    new = answer.json()["replies"][1]
    assert (new["model"], new["metadata"]) == ("another", {"c": "d"})
    (claim,) = await worker.claim()
    assert (claim.model, dict(claim.parameters)) == ("another", {"seed": 7, "top_p": 1})
    assert 0 < claim.deadline_at - now_ms() <= 9500


async def test_a_regeneration_that_waits_shows_the_answer(gateway: Gateway, worker: PlayedWorker) -> None:
    _, (reply_id,) = await asked(gateway)
    await worker.answer_all("One")
    asking = asyncio.create_task(gateway.client.post(f"/replies/{reply_id}/regenerate/?wait=30"))
    (claim,) = await until(worker.claim)
    assert await still_waits(asking)
    await worker.complete(claim, "Two")
    answer = await asyncio.wait_for(asking, LONG_SECONDS)
    assert (answer.status_code, "Location" in answer.headers) == (200, False)
    assert [reply["content"] for reply in answer.json()["replies"]] == ["One", "Two"]


async def test_a_ninth_candidate_is_refused(gateway: Gateway) -> None:
    conversation_id, (reply_id, *_) = await asked(gateway, n=MAX_CANDIDATES - 1)
    assert (await post(gateway, reply_id, "regenerate")).status_code == 202
    before = await gateway.get(f"/conversations/{conversation_id}/")
    answer = await post(gateway, reply_id, "regenerate")
    assert (answer.status_code, answer.json()["code"]) == (422, "too_many_candidates")
    assert await gateway.get(f"/conversations/{conversation_id}/") == before


async def test_many_regenerations_at_once_stop_at_eight(gateway: Gateway) -> None:
    conversation_id, (reply_id,) = await asked(gateway)
    async with running_gateway() as other:
        answers = await asyncio.gather(
            *(post(gateway_, reply_id, "regenerate") for gateway_ in (gateway, other) for _ in range(8))
        )
    assert sorted(answer.status_code for answer in answers) == [202] * 7 + [422] * 9
    turn = await gateway.get(f"/conversations/{conversation_id}/turns/1/")
    assert [reply["candidate"] for reply in turn["replies"]] == list(range(1, MAX_CANDIDATES + 1))


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"n": 2}, "#/n"),
        ({"content": "Hello"}, "#/content"),
        ({"on_crash": "explode"}, "#/on_crash"),
        ({"on_busy": "reject"}, "#/on_busy"),
        ({"deadline_seconds": 0}, "#/deadline_seconds"),
        ({"parameters": {"temperature": 3}}, "#/parameters/temperature"),
        ({"model": ""}, "#/model"),
    ],
)
async def test_a_bad_regeneration_makes_nothing(gateway: Gateway, body: dict[str, Any], pointer: str) -> None:
    conversation_id, (reply_id,) = await asked(gateway)
    answer = await post(gateway, reply_id, "regenerate", **body)
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, pointer)
    assert len((await gateway.get(f"/conversations/{conversation_id}/turns/1/"))["replies"]) == 1
