"""`GET /operations/`: what is under way and how it went, for whoever looks after the server."""

from __future__ import annotations

from typing import Any

import pytest
from sqlalchemy import Connection, update

from api.services import operations
from api.services.keys import make
from shared.api_keys import Scope
from shared.clock import now_ms
from shared.database.access import Database
from shared.database.models import attempts, replies
from shared.ending import Ending, Sent, Usage
from shared.reply_status import ReplyStatus
from shared.store import moves
from tests.integration.api.gateway import Gateway, PlayedWorker, running_gateway

pytestmark = pytest.mark.anyio


async def read(gateway: Gateway, query: str = "") -> dict[str, Any]:
    """As it is now."""
    gateway.resources.operations.forget()
    return await gateway.get(f"/operations/{query}")


async def test_it_tells_what_each_live_reply_waits_for(gateway: Gateway, worker: PlayedWorker) -> None:
    later = await gateway.ask(await gateway.new_conversation())
    (claim,) = await worker.claim()
    await worker.put_back(claim, next_at=now_ms() + 60_000)
    running = await gateway.ask(await gateway.new_conversation())
    await worker.claim()
    blocked = await gateway.ask(running["conversation_id"])
    due = await gateway.ask(await gateway.new_conversation())
    found = await read(gateway)
    assert found["queue"] == {"in_progress": 1, "queued": 3, "waiting_for": {"worker": 1, "turn": 1, "retry": 1}}
    assert found["all_tenants"] == {"queued": 3, "in_progress": 1}
    assert [(each["id"], each["queue"]["waiting_for"]) for each in found["live"]] == [
        (running["replies"][0]["id"], None),
        (later["replies"][0]["id"], "retry"),
        (blocked["replies"][0]["id"], "turn"),
        (due["replies"][0]["id"], "worker"),
    ]
    assert found["live"][0]["worker"].startswith("worker_")
    assert found["live"][2]["queue"]["turns_ahead"] == 1


async def test_a_failed_reply_is_shown_with_its_attempts_until_it_is_tried_again(
    gateway: Gateway, worker: PlayedWorker
) -> None:
    turn = await gateway.ask(await gateway.new_conversation(), "only for its owner")
    (claim,) = await worker.claim()
    await worker.fail(claim)
    found = await read(gateway)
    (shown,) = found["failed"]
    assert (shown["id"], shown["error"]["code"]) == (turn["replies"][0]["id"], "rate_limited")
    assert [(each["attempt"], each["error"]["code"]) for each in shown["attempts"]] == [(1, "rate_limited")]
    assert found["whole"]["failures"] == found["whole"]["attempt_failures"] == {"rate_limited": 1}
    assert "only for its owner" not in str(found)
    await gateway.client.post(f"/replies/{shown['id']}/retry/")
    found = await read(gateway)
    assert found["failed"] == []
    assert [each["id"] for each in found["live"]] == [shown["id"]]
    assert found["whole"]["attempt_failures"] == {"rate_limited": 1}, "that try has failed all the same"


async def test_the_figures_are_of_the_minute_in_which_something_happened(
    gateway: Gateway, worker: PlayedWorker, database: Database
) -> None:
    await gateway.ask(await gateway.new_conversation())
    (claim,) = await worker.claim()
    ending, sent = Ending(ReplyStatus.COMPLETED, "Hello", Usage(3, 5)), Sent(lengths=[5], first_token_ms=250)
    await database.write(moves.finish, claim, ending, now=now_ms(), sent=sent)
    assert (await gateway.get(f"/replies/{claim.reply_id}/attempts/"))["data"][0]["first_token_seconds"] == 0.25
    now = now_ms() // 60_000 * 60_000

    def put_back_in_time(connection: Connection) -> None:
        """Asked for three minutes ago, begun half a second later, ended a minute after that."""
        connection.execute(
            update(replies).values(created_at=now - 180_000, started_at=now - 179_500, finished_at=now - 119_500)
        )
        connection.execute(update(attempts).values(started_at=now - 179_500, ended_at=now - 119_500))

    await database.write(put_back_in_time)
    found = await read(gateway, "?minutes=10")
    minutes = found["minutes"]
    assert (len(minutes), minutes[0]["at"], found["complete_from"]) == (10, found["from"], found["from"])
    when = {name: [index for index, each in enumerate(minutes) if each[name]] for name in ("accepted", "total_seconds")}
    (accepted,), (ended,) = when["accepted"], when["total_seconds"]
    assert ended == accepted + 1
    assert minutes[accepted]["queue_wait_seconds"] == {"p50": 0.5, "p95": 0.5}
    assert minutes[ended]["first_token_seconds"] == found["whole"]["first_token_seconds"] == {"p50": 0.25, "p95": 0.25}
    assert minutes[ended]["total_seconds"] == {"p50": 60.5, "p95": 60.5}
    assert minutes[ended]["ended"] == {"completed": 1, "incomplete": 0, "failed": 0, "cancelled": 0}
    found = await read(gateway, "?minutes=1")
    assert (len(found["minutes"]), found["whole"]["accepted"], found["whole"]["ended"]["completed"]) == (1, 0, 0)


async def test_of_too_many_replies_the_newest_are_told(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(operations, "MAX_ACCEPTED", 2)
    conversation_id = await gateway.new_conversation()
    for _ in range(3):
        await gateway.ask(conversation_id)
    found = await read(gateway)
    assert found["whole"]["accepted"] == 2
    assert found["complete_from"] > found["from"]


async def test_those_who_look_in_a_row_see_what_was_looked_up_once(gateway: Gateway) -> None:
    before = await read(gateway)
    await gateway.ask(await gateway.new_conversation())
    assert (await gateway.get("/operations/"))["queue"] == before["queue"], "as it was a moment ago"
    assert (await read(gateway))["queue"]["queued"] == 1


@pytest.mark.parametrize("query", ["minutes=0", "minutes=61", "minutes=x", "minutes=1e9"])
async def test_a_time_that_cannot_be_shown_is_refused(gateway: Gateway, query: str) -> None:
    answer = await gateway.client.get(f"/operations/?{query}")
    assert (answer.status_code, answer.json()["errors"][0]["pointer"]) == (422, "?minutes")


async def test_an_admin_sees_the_replies_of_its_own_tenant(
    environment: pytest.MonkeyPatch, worker: PlayedWorker, database: Database
) -> None:
    async def key(tenant: str, scope: Scope) -> dict[str, str]:
        made = await database.write(make, tenant, name="test", scopes={scope}, expires_at=None, pepper="")
        return {"Authorization": f"Bearer {made.secret}"}

    mine, others = await key("mine", Scope.ADMIN), await key("others", Scope.ADMIN)
    environment.setenv("ASYNCCHAT_AUTH", "keys")
    async with running_gateway() as gateway:
        client = gateway.client
        created = await client.post("/conversations/", json={"message": {"content": "Hello"}}, headers=mine)
        (claim,) = await worker.claim()
        await worker.fail(claim)
        await client.post(
            f"/conversations/{created.json()['id']}/ask-message/", json={"content": "Again"}, headers=mine
        )
        own = (await client.get("/operations/", headers=mine)).json()
        assert (len(own["live"]), len(own["failed"]), own["whole"]["accepted"]) == (1, 1, 2)
        found = (await client.get("/operations/", headers=others)).json()
        assert found["live"] == found["failed"] == []
        assert found["queue"]["queued"] == found["whole"]["accepted"] == 0
        assert found["whole"]["failures"] == found["whole"]["attempt_failures"] == {}
        # How much there is in all, every admin may know, as from /workers/.
        assert found["all_tenants"] == {"queued": 1, "in_progress": 0}
        narrow = await key("mine", Scope.READ)
        assert (await client.get("/operations/", headers=narrow)).status_code == 403
