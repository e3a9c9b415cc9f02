"""Every answer and every event is exactly what OpenAI's models and the Open Responses schema want."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx2
import orjson
import pytest
from openai.types import Model
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.conversations import Conversation, ConversationDeletedResource, ConversationItem, ConversationItemList
from openai.types.responses import Response, ResponseItemList
from pydantic import ValidationError

from tests.fixtures.waiting import wait_for
from tests.sdk.schemas import frames, judged, judged_events, judged_response

TEXT = "Hello, I am Ada"


def _post(http: httpx2.Client, path: str, **body: Any) -> bytes:
    answer = http.post(path, json=body)
    assert answer.status_code in {200, 201, 202}, answer.text
    return answer.content


def _get(http: httpx2.Client, path: str) -> bytes:
    answer = http.get(path)
    assert answer.status_code == 200, answer.text
    return answer.content


def _background(http: httpx2.Client, **body: Any) -> str:
    asked = {"model": "demo-20000ms", "input": TEXT, "background": True, **body}
    return str(judged_response(_post(http, "/v1/responses", **asked)).id)


def _running(http: httpx2.Client, **body: Any) -> str:
    name = _background(http, **body)
    assert wait_for(lambda: judged_response(_get(http, f"/v1/responses/{name}")).output)
    return name


def _conversation(http: httpx2.Client) -> str:
    return str(judged(Conversation, _post(http, "/v1/conversations")).id)


def _queued(http: httpx2.Client) -> str:
    conversation = _conversation(http)
    _running(http, conversation=conversation)
    return _background(http, conversation=conversation)


def _cancelled(make: Callable[[httpx2.Client], str]) -> Callable[[httpx2.Client], str]:
    def make_and_cancel(http: httpx2.Client) -> str:
        name = make(http)
        assert judged_response(_post(http, f"/v1/responses/{name}/cancel")).status == "cancelled"
        return name

    return make_and_cancel


def _native(http: httpx2.Client, model: str) -> tuple[str, str]:
    """A conversation, and its reply as this dialect calls it."""
    created = orjson.loads(_post(http, "/conversations/", model=model, message={"content": TEXT}))
    reply_id = created["turn"]["replies"][0]["id"]
    return created["id"], "resp_" + reply_id.removeprefix("reply_")


def _natively_completed(http: httpx2.Client) -> str:
    _, name = _native(http, "demo-fast")
    assert wait_for(lambda: judged_response(_get(http, f"/v1/responses/{name}")).status == "completed")
    return name


def _interrupted(http: httpx2.Client) -> str:
    conversation_id, name = _native(http, "demo-20000ms")
    assert wait_for(lambda: judged_response(_get(http, f"/v1/responses/{name}")).output)
    asked = {"content": "No, wait.", "model": "demo-fast", "on_busy": "interrupt"}
    _post(http, f"/conversations/{conversation_id}/ask-message/?wait=20", **asked)
    assert wait_for(lambda: judged_response(_get(http, f"/v1/responses/{name}")).status == "incomplete")
    return name


def _ended(**body: Any) -> Callable[[httpx2.Client], str]:
    def make(http: httpx2.Client) -> str:
        return str(judged_response(_post(http, "/v1/responses", **{"model": "demo-fast", "input": TEXT, **body})).id)

    return make


LIVE = {"queued": _queued, "in_progress": _running}
# What each ends with: its status and why.
ENDED: dict[str, tuple[Callable[[httpx2.Client], str], str, str | None]] = {
    "completed": (_ended(), "completed", None),
    "completed natively": (_natively_completed, "completed", None),
    "failed": (_ended(model="demo-fail-400"), "failed", "server_error"),
    "failed by what was asked": (_ended(model="demo-fail-context"), "failed", "invalid_prompt"),
    "failed within its text": (_ended(model="demo-error-event"), "failed", "server_error"),
    "cancelled in the queue": (_cancelled(_queued), "cancelled", None),
    "cancelled while running": (_cancelled(_running), "cancelled", None),
    "out of tokens": (_ended(max_output_tokens=3), "incomplete", "max_output_tokens"),
    "filtered": (_ended(model="demo-filtered"), "incomplete", "content_filter"),
    "interrupted": (_interrupted, "incomplete", "steered"),
}


@pytest.mark.parametrize("status", LIVE)
def test_a_live_response_obeys_both_schemas(http: httpx2.Client, status: str) -> None:
    name = LIVE[status](http)
    assert judged_response(_get(http, f"/v1/responses/{name}")).status == status


@pytest.mark.parametrize("case", ENDED)
def test_an_ended_response_and_its_stream_obey_both_schemas(http: httpx2.Client, case: str) -> None:
    make, status, reason = ENDED[case]
    name = make(http)
    raw = _get(http, f"/v1/responses/{name}")
    response = judged_response(raw)
    assert response.status == status
    why = response.error.code if response.error else response.incomplete_details and response.incomplete_details.reason
    assert why == reason
    events = judged_events(_get(http, f"/v1/responses/{name}?stream=true"))
    assert events[0].type == "response.created"
    if status == "cancelled":
        assert all(event.type not in {"response.completed", "response.incomplete"} for event in events)
    else:
        assert events[-1].type == f"response.{status}"
        assert orjson.loads(events[-1].response.model_dump_json()) == orjson.loads(response.model_dump_json())


@pytest.mark.parametrize("background", [False, True])
@pytest.mark.parametrize("model", ["demo-fast", "demo-fail-400", "demo-filtered"])
def test_a_live_stream_obeys_both_schemas_and_is_told_again_the_same(
    http: httpx2.Client, model: str, *, background: bool
) -> None:
    live = _post(http, "/v1/responses", model=model, input=TEXT, stream=True, background=background)
    events = judged_events(live)
    assert ("response.queued" in [event.type for event in events]) is background
    assert _get(http, f"/v1/responses/{events[0].response.id}?stream=true") == live


def test_all_fields_that_a_request_may_have_come_back_and_obey_the_schema(http: httpx2.Client) -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}, "required": ["a"]}
    sent: dict[str, Any] = {
        "instructions": "Be brief.",
        "metadata": {"a": "b"},
        "temperature": 0.5,
        "top_p": 0.5,
        "max_output_tokens": 100,
        "text": {"format": {"type": "json_schema", "name": "n", "schema": schema, "strict": True}, "verbosity": "low"},
        "truncation": "auto",
        "user": "u",
        "safety_identifier": "s",
        "prompt_cache_key": "k",
        "parallel_tool_calls": False,
    }
    raw = _post(http, "/v1/responses", model="demo-fast", input=TEXT, reasoning={"effort": "low"}, **sent)
    # Not by the other schema: of a format's own schema its package takes nothing but null.
    judged(Response, raw)
    shown = orjson.loads(raw)
    sent["text"]["format"]["description"] = None
    assert {name: shown[name] for name in sent} == sent


@pytest.mark.parametrize("kind", ["text", "json_object"])
def test_a_text_format_comes_back_and_obeys_both_schemas(http: httpx2.Client, kind: str) -> None:
    raw = _post(http, "/v1/responses", model="demo-fast", input=TEXT, text={"format": {"type": kind}})
    assert judged_response(raw).text.format.type == kind  # type: ignore[union-attr]


def test_input_items_obey_the_schema(http: httpx2.Client) -> None:
    roles = ("developer", "system", "user", "assistant", "user")
    name = _ended(input=[{"role": role, "content": role} for role in roles])(http)
    items = judged(ResponseItemList, _get(http, f"/v1/responses/{name}/input_items?order=asc"))
    assert [item.role for item in items.data] == list(roles)  # type: ignore[union-attr]


def test_conversations_and_items_obey_the_schema(http: httpx2.Client) -> None:
    items = [{"role": role, "content": role} for role in ("developer", "system", "user", "assistant")]
    raw = _post(http, "/v1/conversations", items=items, metadata={"a": "b"})
    path = f"/v1/conversations/{judged(Conversation, raw).id}"
    judged(Conversation, _get(http, path))
    judged(Conversation, _post(http, path, metadata={"c": "d"}))
    judged(ConversationItemList, _post(http, f"{path}/items", items=items))
    listed = judged(ConversationItemList, _get(http, f"{path}/items"))
    assert len(listed.data) == 8
    for item in listed.data:
        judged(ConversationItem, _get(http, f"{path}/items/{item.id}"))  # type: ignore[arg-type]
    judged(Conversation, http.delete(f"{path}/items/{listed.data[0].id}").content)
    judged(ConversationDeletedResource, http.delete(path).content)


def test_an_empty_list_obeys_the_schema(http: httpx2.Client) -> None:
    assert judged(ConversationItemList, _get(http, f"/v1/conversations/{_conversation(http)}/items")).data == []


@pytest.mark.parametrize("body", [{}, {"n": 2}, {"max_tokens": 3}, {"model": "demo-filtered"}])
def test_chat_completions_obey_the_schema(http: httpx2.Client, body: dict[str, Any]) -> None:
    asked = {"model": "demo-fast", "messages": [{"role": "user", "content": TEXT}], **body}
    judged(ChatCompletion, _post(http, "/v1/chat/completions", **asked))
    for options in ({}, {"stream_options": {"include_usage": True}}):
        raw = _post(http, "/v1/chat/completions", **asked, stream=True, **options)
        for _, data in frames(raw):
            judged(ChatCompletionChunk, data)
        assert raw.endswith(b"data: [DONE]\n\n")


def test_models_obey_the_schema(http: httpx2.Client) -> None:
    for listed in orjson.loads(_get(http, "/v1/models"))["data"]:
        judged(Model, _get(http, f"/v1/models/{listed['id']}"))


@pytest.mark.parametrize(("key", "wrong"), [("id", 5), ("created_at", "5"), ("status", "done"), ("output", {})])
def test_the_judge_itself_refuses_what_is_of_another_type(http: httpx2.Client, key: str, wrong: object) -> None:
    shown = orjson.loads(_post(http, "/v1/responses", model="demo-fast", input=TEXT))
    with pytest.raises(ValidationError):
        judged(Response, orjson.dumps({**shown, key: wrong}))


def test_the_judge_itself_refuses_a_wrong_event_and_a_gap(http: httpx2.Client) -> None:
    raw = _post(http, "/v1/responses", model="demo-fast", input=TEXT, stream=True)
    with pytest.raises(ValidationError):
        judged_events(raw.replace(b'"delta":"', b'"delta":5,"was":"'))
    with pytest.raises(AssertionError):
        judged_events(raw.replace(b'"sequence_number":3', b'"sequence_number":4'))
