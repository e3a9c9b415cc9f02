"""What is wrong is refused with its 4xx, says where, and leaves nothing behind."""

from __future__ import annotations

import difflib
import gzip
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from api.errors import MAX_DETAILS
from tests.integration.api.bad_bodies import BAD_ASKS
from tests.integration.api.gateway import Gateway, running_gateway

pytestmark = pytest.mark.anyio

JSON = "application/json"
LONG = 200_001


@pytest.mark.parametrize(("body", "status", "pointer"), BAD_ASKS)
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


async def test_of_hundreds_of_mistakes_a_few_are_put_in_words(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Looking for the field that was meant takes a while for each, and everybody else waits for it."""
    looked: list[str] = []
    look = difflib.get_close_matches

    def looking(name: str, known: Sequence[str], *, n: int) -> list[str]:
        looked.append(name)
        return look(name, known, n=n)

    monkeypatch.setattr(difflib, "get_close_matches", looking)
    body = {"content": "Hi", "x" * 200_000: 1, **{f"contenu{number}": 1 for number in range(900)}}
    path = f"/conversations/{await gateway.new_conversation()}/ask-message/"
    answer = await gateway.client.post(path, json=body)
    assert answer.status_code == 422
    assert answer.json()["detail"].endswith(" (900 more)")
    assert len(looked) == len(answer.json()["errors"]) == MAX_DETAILS
    assert max(map(len, looked)) <= 100


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
            (error,) = answer.json()["errors"]
            assert error["pointer"] == "#/model"
            assert error["detail"] == "This server does not offer this model; it offers default, one, two"


async def test_a_models_file_names_the_models_in_both_dialects(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """A gateway needs no key of an upstream."""
    path = tmp_path / "models.toml"
    lab = '[upstreams.lab]\nbase_url = "http://lab/v1"\nkey_variable = "NOT_SET_HERE"\n'
    path.write_text(lab + '[models.one]\nupstream = "lab"\n[models."meta/two"]\nupstream = "lab"\n')
    environment.setenv("ASYNCCHAT_MODELS_FILE", str(path))
    async with running_gateway() as gateway:
        offered = await gateway.get("/models/")
        assert offered["any_name"] is False
        assert [(model["id"], model["default"]) for model in offered["data"]] == [("one", True), ("meta/two", False)]
        assert [model["id"] for model in (await gateway.get("/v1/models"))["data"]] == ["one", "meta/two"]
        assert (await gateway.get("/v1/models/meta/two"))["id"] == "meta/two"
        refused = await gateway.client.post("/v1/responses", json={"model": "three", "input": "x"})
        assert refused.status_code == 400
        assert "it offers one, meta/two" in refused.json()["error"]["message"]


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
