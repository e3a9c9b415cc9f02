"""The documentation is true, works without a network, and its examples work when pasted."""

from __future__ import annotations

import re
from typing import Any

import pytest
from pydantic import BaseModel

from api.problems import CATALOGUE
from api.schemas.conversations import Conversation, ConversationPage, CreatedConversation, Message, MessagePage, Turn
from api.schemas.installation import Health, OfferedModels, Readiness
from api.schemas.operations import OperationsAnswer
from api.schemas.problems import ErrorExplanation, ProblemAnswer
from api.schemas.replies import Attempts, Reply, ReplyPage
from tests.integration.api.gateway import Gateway, PlayedWorker

pytestmark = pytest.mark.anyio


def _operations(document: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    return [
        (method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
    ]


async def test_every_endpoint_is_documented(gateway: Gateway) -> None:
    document = await gateway.get("/openapi.json")
    assert document["info"]["title"] == "Async Chat API"
    found = {f"{method} {path}" for method, path, _ in _operations(document)}
    assert found == {
        "GET /usage/",
        "GET /budgets/",
        *(
            f"{method} /budgets/{whose}/"
            for method in ("PUT", "GET", "DELETE")
            for whose in ("tenant", "each-end-user", "keys/{key_id}", "end-users/{end_user}")
        ),
        "POST /conversations/",
        "GET /conversations/",
        "GET /conversations/{conversation_id}/",
        "PATCH /conversations/{conversation_id}/",
        "DELETE /conversations/{conversation_id}/",
        "GET /conversations/{conversation_id}/messages/",
        "POST /conversations/{conversation_id}/messages/",
        "POST /conversations/{conversation_id}/ask-message/",
        "GET /conversations/{conversation_id}/turns/{turn}/",
        "GET /replies/",
        "GET /replies/{reply_id}/",
        "POST /replies/{reply_id}/cancel/",
        "POST /replies/{reply_id}/regenerate/",
        "POST /replies/{reply_id}/retry/",
        "POST /replies/{reply_id}/select/",
        "PUT /replies/{reply_id}/feedback/",
        "DELETE /replies/{reply_id}/feedback/",
        "GET /replies/{reply_id}/attempts/",
        "GET /replies/{reply_id}/events/",
        "GET /conversations/{conversation_id}/events/",
        "GET /conversations/{conversation_id}/turns/{turn}/events/",
        "POST /conversations/{conversation_id}/fork/",
        "GET /models/",
        "POST /v1/responses",
        "GET /v1/responses/{response_id}",
        "DELETE /v1/responses/{response_id}",
        "POST /v1/responses/{response_id}/cancel",
        "GET /v1/responses/{response_id}/input_items",
        "POST /v1/conversations",
        "GET /v1/conversations",
        "GET /v1/conversations/{conversation_id}",
        "POST /v1/conversations/{conversation_id}",
        "DELETE /v1/conversations/{conversation_id}",
        "POST /v1/conversations/{conversation_id}/items",
        "GET /v1/conversations/{conversation_id}/items",
        "GET /v1/conversations/{conversation_id}/items/{item_id}",
        "DELETE /v1/conversations/{conversation_id}/items/{item_id}",
        "POST /v1/chat/completions",
        "GET /v1/models",
        "GET /v1/models/{name}",
        "POST /conversations/{conversation_id}/tokens/",
        "GET /conversations/{conversation_id}/export/",
        "GET /end-users/{end_user}/",
        "DELETE /end-users/{end_user}/",
        "GET /erasures/{erasure_id}/",
        "GET /workers/",
        "GET /operations/",
        "POST /keys/",
        "GET /keys/",
        "GET /keys/{key_id}/",
        "DELETE /keys/{key_id}/",
        "POST /keys/{key_id}/rotate/",
        "POST /webhooks/",
        "GET /webhooks/",
        "GET /webhooks/{webhook_id}/",
        "PATCH /webhooks/{webhook_id}/",
        "DELETE /webhooks/{webhook_id}/",
        "POST /webhooks/{webhook_id}/rotate-secret/",
        "POST /webhooks/{webhook_id}/test/",
        "GET /webhooks/{webhook_id}/deliveries/",
        "GET /webhooks/deliveries/{delivery_id}/",
        "POST /webhooks/deliveries/{delivery_id}/redeliver/",
        "GET /healthz",
        "GET /metrics",
        "GET /readyz",
        "GET /errors/{code}",
    }
    for _, path, operation in _operations(document):
        assert operation["summary"]
        assert operation["tags"]
        assert operation["description"], path


async def test_all_references_of_the_document_lead_somewhere(gateway: Gateway) -> None:
    text = (await gateway.client.get("/openapi.json")).text
    schemas = (await gateway.get("/openapi.json"))["components"]["schemas"]
    named = set(re.findall(r'"#/components/schemas/(\w+)"', text))
    assert named <= schemas.keys()
    assert "HTTPValidationError" not in text


async def test_answers_are_as_documented(gateway: Gateway, worker: PlayedWorker) -> None:
    created = await gateway.client.post("/conversations/", json={"message": {"content": "Hello", "n": 3}})
    conversation_id = created.json()["id"]
    first, second, third = await worker.claim()
    await worker.complete(first)
    await worker.fail(second)
    await worker.write(third, "Hel")
    turn = await gateway.ask(conversation_id)
    appended = await gateway.client.post(
        f"/conversations/{conversation_id}/messages/", json={"role": "user", "content": "x"}
    )
    path = f"/conversations/{conversation_id}/"
    expected: list[tuple[type[BaseModel], Any]] = [
        (CreatedConversation, created.json()),
        (Turn, turn),
        (Message, appended.json()),
        (Conversation, await gateway.get(path)),
        (ConversationPage, await gateway.get("/conversations/")),
        (MessagePage, await gateway.get(f"{path}messages/")),
        (Turn, await gateway.get(f"{path}turns/1/")),
        (ReplyPage, await gateway.get("/replies/")),
        (Reply, await gateway.get(f"/replies/{turn['replies'][0]['id']}/")),
        (Attempts, await gateway.get(f"/replies/{first.reply_id}/attempts/")),
        (Attempts, await gateway.get(f"/replies/{second.reply_id}/attempts/")),
        (Attempts, await gateway.get(f"/replies/{third.reply_id}/attempts/")),
        (OfferedModels, await gateway.get("/models/")),
        (OperationsAnswer, await gateway.get("/operations/")),
        (Health, await gateway.get("/healthz")),
        (Readiness, await gateway.get("/readyz")),
        (ErrorExplanation, await gateway.get("/errors/not_found")),
        (ProblemAnswer, (await gateway.client.get("/nope")).json()),
        (ProblemAnswer, (await gateway.client.get("/replies/?limit=0")).json()),
    ]
    for model, content in expected:
        model.model_validate(content)


@pytest.fixture
def at_home(environment: pytest.MonkeyPatch) -> None:
    """Webhooks may go to this machine, as where `asyncchat up` runs."""
    environment.setenv("ASYNCCHAT_WEBHOOK_NETWORKS", "127.0.0.0/8,::1/128")


@pytest.mark.usefixtures("at_home")
async def test_the_examples_work_when_pasted(gateway: Gateway) -> None:
    tried = 0
    for method, path, operation in _operations(await gateway.get("/openapi.json")):
        examples = operation.get("requestBody", {}).get("content", {}).get("application/json", {}).get("examples", {})
        for example in examples.values():
            conversation_id = await gateway.new_conversation()
            await gateway.ask(conversation_id)
            turn = await gateway.ask(conversation_id)
            reply_id = turn["replies"][0]["id"]
            if path.endswith(("/retry/", "/feedback/")):
                await gateway.client.post(f"/replies/{reply_id}/cancel/")
            url = path.replace("{conversation_id}", conversation_id).replace("{reply_id}", reply_id)
            answer = await gateway.client.request(method, url, json=example["value"])
            assert answer.status_code < 300, answer.text
            tried += 1
    assert tried >= 6


async def test_the_documentation_needs_no_foreign_host(gateway: Gateway) -> None:
    page = await gateway.client.get("/docs")
    assert page.headers["Content-Type"].startswith("text/html")
    assert "//" not in re.sub(r"//\s", "", page.text).replace("<!--", "")
    for url in re.findall(r'(?:href|src)="([^"]+)"', page.text):
        asset = await gateway.client.get(url)
        assert asset.status_code == 200
        assert asset.headers["Cache-Control"] == "public, max-age=3600"
        assert len(asset.content) > 500


@pytest.mark.parametrize("code", sorted(CATALOGUE))
async def test_every_error_code_is_explained(gateway: Gateway, code: str) -> None:
    explained = await gateway.get(f"/errors/{code}")
    assert explained["type"] == f"/errors/{code}"
    assert explained["cause"]
    assert explained["cure"]
