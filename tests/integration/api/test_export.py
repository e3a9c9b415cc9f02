"""A whole conversation as JSON lines."""

from __future__ import annotations

import orjson
import pytest

from api.services import exports
from shared.clock import now_ms
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT
from shared.errors import StorageUnavailable
from shared.store import conversations, replies, turns
from shared.store.turns import Said
from tests.integration.api.gateway import Gateway, PlayedWorker

pytestmark = pytest.mark.anyio


async def test_it_has_all_that_was_said_and_every_reply(gateway: Gateway, worker: PlayedWorker) -> None:
    conversation_id = await gateway.new_conversation(title="Sums", metadata={"a": "b"})
    await gateway.ask(conversation_id, "One?", n=2)
    await worker.answer_all("Two.\nThree 💬")
    await gateway.ask(conversation_id, "And?")
    answer = await gateway.client.get(f"/conversations/{conversation_id}/export/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/jsonl"
    assert answer.headers["Content-Disposition"] == f'attachment; filename="{conversation_id}.jsonl"'
    head, *rest = [orjson.loads(line) for line in answer.content.splitlines()]
    assert (head.pop("type"), head["id"], head["metadata"]) == ("conversation", conversation_id, {"a": "b"})
    said = [line for line in rest if line.pop("type") == "message"]
    assert said == (await gateway.get(f"/conversations/{conversation_id}/messages/"))["data"]
    told = [line for line in rest if "candidate" in line]
    assert told == (await gateway.get(f"/replies/?conversation_id={conversation_id}"))["data"]
    assert len(rest) == len(said) + len(told) == 4 + 3


async def test_a_long_one_comes_whole(gateway: Gateway, database: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exports, "ROWS_AT_ONCE", 10)
    conversation_id = await gateway.new_conversation()
    said = [Said(f"Number {number}") for number in range(40)]
    await database.write(turns.append, DEFAULT_TENANT, conversation_id, said=said, now=now_ms())
    for _ in range(11):
        await gateway.ask(conversation_id)
    answer = await gateway.client.get(f"/conversations/{conversation_id}/export/")
    lines = [orjson.loads(line) for line in answer.content.splitlines()]
    assert [line["type"] for line in lines] == ["conversation", *["message"] * 51, *["reply"] * 11]
    assert [line["content"] for line in lines[1:41]] == [each.content for each in said]


async def test_what_is_not_there_cannot_be_exported(gateway: Gateway) -> None:
    for unknown in ("conv_01m86nzqqk652jp7wdnyyebm22", "conv_x"):
        assert (await gateway.client.get(f"/conversations/{unknown}/export/")).status_code == 404


async def test_one_that_is_deleted_meanwhile_ends_by_saying_so(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exports, "ROWS_AT_ONCE", 1)
    conversation_id = await gateway.new_conversation()
    for _ in range(3):
        await gateway.ask(conversation_id)
    head = await gateway.resources.database.read(conversations.get, DEFAULT_TENANT, conversation_id)
    assert head is not None
    lines = exports.told_to_the_end(exports.conversation_lines(gateway.resources, DEFAULT_TENANT, head))
    assert b'"conversation"' in await anext(lines)
    assert b'"message"' in await anext(lines)
    assert (await gateway.client.delete(f"/conversations/{conversation_id}/")).status_code == 204
    *_, last = [orjson.loads(line) async for line in lines]
    assert (last["type"], last["code"]) == ("error", "not_found")
    assert "Traceback" not in caplog.text


async def test_one_that_the_database_breaks_off_ends_by_saying_so(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    conversation_id = await gateway.new_conversation()

    def fail(*_arguments: object, **_named: object) -> None:
        raise StorageUnavailable("the database failed: boom")

    monkeypatch.setattr(replies, "page", fail)
    answer = await gateway.client.get(f"/conversations/{conversation_id}/export/")
    assert answer.status_code == 200
    *_, last = [orjson.loads(line) for line in answer.content.splitlines()]
    assert (last["type"], last["code"]) == ("error", "storage_unavailable")
