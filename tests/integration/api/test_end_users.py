"""All that there is of an end user: handed over, and erased with a receipt."""

from __future__ import annotations

import asyncio
from typing import Any
from urllib.parse import quote

import orjson
import pytest
from redis.asyncio import Redis

from shared import eraser
from shared.database.access import Database
from shared.messaging.reply_events import log_key
from shared.store import erasures, usage
from tests.fixtures.valkey import Valkey
from tests.fixtures.waiting import until
from tests.integration.api.gateway import Gateway, PlayedWorker, running_gateway
from tests.integration.api.redis_side import ear

pytestmark = pytest.mark.anyio

NOTHING = dict.fromkeys(
    ("conversations", "messages", "replies", "attempts", "idempotency_keys", "webhook_deliveries", "event_logs"), 0
)
# What clients may call an end user, and what must not be taken for it.
NAMES_AND_OTHERS = [
    ("ada", "Ada"),
    ("a/b", "a"),
    ("a/", "a"),
    ("/a", "a"),
    ("100%", "100"),
    ("%2F", "/"),
    ("a%2Fb", "a/b"),
    ("ada@example.com?x=1#y", "ada@example.com"),
    ("ü 💬", "u"),
    ("", " "),
    ("events/", "events"),
    ("x" * 255, "x" * 254),
    ("'; drop table conversations; --", "'"),
]


def path_of(end_user: str) -> str:
    return f"/end-users/{quote(end_user, safe='')}/"


def lines_of(content: bytes) -> list[dict[str, Any]]:
    return [orjson.loads(line) for line in content.splitlines()]


async def titles(gateway: Gateway) -> list[str]:
    return [item["title"] for item in (await gateway.get("/conversations/?order=asc"))["data"]]


@pytest.mark.parametrize(("name", "other"), NAMES_AND_OTHERS)
async def test_whatever_an_end_user_is_called_it_is_that_one(gateway: Gateway, name: str, other: str) -> None:
    await gateway.new_conversation(end_user=name, title="hers")
    await gateway.new_conversation(end_user=other, title="not hers")
    exported = await gateway.client.get(path_of(name))
    assert exported.status_code == 200
    assert [(line["title"], line["end_user"]) for line in lines_of(exported.content)] == [("hers", name)]
    without_slash = path_of(name).removesuffix("/")
    if name:
        assert lines_of((await gateway.client.get(without_slash)).content) == lines_of(exported.content)
    erased = await gateway.client.delete(path_of(name))
    assert (erased.status_code, erased.json()["erased"]["conversations"]) == (200, 1)
    assert await titles(gateway) == ["not hers"]


@pytest.mark.parametrize("method", ["GET", "DELETE"])
@pytest.mark.parametrize("path", ["nobody", "a/b", "a//", "%00", "%ff", "x" * 256, "%2e%2e/keys"])
async def test_of_whom_there_is_nothing_is_not_found(gateway: Gateway, method: str, path: str) -> None:
    await gateway.new_conversation(end_user="a")
    answer = await gateway.client.request(method, f"/end-users/{path}/")
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert len(await titles(gateway)) == 1


async def test_who_has_a_budget_and_nothing_else_is_erased_too(gateway: Gateway) -> None:
    budget = "/budgets/end-users/ada/"
    assert (await gateway.client.put(budget, json={"tokens_per_day": 5})).status_code in {200, 201}
    assert (await gateway.client.delete(path_of("ada"))).status_code == 200
    assert (await gateway.client.get(budget)).status_code == 404
    assert (await gateway.client.delete(path_of("ada"))).status_code == 404


async def test_all_is_handed_over(
    gateway: Gateway, worker: PlayedWorker, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("api.services.exports.ROWS_AT_ONCE", 2)
    assert (await gateway.client.post("/webhooks/", json={"url": "https://93.184.216.34/hook"})).status_code == 201
    for number in range(3):
        conversation_id = await gateway.new_conversation(end_user="ada", title=str(number))
        await gateway.ask(conversation_id, n=3, parameters={"temperature": 1})
    body = {"messages": [{"role": "user", "content": "Kept for a moment"}], "model": "m", "user": "ada"}
    waiting = asyncio.create_task(gateway.client.post("/v1/chat/completions", json=body))
    await until(lambda: _answer_all(worker, waiting))
    while await database.write(usage.count):
        pass
    lines = lines_of((await gateway.client.get(path_of("ada"))).content)
    kinds = [line["type"] for line in lines]
    assert [kinds.count(kind) for kind in ("conversation", "message", "reply", "attempt")] == [4, 14, 10, 10]
    assert [line["kind"] for line in lines if line["type"] == "conversation"] == ["chat"] * 3 + ["ephemeral"]
    assert {"Kept for a moment", "Hello, Ada"} <= {line["content"] for line in lines if line["type"] == "message"}
    assert [kinds.count("delivery"), sum(line["attempts"] for line in lines if line["type"] == "usage")] == [9, 10]
    assert {"temperature": 1} in [line["parameters"] for line in lines if line["type"] == "reply"]


async def _answer_all(worker: PlayedWorker, waiting: asyncio.Task[Any]) -> bool:
    await worker.answer_all()
    return waiting.done()


async def test_the_receipt_counts_what_was_erased_and_does_not_say_whose(
    gateway: Gateway, worker: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "CONVERSATIONS_AT_ONCE", 2)
    await gateway.client.post("/webhooks/", json={"url": "https://93.184.216.34/"})
    for number in range(5):
        conversation_id = await gateway.new_conversation(end_user="ada")
        path = f"/conversations/{conversation_id}/ask-message/"
        answer = await gateway.client.post(
            path, json={"content": "Hello", "n": 2}, headers={"Idempotency-Key": str(number)}
        )
        assert answer.status_code == 202
    await worker.answer_all()
    answer = await gateway.client.delete(path_of("ada"))
    receipt = answer.json()
    assert answer.status_code == 200
    assert receipt["erased"] == {
        "conversations": 5,
        "messages": 15,
        "replies": 10,
        "attempts": 10,
        "idempotency_keys": 5,
        "webhook_deliveries": 10,
        "event_logs": 0,
    }
    assert (receipt["status"], receipt["event_logs_gone_by"]) == ("completed", None)
    assert await gateway.get(f"/erasures/{receipt['id']}/") == receipt
    assert "ada" not in answer.text
    assert (await gateway.client.delete(path_of("ada"))).status_code == 404
    assert (await gateway.get("/replies/"))["data"] == []


async def test_live_replies_are_stopped_and_their_logs_erased(
    gateway: Gateway, worker: PlayedWorker, shared_valkey: Valkey
) -> None:
    conversation_id = await gateway.new_conversation(end_user="ada")
    await gateway.ask(conversation_id)
    (claim,) = await worker.claim()
    await gateway.ask(conversation_id)
    async with (
        running_gateway() as other,
        ear(shared_valkey) as heard,
        Redis.from_url(shared_valkey.client_url) as redis,
    ):
        await redis.xadd(log_key(claim.reply_id), {"k": "reply.delta", "d": "secret"}, id="2-1")
        waiting = asyncio.create_task(other.client.get(f"/replies/{claim.reply_id}/?wait=30"))
        receipt = (await gateway.client.delete(path_of("ada"))).json()
        assert await heard.next() == claim.reply_id
        assert (await waiting).status_code == 404
        assert receipt["erased"]["event_logs"] == 1
        assert receipt["event_logs_gone_by"] is not None, "its worker may be in the middle of a word"

        async def is_gone() -> bool:
            return not await redis.exists(log_key(claim.reply_id))

        await until(is_gone)
    assert await worker.claim() == []


async def test_without_redis_the_receipt_says_by_when_event_logs_are_gone(
    environment: pytest.MonkeyPatch, worker: PlayedWorker
) -> None:
    environment.setenv("REDIS_URL", "redis://127.0.0.1:1/0")
    async with running_gateway() as gateway:
        await gateway.ask(await gateway.new_conversation(end_user="ada"))
        await worker.answer_all()
        receipt = (await gateway.client.delete(path_of("ada"))).json()
        assert receipt["status"] == "completed"
        assert receipt["erased"]["event_logs"] == 0
        assert receipt["event_logs_gone_by"] > receipt["finished_at"]


async def test_an_erasure_that_takes_long_goes_on_behind_its_answer(
    environment: pytest.MonkeyPatch, monkeypatch: pytest.MonkeyPatch
) -> None:
    environment.setenv("ASYNCCHAT_MAX_WAIT_SECONDS", "0")
    monkeypatch.setattr(erasures, "CONVERSATIONS_AT_ONCE", 1)
    # Not sooner done than looked at.
    monkeypatch.setattr(eraser, "PAUSE_SECONDS", 1.0)
    async with running_gateway() as gateway:
        for _ in range(3):
            await gateway.new_conversation(end_user="ada")
        answer = await gateway.client.delete(path_of("ada"))
        assert (answer.status_code, answer.json()["status"]) == (202, "in_progress")
        monkeypatch.setattr(eraser, "PAUSE_SECONDS", 0.0)
        place = answer.headers["Location"]

        async def is_completed() -> bool:
            return bool((await gateway.get(place))["status"] == "completed")

        await until(is_completed)
        assert (await gateway.get(place))["erased"] == {**NOTHING, "conversations": 3}


async def test_two_that_ask_at_once_erase_everything_once(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(erasures, "CONVERSATIONS_AT_ONCE", 2)
    monkeypatch.setattr(eraser, "PAUSE_SECONDS", 0.0)
    for _ in range(12):
        await gateway.new_conversation(end_user="ada")
    async with running_gateway() as other:
        answers = await asyncio.gather(
            *(each.client.delete(path_of("ada")) for each in (gateway, other) for _ in range(2))
        )
    done = {answer.json()["id"]: answer.json()["erased"] for answer in answers if answer.status_code == 200}
    assert sum(erased["conversations"] for erased in done.values()) == 12
    assert {answer.status_code for answer in answers} <= {200, 404}
    assert await titles(gateway) == []


async def test_asks_that_arrive_meanwhile_are_erased_or_refused(
    gateway: Gateway, worker: PlayedWorker, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(erasures, "CONVERSATIONS_AT_ONCE", 1)
    ids = [await gateway.new_conversation(end_user="ada") for _ in range(6)]
    async with running_gateway() as other:
        asks = [other.client.post(f"/conversations/{each}/ask-message/", json={"content": "Hello"}) for each in ids * 3]
        erased, *answers = await asyncio.gather(gateway.client.delete(path_of("ada")), *asks)
    assert erased.status_code == 200
    assert {answer.status_code for answer in answers} <= {202, 404}
    assert await worker.claim() == []
    assert (await gateway.get("/replies/"))["data"] == []


async def test_no_log_names_the_end_user(gateway: Gateway, caplog: pytest.LogCaptureFixture) -> None:
    await gateway.new_conversation(end_user="ada@example.com")
    with caplog.at_level("INFO"):
        await gateway.client.get(path_of("ada@example.com"))
        await gateway.client.delete(path_of("ada@example.com"))
    told = [record.__dict__ for record in caplog.records if not record.name.startswith("http")]
    assert any(each.get("path") == "/end-users/*/" for each in told)
    assert "example.com" not in str(told)
