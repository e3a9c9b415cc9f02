"""Deliveries of webhooks by a worker, to receivers that behave and to those that do not."""

from __future__ import annotations

import asyncio
import os
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from openai import OpenAI
from sqlalchemy import Connection
from standardwebhooks import Webhook

from cli.ports import free_port
from shared.clock import now_ms
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT
from shared.store import delivery_claims
from shared.store import webhook_deliveries as delivery_rows
from tests.fixtures.chats import Chats
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.pages import programs
from tests.fixtures.receiver import OK, Behaviour, answers, floods, hangs, receiver, resets, sends
from tests.fixtures.waiting import until
from tests.fixtures.workers import running_worker
from tests.integration.worker.hooks import HOME, NO_MODEL, Hooks
from worker import deliveries, webhook_client

pytestmark = pytest.mark.anyio


PAGE = Path(__file__).parents[3] / "docs" / "api.md"


async def test_whoever_listens_is_told_of_an_answer_at_once_and_can_tell_that_it_is_ours(
    database_url: str, chats: Chats, demo: DemoProcess, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(deliveries, "TICK_SECONDS", 600.0)
    async with receiver() as there:
        endpoint = await hooks.listen(there.url, "reply.completed", "response.completed")
        with running_worker(database_url, base_url=demo.base_url, webhook_networks=HOME):
            reply_id = await chats.ask_anew(model="demo-fast")
            heard = {each.said["type"]: each for each in await there.until_heard(2)}
            for each in heard.values():
                await hooks.until_ended(each.id)
    ours, openais = heard["reply.completed"], heard["response.completed"]
    said = Webhook(endpoint["secret"]).verify(ours.body, ours.headers)
    assert (said["id"], said["data"]["reply"]["id"]) == (ours.id, reply_id)
    assert said["data"]["reply"]["content"] == (await chats.reply(reply_id))["content"]
    event = OpenAI(api_key="none").webhooks.unwrap(openais.body, openais.headers, secret=endpoint["secret"])
    assert event.type == "response.completed"
    assert event.data.id == reply_id.replace("reply_", "resp_")
    assert event.id == openais.id
    assert (await hooks.delivery(ours.id))["status"] == "delivered"


@pytest.mark.usefixtures("soon_again")
async def test_what_did_not_come_through_comes_again_under_the_same_id(database_url: str, hooks: Hooks) -> None:
    async with receiver(answers("500 Oops", body=b"boom"), resets, OK) as there:
        endpoint = await hooks.listen(there.url)
        delivery_id = await hooks.add(endpoint)
        with running_worker(database_url, base_url=NO_MODEL, webhook_networks=HOME):
            row = await hooks.until_ended(delivery_id)
    assert (row["status"], row["tries"], row["error"]) == ("delivered", 3, None)
    assert [each.id for each in there.heard] == [delivery_id] * 3
    assert len({each.body for each in there.heard}) == 1
    for each in there.heard:
        Webhook(endpoint["secret"]).verify(each.body, each.headers)


BAD: dict[str, tuple[Behaviour, int | None, str]] = {
    "says no": (answers("500 Oops", body=b"\0boom\xff"), 500, "answered with HTTP 500."),
    "is elsewhere": (answers("302 Found", "Location: http://localhost:{port}/"), 302, "redirect (HTTP 302)"),
    "breaks off": (resets, None, "closed the connection without an answer"),
    "says nothing": (sends(b""), None, "closed the connection without an answer"),
    "hangs": (hangs, None, "did not answer within"),
    "is no web server": (sends(b"+OK POP3 ready\r\n"), None, "not HTTP"),
    "has endless headers": (sends(b"HTTP/1.1 200 OK\r\n" + b"X: " + b"a" * 100_000), None, "not HTTP"),
}


@pytest.mark.usefixtures("one_try")
@pytest.mark.parametrize("name", BAD)
async def test_a_receiver_that_does_not_take_it_is_told_of_in_a_sentence(
    name: str, database_url: str, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    behaviour, status, sentence = BAD[name]
    monkeypatch.setattr(webhook_client, "SEND_SECONDS", 0.3 if behaviour is hangs else 10.0)
    async with receiver(behaviour) as there:
        delivery_id = await hooks.add(await hooks.listen(there.url))
        with running_worker(database_url, base_url=NO_MODEL, webhook_networks=HOME):
            row = await hooks.until_ended(delivery_id)
    assert (row["status"], row["response_status"]) == ("failed", status)
    assert sentence in row["error"]
    assert there.connections == 1, "a redirect is not followed"
    if name == "says no":
        assert row["response_text"] == "boom\N{REPLACEMENT CHARACTER}"


async def test_of_a_long_answer_only_the_beginning_is_read(database_url: str, hooks: Hooks) -> None:
    async with receiver(floods) as there:
        delivery_id = await hooks.add(await hooks.listen(there.url))
        with running_worker(database_url, base_url=NO_MODEL, webhook_networks=HOME):
            row = await hooks.until_ended(delivery_id)
    assert (row["status"], row["response_status"], len(row["response_text"])) == ("delivered", 200, 500)


async def test_a_receiver_that_is_gone_is_told_no_more(
    database_url: str, hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    async with receiver(answers("410 Gone")) as there:
        endpoint = await hooks.listen(there.url)
        delivery_id = await hooks.add(endpoint)
        with running_worker(database_url, base_url=NO_MODEL, webhook_networks=HOME):
            row = await hooks.until_ended(delivery_id)
    found = await hooks.endpoint(endpoint)
    assert (row["status"], found["enabled"], found["disabled_because"]) == ("failed", False, "gone")
    assert "switched an endpoint off: gone" in caplog.text


async def test_a_receiver_that_asks_for_time_gets_it(database_url: str, hooks: Hooks) -> None:
    async with receiver(answers("503 Busy", "Retry-After: 3600")) as there:
        delivery_id = await hooks.add(await hooks.listen(there.url))
        began = now_ms()
        with running_worker(database_url, base_url=NO_MODEL, webhook_networks=HOME):
            row = await hooks.until(delivery_id, lambda row: row["error"])
    assert row["status"] == "pending"
    assert 3600 <= (row["available_at"] - began) / 1000 <= 3660


@pytest.mark.usefixtures("soon_again")
async def test_a_test_is_tried_once(database_url: str, hooks: Hooks) -> None:
    async with receiver(answers("500 Oops")) as there:
        delivery_id = await hooks.add(await hooks.listen(there.url), event="webhook.test")
        with running_worker(database_url, base_url=NO_MODEL, webhook_networks=HOME):
            row = await hooks.until_ended(delivery_id)
    assert (row["status"], row["tries"]) == ("failed", 1)


async def test_a_receiver_that_hangs_delays_no_other(
    database_url: str, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(webhook_client, "SEND_SECONDS", 600.0)
    async with receiver(hangs) as slow, receiver() as quick:
        stuck = await hooks.listen(slow.url)
        for _ in range(8):
            await hooks.add(stuck)
        other = await hooks.listen(quick.url)
        with running_worker(database_url, base_url=NO_MODEL, webhook_networks=HOME, webhook_slots=4):
            await slow.until_heard(1)
            await hooks.until_ended(await hooks.add(other))
            assert slow.connections == 1, "of one endpoint no more than its share is under way"


async def test_what_a_stopping_worker_is_sending_is_sent_by_the_next(database_url: str, hooks: Hooks) -> None:
    async with receiver(hangs, OK) as there:
        delivery_id = await hooks.add(await hooks.listen(there.url))
        with running_worker(database_url, base_url=NO_MODEL, webhook_networks=HOME):
            await there.until_heard(1)
        row = await hooks.delivery(delivery_id)
        assert (row["status"], row["tries"], row["worker_id"]) == ("pending", 0, None)
        with running_worker(database_url, base_url=NO_MODEL, webhook_networks=HOME):
            row = await hooks.until_ended(delivery_id)
    assert (row["status"], row["tries"]) == ("delivered", 1)
    assert [each.id for each in there.heard] == [delivery_id] * 2


async def test_a_delivery_that_is_held_and_that_nobody_works_on_is_sent(
    database: Database, database_url: str, hooks: Hooks, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As after a claim whose commit had an unknown outcome."""
    monkeypatch.setattr(deliveries, "TICK_SECONDS", 0.05)
    async with receiver() as there:
        endpoint = await hooks.listen(there.url)
        with running_worker(database_url, base_url=NO_MODEL, webhook_networks=HOME) as process:
            process_id = process._heartbeat.process_id

            def add_and_claim(connection: Connection) -> str:
                delivery_id = delivery_rows.add_test(connection, DEFAULT_TENANT, endpoint["id"], now=now_ms())
                delivery_claims.claim(connection, process_id, rooms={endpoint["id"]: 1}, now=now_ms())
                return delivery_id

            row = await hooks.until_ended(await database.write(add_and_claim))
    assert (row["status"], row["tries"]) == ("delivered", 1)


async def test_the_receiver_in_the_documentation_receives(database_url: str, hooks: Hooks, tmp_path: Path) -> None:
    (program,) = programs(PAGE, "python")
    port = free_port()
    path = tmp_path / "receiver.py"
    path.write_text(program.replace("9000", str(port)))
    endpoint = await hooks.listen(f"http://127.0.0.1:{port}/")
    environment = {**os.environ, "WEBHOOK_SECRET": endpoint["secret"]}
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, str(path)), env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    )
    assert process.stdout is not None
    try:
        await until(partial(listens, port))
        delivery_id = await hooks.add(endpoint)
        with running_worker(database_url, base_url=NO_MODEL, webhook_networks=HOME):
            row = await hooks.until_ended(delivery_id)
            said = await process.stdout.readline()
    finally:
        process.kill()
        await process.wait()
    assert row["status"] == "delivered"
    assert said.startswith(b"webhook.test {")


async def listens(port: int) -> bool:
    """Whether somebody answers there."""
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except ConnectionRefusedError:
        return False
    writer.close()
    return True
