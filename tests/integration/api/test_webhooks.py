"""Webhooks over HTTP: endpoints, their secrets, and what was sent to them."""

from __future__ import annotations

import base64
from typing import Any

import pytest

from api.schemas.webhooks import Delivery, DeliveryPage, NewWebhook, SentDelivery, Webhook, WebhookPage
from api.services import webhooks as services
from shared.clock import now_ms
from shared.database.access import Database
from shared.ids import new_process_id
from shared.store import delivery_claims, workers
from shared.store.delivery_claims import Trial
from tests.integration.api.gateway import Gateway, PlayedWorker

pytestmark = pytest.mark.anyio

URL = "https://93.184.216.34/hook"


async def make(gateway: Gateway, **body: Any) -> dict[str, Any]:
    """A new webhook."""
    answer = await gateway.client.post("/webhooks/", json={"url": URL, **body})
    assert answer.status_code == 201, answer.text
    webhook: dict[str, Any] = answer.json()
    return webhook


async def deliveries(gateway: Gateway, webhook: dict[str, Any], query: str = "") -> list[dict[str, Any]]:
    """What was and is to be sent to it, newest first."""
    page = await gateway.get(f"/webhooks/{webhook['id']}/deliveries/{query}")
    DeliveryPage.model_validate(page)
    data: list[dict[str, Any]] = page["data"]
    return data


async def test_its_secret_is_shown_when_it_is_made_and_nowhere_else(gateway: Gateway) -> None:
    answer = await gateway.client.post("/webhooks/", json={"url": URL, "description": "The shop"})
    made = answer.json()
    NewWebhook.model_validate(made)
    assert made["events"] == ["reply.completed", "reply.incomplete", "reply.failed", "reply.cancelled"]
    assert (made["enabled"], made["disabled_because"], made["failing_since"]) == (True, None, None)
    assert len(base64.b64decode(made["secret"].removeprefix("whsec_"))) == 32
    path = answer.headers["Location"]
    shown = await gateway.get(path)
    Webhook.model_validate(shown)
    page = await gateway.get("/webhooks/")
    WebhookPage.model_validate(page)
    changed = (await gateway.client.patch(path, json={"description": None})).json()
    assert shown == {name: value for name, value in made.items() if name != "secret"} == page["data"][0]
    assert made["secret"] not in str([shown, page, changed])


async def test_pages_go_from_the_newest_on(gateway: Gateway) -> None:
    made = [(await make(gateway))["id"] for _ in range(3)]
    first = await gateway.client.get("/webhooks/?limit=2")
    second = await gateway.get(first.headers["Link"].partition(">")[0].lstrip("<"))
    assert [each["id"] for each in [*first.json()["data"], *second["data"]]] == made[::-1]
    assert (await gateway.client.get("/webhooks/?after=xyz")).json()["code"] == "invalid_cursor"


async def test_a_repeat_with_its_key_makes_no_second_one(gateway: Gateway) -> None:
    headers = {"Idempotency-Key": "once"}
    first, second = [
        (await gateway.client.post("/webhooks/", json={"url": URL}, headers=headers)).json() for _ in range(2)
    ]
    assert first == second
    assert len((await gateway.get("/webhooks/"))["data"]) == 1
    other = await gateway.client.post("/webhooks/", json={"url": URL + "2"}, headers=headers)
    assert other.json()["code"] == "idempotency_mismatch"


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({}, "#/url"),
        ({"url": "https://127.0.0.1/"}, "#/url"),
        ({"url": "http://127.1/"}, "#/url"),
        ({"url": "https://169.254.169.254/"}, "#/url"),
        ({"url": "https://localhost/"}, "#/url"),
        ({"url": "http://93.184.216.34/"}, "#/url"),
        ({"url": "https://u:p@93.184.216.34/"}, "#/url"),
        ({"url": "https://receiver.invalid/"}, "#/url"),
        ({"url": "https://93.184.216.34/" + "a" * 2100}, "#/url"),
        ({"url": 7}, "#/url"),
        ({"url": URL, "events": []}, "#/events"),
        ({"url": URL, "events": ["reply.started"]}, "#/events/0"),
        ({"url": URL, "events": "reply.completed"}, "#/events"),
        ({"url": URL, "description": "x" * 501}, "#/description"),
        ({"url": URL, "enabled": "yes"}, "#/enabled"),
        ({"url": URL, "secret": "whsec_mine"}, "#/secret"),
    ],
)
async def test_what_cannot_be_is_refused_with_its_place(gateway: Gateway, body: dict[str, Any], pointer: str) -> None:
    answer = await gateway.client.post("/webhooks/", json=body)
    assert answer.status_code == 422, answer.text
    assert [each["pointer"] for each in answer.json()["errors"]] == [pointer]
    webhook = await make(gateway)
    if body:
        answer = await gateway.client.patch(f"/webhooks/{webhook['id']}/", json=body)
        assert answer.status_code == 422, answer.text
    assert (await gateway.get(f"/webhooks/{webhook['id']}/"))["url"] == URL


async def test_there_are_so_many_and_no_more(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(services, "MAX_ENDPOINTS", 2)
    await make(gateway)
    await make(gateway)
    answer = await gateway.client.post("/webhooks/", json={"url": URL})
    assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_what_is_changed_is_changed_and_the_rest_stays(gateway: Gateway) -> None:
    webhook = await make(gateway)
    path = f"/webhooks/{webhook['id']}/"
    assert (await gateway.client.patch(path, json={})).json()["updated_at"] == webhook["updated_at"]
    off = (await gateway.client.patch(path, json={"enabled": False, "events": ["response.failed"]})).json()
    assert (off["enabled"], off["disabled_because"], off["url"]) == (False, "requested", URL)
    assert off["events"] == ["response.failed"]
    on = (await gateway.client.patch(path, json={"enabled": True})).json()
    assert (on["enabled"], on["disabled_because"]) == (True, None)
    for name in ("url", "events", "enabled"):
        answer = await gateway.client.patch(path, json={name: None})
        assert [each["pointer"] for each in answer.json()["errors"]] == [f"#/{name}"]


async def test_a_rotated_secret_is_another_one_and_the_old_one_goes_on_for_a_while(
    gateway: Gateway, database: Database
) -> None:
    webhook = await make(gateway)
    path = f"/webhooks/{webhook['id']}/"
    rotated = (await gateway.client.post(f"{path}rotate-secret/", json={"overlap_seconds": 60})).json()
    NewWebhook.model_validate(rotated)
    await gateway.client.post(f"{path}test/")
    worker_id = new_process_id("worker")
    await database.write(workers.register, worker_id, host="test", now=now_ms())
    (delivery,) = await database.write(delivery_claims.claim, worker_id, rooms={webhook["id"]: 1}, now=now_ms())
    assert delivery.secrets == (rotated["secret"], webhook["secret"])
    answer = await gateway.client.post(f"{path}rotate-secret/", json={"overlap_seconds": -1})
    assert answer.status_code == 422


async def test_what_was_sent_can_be_looked_at_and_sent_again(
    gateway: Gateway, worker: PlayedWorker, database: Database
) -> None:
    webhook = await make(gateway)
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id)
    await worker.answer_all()
    (told,) = await deliveries(gateway, webhook)
    assert (told["event"], told["status"], told["tries"]) == ("reply.completed", "pending", 0)
    assert (told["conversation_id"], told["response"], told["error"]) == (conversation_id, None, None)
    path = f"/webhooks/deliveries/{told['id']}/"
    whole = await gateway.get(path)
    SentDelivery.model_validate(whole)
    assert whole["payload"]["data"]["reply"] == await gateway.get(f"/replies/{told['reply_id']}/")

    worker_id = new_process_id("worker")
    await database.write(workers.register, worker_id, host="test", now=now_ms())
    (delivery,) = await database.write(delivery_claims.claim, worker_id, rooms={webhook["id"]: 1}, now=now_ms())
    trial = Trial("The receiver answered with HTTP 500.", 500, "boom")
    await database.write(delivery_claims.give_up, delivery, trial, is_gone=False, failing_before=0, now=now_ms())
    (failed,) = await deliveries(gateway, webhook, "?status=failed")
    assert (failed["response"], failed["error"]) == ({"status": 500, "body": "boom"}, trial.error)
    assert await deliveries(gateway, webhook, "?status=delivered") == []

    again = await gateway.client.post(f"{path}redeliver/")
    Delivery.model_validate(again.json())
    assert (again.status_code, again.headers["Location"]) == (202, path)
    assert (again.json()["id"], again.json()["status"], again.json()["tries"]) == (told["id"], "pending", 0)


async def test_to_an_endpoint_that_is_off_nothing_is_sent(gateway: Gateway) -> None:
    webhook = await make(gateway)
    path = f"/webhooks/{webhook['id']}/"
    tested = await gateway.client.post(f"{path}test/")
    assert (tested.status_code, tested.json()["event"]) == (202, "webhook.test")
    await gateway.client.patch(path, json={"enabled": False})
    for refused in (f"{path}test/", f"{tested.headers['Location']}redeliver/"):
        answer = await gateway.client.post(refused)
        assert (answer.status_code, answer.json()["code"]) == (409, "conflict")


async def test_a_deleted_one_is_gone_with_its_deliveries(gateway: Gateway) -> None:
    webhook = await make(gateway)
    tested = await gateway.client.post(f"/webhooks/{webhook['id']}/test/")
    assert (await gateway.client.delete(f"/webhooks/{webhook['id']}/")).status_code == 204
    for path in (f"/webhooks/{webhook['id']}/", tested.headers["Location"], "/webhooks/webhook_x/"):
        assert (await gateway.client.get(path)).status_code == 404
    assert (await gateway.client.delete(f"/webhooks/{webhook['id']}/")).status_code == 404


async def test_what_is_deleted_is_told_of_no_more(gateway: Gateway, worker: PlayedWorker) -> None:
    webhook = await make(gateway, events=["reply.completed", "response.completed"])
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id)
    first = (await gateway.client.post("/v1/responses", json={"input": "Hi", "background": True})).json()
    await worker.answer_all()
    follow = {"input": "And?", "previous_response_id": first["id"], "background": True}
    await gateway.client.post("/v1/responses", json=follow)
    await worker.answer_all()
    assert len(await deliveries(gateway, webhook)) == 6
    await gateway.client.delete(f"/conversations/{conversation_id}/")
    assert len(await deliveries(gateway, webhook)) == 4
    await gateway.client.delete(f"/v1/responses/{first['id']}")
    assert len(await deliveries(gateway, webhook)) == 2
