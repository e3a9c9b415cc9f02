"""One of everything that a tenant has, and every address at which something of it could be."""

from __future__ import annotations

import httpx2
from starlette.routing import Route

from api.schemas.webhooks import CreateWebhookBody
from api.services import webhooks
from tests.integration.api.gateway import Gateway

EVERYONES = {"/", "/ops", "/healthz", "/readyz", "/openapi.json", "/docs", "/errors/{code}"}
# Files that anybody may have; the addresses name none that is there.
FILES = ("/docs", "/assets")
# What each address takes; all others take an empty object.
BODIES = {
    "ask-message/": {"content": "Hello"},
    "messages/": {"role": "user", "content": "Hello"},
    "feedback/": {"rating": "up"},
    "items": {"items": [{"role": "user", "content": "Hello"}]},
    "{conversation_id}": {"metadata": {}},
    "{key_id}/": {"tokens_per_day": 1},
}
# In whatever has a text.
MARK = "only-for-its-tenant"


async def one_of_each(gateway: Gateway, headers: dict[str, str]) -> dict[str, str]:
    """One of everything that the tenant has, by the names that paths have for them."""
    client = gateway.client
    body = {"title": MARK, "instructions": MARK, "end_user": MARK, "message": {"content": MARK}}
    created = (await client.post("/conversations/", json=body, headers=headers)).json()
    reply = created["turn"]["replies"][0]
    response = (await client.post("/v1/responses", json={"input": MARK, "background": True}, headers=headers)).json()
    resources = gateway.resources
    identity = await resources.authenticator.identify(headers["Authorization"].removeprefix("Bearer "))
    assert identity is not None
    told = CreateWebhookBody(url="https://93.184.216.34/")
    webhook = await webhooks.create(resources, identity.tenant_id, told, keyed=None)
    delivery = await webhooks.test(resources, identity.tenant_id, webhook["id"])
    return {
        "webhook_id": webhook["id"],
        "delivery_id": delivery["id"],
        "conversation_id": created["id"],
        "turn": "1",
        "reply_id": reply["id"],
        "response_id": response["id"],
        "item_id": created["turn"]["message"]["id"],
        "name": "demo",
        "code": "not_found",
        "key_id": "key_01m86nzqqk652jp7wdnyyebm22",
        "path": "x",
        "version": "1",
        "end_user": "ada",
        "erasure_id": "erasure_01m86nzqqk652jp7wdnyyebm22",
    }


def every_address(gateway: Gateway, names: dict[str, str]) -> list[tuple[str, str, str]]:
    """Every route with every method: its template, the method, and the address of something that is there."""
    found = []
    for route in gateway.app.routes:
        assert isinstance(route, Route)
        path = route.path
        for name, value in names.items():
            path = path.replace(f"{{{name}}}", value).replace(f"{{{name}:path}}", value)
        assert "{" not in path, f"{route.path}: say in one_of_each() what is there by that name"
        found += [(route.path, method, path) for method in sorted((route.methods or set()) - {"HEAD"})]
    assert len(found) > 35
    return found


async def ask_at(
    client: httpx2.AsyncClient, method: str, path: str, headers: dict[str, str], *, template: str = ""
) -> httpx2.Response:
    body = BODIES.get(template.rstrip("/").rpartition("/")[2] + "/" * template.endswith("/"), {})
    return await client.request(
        method, path, json=body if method in {"POST", "PUT", "PATCH"} else None, headers=headers
    )


def is_everyones(template: str) -> bool:
    return template in EVERYONES or template.startswith(FILES)
