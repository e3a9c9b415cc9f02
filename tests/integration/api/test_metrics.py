"""What a gateway counts, and who may read it."""

from __future__ import annotations

import math

import pytest

from api import metrics
from api.services.backlog import Backlog
from shared.database.access import Database
from shared.reply_status import ReplyStatus
from tests.fixtures.scrape import Scrape
from tests.integration.api.gateway import Gateway, PlayedWorker, running_gateway

pytestmark = pytest.mark.anyio

TOKEN = "scrape-me-7731"


async def _scrape(gateway: Gateway) -> Scrape:
    answer = await gateway.client.get("/metrics")
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"].startswith("text/plain; version=0.0.4")
    return Scrape(answer.text)


async def test_an_ask_counts_with_its_route_and_what_it_left_in_the_database(
    gateway: Gateway, worker: PlayedWorker
) -> None:
    before = await _scrape(gateway)
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id, n=2)
    gateway.resources.backlog.forget()
    after = await _scrape(gateway)

    def grown(name: str, **labels: str) -> float:
        return after.value(name, **labels) - before.value(name, **labels)

    route = "/conversations/{conversation_id}/ask-message/"
    assert grown("asyncchat_http_requests_total", method="POST", route=route, status="202") == 1
    assert grown("asyncchat_http_request_seconds_count", route=route, held="no") == 1
    assert grown("asyncchat_messages_accepted_total") == 1
    assert grown("asyncchat_replies_accepted_total", by="ask") == 2
    assert grown("asyncchat_database_write_seconds_count") >= 2
    assert after.value("asyncchat_live_replies", status="queued") == 2
    assert after.value("asyncchat_oldest_due_reply_age_seconds") > 0
    assert after.value("asyncchat_workers") == 1
    del worker


async def test_who_asked_to_wait_is_held_and_a_cancelled_reply_has_finished(gateway: Gateway) -> None:
    before = await _scrape(gateway)
    turn = await gateway.ask(await gateway.new_conversation())
    reply_id = turn["replies"][0]["id"]
    assert (await gateway.client.get(f"/replies/{reply_id}/?wait=0.01")).status_code == 200
    await gateway.client.post(f"/replies/{reply_id}/cancel/")
    after = await _scrape(gateway)
    held = {"route": "/replies/{reply_id}/", "held": "yes"}
    name = "asyncchat_http_request_seconds_count"
    assert after.value(name, **held) - before.value(name, **held) == 1
    ended = {"status": "cancelled", "code": ""}
    name = "asyncchat_replies_finished_total"
    assert after.value(name, **ended) - before.value(name, **ended) == 1


async def test_nothing_that_a_client_chose_becomes_a_label(gateway: Gateway) -> None:
    strange = "xylophone-mango-7731"
    # Of other tests of this process, whose upstreams have names of their own.
    before = set((await _scrape(gateway)).text.lower().splitlines())
    conversation_id = await gateway.new_conversation(title=strange, end_user=strange, model=strange)
    turn = await gateway.ask(conversation_id, strange)
    for method, path in (
        ("GET", f"/{strange}"),
        ("GET", f"/conversations/{strange}/?q={strange}"),
        (strange.upper(), "/conversations/"),
        ("POST", f"/replies/{strange}/cancel/"),
    ):
        assert (await gateway.client.request(method, path)).status_code >= 400
    said = "\n".join(set((await _scrape(gateway)).text.lower().splitlines()) - before)
    for words in (strange, conversation_id, turn["replies"][0]["id"], "default"):
        assert words not in said
    assert 'method="other"' in said


async def test_with_a_token_it_takes_the_token_under_any_name_and_nothing_else(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ASYNCCHAT_METRICS_TOKEN", TOKEN)
    async with running_gateway() as gateway:
        for headers in ({}, {"Authorization": "Bearer wrong-7731"}, {"Authorization": TOKEN}):
            answer = await gateway.client.get("/metrics", headers=headers)
            assert (answer.status_code, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        good = {"Authorization": f"Bearer {TOKEN}"}
        for host in ("localhost", "api:8000"):
            answer = await gateway.client.get("/metrics", headers={**good, "Host": host})
            assert answer.status_code == 200
            assert TOKEN not in answer.text
        # It is good for nothing else.
        assert (await gateway.client.get("/models/", headers={**good, "Host": "api:8000"})).status_code == 403


async def test_no_tenants_key_is_good_for_them(environment: pytest.MonkeyPatch) -> None:
    async with running_gateway() as gateway:
        made = await gateway.client.post("/keys/", json={"name": "operator", "scopes": ["admin"]})
    environment.setenv("ASYNCCHAT_AUTH", "keys")
    async with running_gateway() as gateway:
        headers = {"Authorization": f"Bearer {made.json()['secret']}"}
        assert (await gateway.client.get("/keys/", headers=headers)).status_code == 200
        refused = await gateway.client.get("/metrics", headers=headers)
        assert refused.status_code == 403
        assert "set ASYNCCHAT_METRICS_TOKEN" in refused.json()["detail"]


async def test_an_open_gateway_shows_them_to_whom_it_serves(gateway: Gateway) -> None:
    assert (await gateway.client.get("/metrics")).status_code == 200
    assert (await gateway.client.get("/metrics", headers={"Host": "evil.example"})).status_code == 403


async def test_a_database_that_does_not_answer_leaves_no_old_numbers(database: Database) -> None:
    backlog = Backlog(database)
    await backlog.measure()
    assert metrics.LIVE_REPLIES(ReplyStatus.QUEUED)._value.get() == 0
    await database.write(lambda connection: connection.exec_driver_sql("alter table replies rename to gone"))
    backlog.forget()
    await backlog.measure()
    assert math.isnan(metrics.LIVE_REPLIES(ReplyStatus.QUEUED)._value.get())


async def test_scrapes_in_a_row_read_the_database_once(gateway: Gateway) -> None:
    async def reads() -> float:
        return (await _scrape(gateway)).value("asyncchat_live_replies", status="queued")

    gateway.resources.backlog.forget()
    assert await reads() == 0
    await gateway.ask(await gateway.new_conversation())
    assert await reads() == 0, "as it was a moment ago"
