"""What is wrong is refused with its 4xx, says where, and leaves nothing behind."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from tests.integration.api.gateway import Gateway, running_gateway

pytestmark = pytest.mark.anyio

JSON = "application/json"
LONG = 200_001


def _ask(**values: Any) -> bytes:
    return json.dumps({"content": "Hello", **values}).encode()


@pytest.mark.parametrize(
    ("body", "status", "pointer"),
    [
        pytest.param(b"", 422, "#", id="empty"),
        pytest.param(b'{"content": "He', 400, None, id="cut"),
        pytest.param(b"{'content': 'x'}", 400, None, id="python"),
        pytest.param(b"null", 422, "#", id="null"),
        pytest.param(b"[]", 422, "#", id="array"),
        pytest.param(b'"text"', 422, "#", id="string"),
        pytest.param(b"1e999", 422, "#", id="infinite root"),
        pytest.param(b"[" * 100_000 + b"]" * 100_000, 422, "#", id="deep array"),
        pytest.param(b'{"a":' * 100_000 + b"1" + b"}" * 100_000, 422, "#", id="deep object"),
        pytest.param(b'{"content":' + b"[" * 33 + b"]" * 33 + b"}", 422, "#", id="33 deep"),
        pytest.param(b'{"content": "x", "n": ' + b"1" * 5000 + b"}", 422, "#", id="5000 digits"),
        pytest.param(b'{"content": "x", "n": 9223372036854775808}', 422, "#/n", id="2^63"),
        pytest.param(
            b'{"content": "x", "parameters": {"seed": 9223372036854775808}}', 422, "#/parameters/seed", id="seed"
        ),
        pytest.param(b'{"content": "x", "parameters": {"temperature": NaN}}', 400, None, id="NaN"),
        pytest.param(b'{"content": "x", "parameters": {"temperature": Infinity}}', 400, None, id="Infinity"),
        pytest.param(b'{"content": "x", "parameters": {"temperature": 1e999}}', 422, "#", id="1e999"),
        pytest.param(b'{"content": "\\ud800"}', 422, "#/content", id="half a surrogate pair"),
        pytest.param(b'{"content": "x", "metadata": {"\\udfff": "x"}}', 422, "#/metadata", id="half a pair as a key"),
        pytest.param(b'{"content": "a\\u0000b"}', 422, "#/content", id="NUL"),
        pytest.param(b'{"content": "x", "metadata": {"a": ["\\u0000"]}}', 422, "#/metadata/a/0", id="NUL inside"),
        pytest.param(b'{"content": "x", "metadata": {"\\u0000": "a"}}', 422, "#/metadata", id="NUL as a key"),
        pytest.param(b'{"content": "\x00"}', 400, None, id="raw NUL"),
        pytest.param(b'{"content": "\xff"}', 400, None, id="not UTF-8"),
        pytest.param('{"content": "x"}'.encode("utf-16"), 400, None, id="UTF-16"),
        pytest.param(b'\xef\xbb\xbf{"content": "x"}', 400, None, id="byte order mark"),
        pytest.param(
            b"{" + b",".join(b'"%d":1' % number for number in range(100_000)) + b"}", 422, "#", id="100k keys"
        ),
        pytest.param(b'{"content": [' + b"1," * 400_000 + b"1]}", 422, "#", id="many elements"),
        pytest.param(b'{"content": "' + b"x" * (1 << 20) + b'"}', 413, None, id="over a MiB"),
        pytest.param(_ask(content=None), 422, "#/content", id="no content"),
        pytest.param(b"{}", 422, "#/content", id="content missing"),
        pytest.param(_ask(content=7), 422, "#/content", id="content a number"),
        pytest.param(_ask(content=["x"]), 422, "#/content", id="content a list"),
        pytest.param(_ask(content=""), 422, "#/content", id="content empty"),
        pytest.param(_ask(content=" \n\t\u3000"), 422, "#/content", id="content blank"),
        pytest.param(_ask(content="x" * LONG), 422, "#/content", id="content long"),
        pytest.param(_ask(n=0), 422, "#/n", id="n 0"),
        pytest.param(_ask(n=9), 422, "#/n", id="n 9"),
        pytest.param(_ask(n=1_000_000_000), 422, "#/n", id="n 1e9"),
        pytest.param(_ask(n="3"), 422, "#/n", id="n text"),
        pytest.param(_ask(n=True), 422, "#/n", id="n true"),
        pytest.param(_ask(n=2.5), 422, "#/n", id="n fraction"),
        pytest.param(_ask(n=None), 422, "#/n", id="n null"),
        pytest.param(_ask(model=""), 422, "#/model", id="model empty"),
        pytest.param(_ask(model="m" * 201), 422, "#/model", id="model long"),
        pytest.param(_ask(deadline_seconds=0), 422, "#/deadline_seconds", id="deadline 0"),
        pytest.param(_ask(deadline_seconds=86_401), 422, "#/deadline_seconds", id="deadline long"),
        pytest.param(_ask(parameters=[]), 422, "#/parameters", id="parameters a list"),
        pytest.param(_ask(parameters={"temperature": "hot"}), 422, "#/parameters/temperature", id="temperature text"),
        pytest.param(_ask(parameters={"temperature": 2.1}), 422, "#/parameters/temperature", id="temperature 2.1"),
        pytest.param(_ask(parameters={"top_p": -0.1}), 422, "#/parameters/top_p", id="top_p"),
        pytest.param(_ask(parameters={"max_output_tokens": -1}), 422, "#/parameters/max_output_tokens", id="tokens -1"),
        pytest.param(_ask(parameters={"max_output_tokens": 10**7}), 422, "#/parameters/max_output_tokens", id="tokens"),
        pytest.param(_ask(parameters={"stop": ["a"] * 5}), 422, "#/parameters/stop", id="five stops"),
        pytest.param(_ask(parameters={"stop": ["a", 1]}), 422, "#/parameters/stop", id="stop a number"),
        pytest.param(_ask(parameters={"stop": 1}), 422, "#/parameters/stop", id="stop no text"),
        pytest.param(_ask(parameters={"reasoning_effort": "max"}), 422, "#/parameters/reasoning_effort", id="effort"),
        pytest.param(_ask(parameters={"logprobs": True}), 422, "#/parameters/logprobs", id="unknown parameter"),
        pytest.param(_ask(metadata={str(n): "" for n in range(17)}), 422, "#/metadata", id="17 pairs"),
        pytest.param(_ask(metadata={"a": 1}), 422, "#/metadata/a", id="metadata number"),
        pytest.param(_ask(metadata={"a": "x" * 513}), 422, "#/metadata/a", id="metadata long"),
        pytest.param(_ask(metadata={"k" * 65: "x"}), 422, f"#/metadata/{'k' * 65}", id="metadata key long"),
        pytest.param(_ask(on_busy="wait"), 422, "#/on_busy", id="on_busy unknown"),
        pytest.param(_ask(on_busy=1), 422, "#/on_busy", id="on_busy number"),
        pytest.param(_ask(on_crash="explode"), 422, "#/on_crash", id="on_crash unknown"),
        pytest.param(_ask(tenant_id="x"), 422, "#/tenant_id", id="tenant smuggled"),
        pytest.param(_ask(status="completed"), 422, "#/status", id="status smuggled"),
        pytest.param(_ask(role="system"), 422, "#/role", id="role smuggled"),
        pytest.param(_ask(**{"a/b~c d": 1}), 422, "#/a~1b~0c%20d", id="odd name"),
    ],
)
async def test_a_bad_ask_is_refused(gateway: Gateway, body: bytes, status: int, pointer: str | None) -> None:
    conversation_id = await gateway.new_conversation()
    path = f"/conversations/{conversation_id}/"
    answer = await gateway.client.post(f"{path}ask-message/", content=body, headers={"Content-Type": JSON})
    assert answer.status_code == status, answer.text
    assert answer.headers["Content-Type"] == "application/problem+json"
    problem = answer.json()
    assert problem["status"] == status
    assert problem["type"] == f"/errors/{problem['code']}"
    assert len(answer.content) < 10_000
    if pointer is not None:
        assert problem["errors"][0]["pointer"] == pointer
    assert (await gateway.get(path))["messages"] == []


@pytest.mark.parametrize(
    ("body", "pointer"),
    [
        ({"title": "x" * 501}, "#/title"),
        ({"instructions": "x" * LONG}, "#/instructions"),
        ({"end_user": "x" * 256}, "#/end_user"),
        ({"end_user": 7}, "#/end_user"),
        ({"model": ""}, "#/model"),
        ({"metadata": {"a": None}}, "#/metadata/a"),
        ({"parameters": {"temperature": True}}, "#/parameters/temperature"),
        ({"version": 7}, "#/version"),
        ({"id": "conv_01m8376nm1zqqnsr0dt18yp372"}, "#/id"),
        ({"kind": "ephemeral"}, "#/kind"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
async def test_bad_settings_of_a_conversation_are_refused(
    gateway: Gateway, method: str, body: dict[str, Any], pointer: str
) -> None:
    path = "/conversations/" if method == "POST" else f"/conversations/{await gateway.new_conversation()}/"
    answer = await gateway.client.request(method, path, json=body)
    assert answer.status_code == 422
    assert [error["pointer"] for error in answer.json()["errors"]] == [pointer]


@pytest.mark.parametrize("role", ["tool", "", None, 1])
async def test_a_message_of_no_known_role_is_refused(gateway: Gateway, role: Any) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/messages/"
    answer = await gateway.client.post(path, json={"role": role, "content": "x"})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "#/role"


async def test_all_mistakes_are_told_at_once(gateway: Gateway) -> None:
    path = f"/conversations/{await gateway.new_conversation()}/ask-message/?wait=-1"
    answer = await gateway.client.post(path, json={"n": 0, "model": 7, "x": 1})
    pointers = {error["pointer"] for error in answer.json()["errors"]}
    assert pointers == {"#/content", "#/n", "#/model", "#/x", "?wait"}


async def test_of_very_many_mistakes_the_first_are_told(gateway: Gateway) -> None:
    answer = await gateway.client.post("/conversations/", json={f"k{number}": 1 for number in range(900)})
    assert answer.status_code == 422
    assert len(answer.json()["errors"]) == 20
    assert "899 more" in answer.json()["detail"]


async def test_of_duplicate_fields_the_last_counts(gateway: Gateway) -> None:
    body = b'{"title": "first", "title": "last"}'
    answer = await gateway.client.post("/conversations/", content=body, headers={"Content-Type": JSON})
    assert answer.json()["title"] == "last"


@pytest.mark.parametrize(
    "content_type",
    [None, "text/xml", "text/plain", "application/x-www-form-urlencoded", "application/jsonp", "json", "/"],
)
async def test_a_body_that_is_not_declared_as_json_is_refused(gateway: Gateway, content_type: str | None) -> None:
    headers = {"Content-Type": content_type} if content_type else {}
    answer = await gateway.client.post("/conversations/", content=b"{}", headers=headers)
    assert answer.status_code == 415
    assert "curl --json" in answer.json()["detail"]


@pytest.mark.parametrize(
    "content_type", ["application/json; charset=utf-8", "Application/JSON", "application/vnd.x+json"]
)
async def test_a_body_may_be_declared_as_any_json(gateway: Gateway, content_type: str) -> None:
    answer = await gateway.client.post("/conversations/", content=b"{}", headers={"Content-Type": content_type})
    assert answer.status_code == 201


async def test_a_compressed_body_is_refused(gateway: Gateway) -> None:
    headers = {"Content-Type": JSON, "Content-Encoding": "gzip"}
    answer = await gateway.client.post("/conversations/", content=gzip.compress(b" " * 10_000_000), headers=headers)
    assert answer.status_code == 415


@pytest.mark.parametrize("limit", ["0", "-1", "101", "1e9", "x", ""])
@pytest.mark.parametrize("path", ["/conversations/", "/replies/", "/conversations/{id}/messages/"])
async def test_a_limit_out_of_bounds_is_refused(gateway: Gateway, path: str, limit: str) -> None:
    path = path.replace("{id}", await gateway.new_conversation())
    answer = await gateway.client.get(f"{path}?limit={limit}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "?limit"


@pytest.mark.parametrize("query", ["order=up", "end_user=%00", f"end_user={'x' * 256}", "after=W10"])
async def test_a_bad_query_of_the_list_is_refused(gateway: Gateway, query: str) -> None:
    answer = await gateway.client.get(f"/conversations/?{query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == f"?{query.partition('=')[0]}"


@pytest.mark.parametrize("query", ["messages=101", "messages=-1", "since=-1", "since=x", f"since={10**30}"])
async def test_a_bad_query_of_a_conversation_is_refused(gateway: Gateway, query: str) -> None:
    answer = await gateway.client.get(f"/conversations/{await gateway.new_conversation()}/?{query}")
    assert answer.status_code == 422


async def test_sql_in_a_value_is_only_a_value(gateway: Gateway) -> None:
    name = "'; drop table conversations; --"
    await gateway.new_conversation(end_user=name, title=name)
    page = await gateway.client.get("/conversations/", params={"end_user": name})
    assert [item["title"] for item in page.json()["data"]] == [name]


async def test_only_offered_models_are_taken_where_the_server_names_them(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("ASYNCCHAT_MODEL", "default")
    environment.setenv("ASYNCCHAT_MODELS", "one,two")
    async with running_gateway() as gateway:
        offered = await gateway.get("/models/")
        assert [model["id"] for model in offered["data"]] == ["default", "one", "two"]
        conversation_id = await gateway.new_conversation(model="one")
        await gateway.ask(conversation_id, model="default")
        path = f"/conversations/{conversation_id}/"
        for method, where, body in (
            ("POST", "/conversations/", {"model": "three"}),
            ("PATCH", path, {"model": "three"}),
            ("POST", f"{path}ask-message/", {"content": "x", "model": "three"}),
        ):
            answer = await gateway.client.request(method, where, json=body)
            assert answer.status_code == 422
            assert answer.json()["errors"][0]["pointer"] == "#/model"


async def test_a_streamed_body_is_counted_while_it_comes(gateway: Gateway) -> None:
    taken = 0

    async def endless() -> Any:
        nonlocal taken
        yield b'{"title": "'
        while True:
            taken += 1
            yield b"x" * 65_536

    answer = await gateway.client.post("/conversations/", content=endless(), headers={"Content-Type": JSON})
    assert answer.status_code == 413
    assert taken <= 17
