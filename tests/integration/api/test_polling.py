"""What every answer has: tags for polling, both spellings of a path, HEAD, request ids."""

from __future__ import annotations

import re

import pytest

from tests.integration.api.gateway import Gateway, PlayedWorker

pytestmark = pytest.mark.anyio


async def _paths(gateway: Gateway) -> list[str]:
    conversation_id = await gateway.new_conversation()
    turn = await gateway.ask(conversation_id)
    return [
        f"/conversations/{conversation_id}/",
        f"/conversations/{conversation_id}/turns/1/",
        turn["replies"][0]["url"],
    ]


async def test_an_unchanged_state_is_not_sent_again(gateway: Gateway, worker: PlayedWorker) -> None:
    paths = await _paths(gateway)
    for path in paths:
        first = await gateway.client.get(path)
        tag = first.headers["ETag"]
        assert re.fullmatch(r'W/"[0-9a-f]{24}"', tag)
        for header in (tag, tag.removeprefix("W/"), f'"other", {tag}', "*"):
            again = await gateway.client.get(path, headers={"If-None-Match": header})
            assert (again.status_code, again.content, again.headers["ETag"]) == (304, b"", tag)
            assert again.headers["Cache-Control"] == "private, no-cache"
    (claim,) = await worker.claim()
    for path in paths:
        tag = (await gateway.client.get(path)).headers["ETag"]
        await worker.write(claim, f"text for {path}")
        grown = await gateway.client.get(path, headers={"If-None-Match": tag})
        assert grown.status_code == 200
        assert f"text for {path}" in grown.text


@pytest.mark.parametrize("header", ["", "garbage", '"', "W/", ",,,", '"é"'])
async def test_a_garbled_if_none_match_is_ignored(gateway: Gateway, header: str) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/"
    answer = await gateway.client.get(path, headers={b"If-None-Match": header.encode()})
    assert answer.status_code == 200


async def test_a_live_reply_says_when_to_ask_again(gateway: Gateway, worker: PlayedWorker) -> None:
    paths = await _paths(gateway)
    for path in paths[1:]:
        assert (await gateway.client.get(path)).headers["Retry-After"] == "1"
    await worker.answer_all()
    for path in paths[1:]:
        assert "Retry-After" not in (await gateway.client.get(path)).headers


@pytest.mark.parametrize(
    "path",
    [
        "/conversations/",
        "/conversations/{id}/",
        "/conversations/{id}/messages/",
        "/conversations/{id}/turns/1/",
        "/replies/",
        "/models/",
        "/healthz",
        "/readyz",
        "/docs",
        "/openapi.json",
        "/errors/not_found",
        "/docs/swagger-ui.css",
    ],
)
async def test_both_spellings_answer_directly(gateway: Gateway, path: str) -> None:
    conversation_id = await gateway.new_conversation()
    await gateway.ask(conversation_id)
    path = path.replace("{id}", conversation_id).rstrip("/")
    for spelling in (path, f"{path}/"):
        answer = await gateway.client.get(spelling)
        assert answer.status_code == 200, spelling
        head = await gateway.client.head(spelling)
        assert (head.status_code, head.content) == (200, b"")


async def test_both_spellings_of_a_post_are_one_and_the_same(gateway: Gateway) -> None:
    created = await gateway.client.post("/conversations", json={})
    path = created.headers["Location"]
    assert (await gateway.client.post(f"{path}ask-message", json={"content": "x"})).status_code == 202
    assert (await gateway.client.patch(path.rstrip("/"), json={"title": "x"})).status_code == 200
    assert (await gateway.client.delete(path.rstrip("/"))).status_code == 204


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("PUT", "/conversations/", "GET, HEAD, POST"),
        ("OPTIONS", "/conversations/", "GET, HEAD, POST"),
        ("TRACE", "/conversations/conv_x/", "DELETE, GET, HEAD, PATCH"),
        ("GET", "/conversations/conv_x/ask-message/", "POST"),
        ("HEAD", "/conversations/conv_x/ask-message", "POST"),
        ("POST", "/replies/", "GET, HEAD"),
        ("DELETE", "/healthz", "GET, HEAD"),
    ],
)
async def test_another_method_hears_which_are_allowed(gateway: Gateway, method: str, path: str, allowed: str) -> None:
    answer = await gateway.client.request(method, path)
    assert (answer.status_code, answer.headers["Allow"]) == (405, allowed)
    assert answer.headers["Content-Type"] == "application/problem+json"


@pytest.mark.parametrize(
    "path", ["/nope", "/conversations//", "/conversations/x/y/", "/errors/nope", "/docs/nope", "/v2/x"]
)
async def test_an_unknown_path_is_not_found(gateway: Gateway, path: str) -> None:
    answer = await gateway.client.get(path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


async def test_every_answer_has_a_request_id(gateway: Gateway) -> None:
    for path in ("/healthz", "/nope", "/conversations/conv_x/", "/replies/?limit=0", "/docs"):
        answer = await gateway.client.get(path)
        assert answer.headers["X-Request-ID"].startswith("req_")
        if answer.status_code >= 400:
            assert answer.json()["request_id"] == answer.headers["X-Request-ID"]


async def test_a_request_id_of_the_client_is_kept_if_it_is_harmless(gateway: Gateway) -> None:
    answer = await gateway.client.get("/nope", headers={"X-Request-ID": "trace-1/{a}~"})
    assert answer.headers["X-Request-ID"] == answer.json()["request_id"] == "trace-1/{a}~"
    for harmful in (b"", b"a b", b"x" * 129, "é".encode(), b"a\x7fb"):
        answer = await gateway.client.get("/healthz", headers={b"X-Request-ID": harmful})
        assert answer.headers["X-Request-ID"].startswith("req_")


async def test_the_offered_models_begin_with_the_default(environment: pytest.MonkeyPatch, gateway: Gateway) -> None:
    del environment
    offered = await gateway.get("/models/")
    default = gateway.resources.settings.model
    assert offered == {"data": [{"id": default, "default": True}], "any_name": True}
