"""What is refused: with its place and a sentence, as the class of error that the SDK has for it, and only once."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import httpx2
import openai
import pytest

TEXT = "Hello, I am Ada"
SOMEBODY = "0123456789abcdefghjkmnpqrs"
USER = {"role": "user", "content": TEXT}
IMAGE = {"role": "user", "content": [{"type": "input_image", "image_url": "http://localhost/a.png"}]}
TOOL = {"type": "function", "name": "f", "parameters": {}}

# What is sent besides a model and an input, the place that is told, and the code.
RESPONSES: dict[str, tuple[dict[str, Any], str, str]] = {
    "tools": ({"tools": [TOOL]}, "tools", "unsupported_parameter"),
    "a tool's choice": ({"tool_choice": "required"}, "tool_choice", "unsupported_parameter"),
    "calls of tools": ({"max_tool_calls": 1}, "max_tool_calls", "unsupported_parameter"),
    "a stored prompt": ({"prompt": {"id": "pmpt_1"}}, "prompt", "unsupported_parameter"),
    "log probabilities": ({"include": ["message.output_text.logprobs"]}, "include", "unsupported_parameter"),
    "a tier": ({"service_tier": "priority"}, "service_tier", "unsupported_parameter"),
    "an image": ({"input": [IMAGE]}, "input[0].content[0].type", "unsupported_parameter"),
    "what a tool said": (
        {"input": [USER, {"type": "function_call_output", "call_id": "c", "output": "o"}]},
        "input[1].type",
        "unsupported_parameter",
    ),
    "in the background and forgotten": ({"store": False, "background": True}, "store", "unsupported_parameter"),
    "a summary of thoughts": ({"reasoning": {"summary": "auto"}}, "reasoning.summary", "unsupported_parameter"),
    "an unknown parameter": ({"extra_body": {"colour": "red"}}, "colour", "unknown_parameter"),
    "an empty text": ({"input": ""}, "input", "invalid_value"),
    "no item": ({"input": []}, "input", "invalid_value"),
    "white space": ({"input": " \n"}, "input", "invalid_value"),
    "a number": ({"input": 5}, "input", "invalid_value"),
    "an unknown role": ({"input": [{"role": "robot", "content": "x"}]}, "input[0].role", "invalid_value"),
    "far too long a text": ({"input": "x" * 200_001}, "input", "invalid_value"),
    "a text for a number": ({"temperature": "hot"}, "temperature", "invalid_value"),
    "too warm": ({"temperature": 3}, "temperature", "invalid_value"),
    "no tokens": ({"max_output_tokens": 0}, "max_output_tokens", "invalid_value"),
    "too much metadata": (
        {"metadata": {str(number): "x" for number in range(17)}},
        "metadata",
        "invalid_value",
    ),
    "a malformed response": ({"previous_response_id": "resp_1"}, "previous_response_id", "invalid_value"),
    "a malformed conversation": ({"conversation": "conv_1"}, "conversation", "invalid_value"),
    "behind a response and in a conversation": (
        {"conversation": f"conv_{SOMEBODY}", "previous_response_id": f"resp_{SOMEBODY}"},
        "previous_response_id",
        "invalid_value",
    ),
}
CHAT: dict[str, tuple[dict[str, Any], str, str]] = {
    "tools": ({"tools": [{"type": "function", "function": {"name": "f"}}]}, "tools", "unsupported_parameter"),
    "log probabilities": ({"logprobs": True}, "logprobs", "unsupported_parameter"),
    "to be kept": ({"store": True}, "store", "unsupported_parameter"),
    "an image": (
        {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "x"}}]}]},
        "messages[0].content[0].type",
        "unsupported_parameter",
    ),
    "no message": ({"messages": []}, "messages", "invalid_value"),
    "too many choices": ({"n": 9}, "n", "invalid_value"),
}


class Counted:
    """A client that tries again, and how often it did."""

    def __init__(self, url: str) -> None:
        self.answers: list[httpx2.Response] = []
        self.on_answer: Callable[[httpx2.Response], None] = lambda _: None
        hooks: dict[str, list[Callable[..., Any]]] = {"response": [self._note]}
        http = httpx2.Client(event_hooks=hooks, timeout=60)
        self.client = openai.OpenAI(base_url=f"{url}/v1", api_key="any", max_retries=2, http_client=http)

    def _note(self, answer: httpx2.Response) -> None:
        self.answers.append(answer)
        self.on_answer(answer)


@pytest.fixture
def counted(url: str) -> Iterator[Counted]:
    made = Counted(url)
    with made.client:
        yield made


@pytest.fixture
def particular(particular_url: str) -> Iterator[Counted]:
    made = Counted(particular_url)
    with made.client:
        yield made


def _is_told(error: openai.APIStatusError, *, param: str, code: str) -> None:
    assert (error.param, error.code, error.type) == (param, code, "invalid_request_error")
    sentence = str(error.body["message"])  # type: ignore[index]
    assert sentence.startswith(f"{param}: ")
    assert " " in sentence.removeprefix(f"{param}: ")
    assert error.request_id


@pytest.mark.parametrize("case", RESPONSES)
def test_a_response_that_is_not_possible_is_refused_once(counted: Counted, case: str) -> None:
    sent, param, code = RESPONSES[case]
    with pytest.raises(openai.BadRequestError) as refused:
        counted.client.responses.create(**{"model": "demo-fast", "input": TEXT, **sent})
    _is_told(refused.value, param=param, code=code)
    assert len(counted.answers) == 1


@pytest.mark.parametrize("case", CHAT)
def test_a_chat_completion_that_is_not_possible_is_refused_once(counted: Counted, case: str) -> None:
    sent, param, code = CHAT[case]
    with pytest.raises(openai.BadRequestError) as refused:
        counted.client.chat.completions.create(**{"model": "demo-fast", "messages": [USER], **sent})
    _is_told(refused.value, param=param, code=code)
    assert len(counted.answers) == 1


MISSING: dict[str, Callable[[openai.OpenAI], object]] = {
    "a response": lambda client: client.responses.retrieve(f"resp_{SOMEBODY}"),
    "a malformed response": lambda client: client.responses.retrieve("nothing"),
    "a response's stream": lambda client: client.responses.retrieve(f"resp_{SOMEBODY}", stream=True),
    "a response to cancel": lambda client: client.responses.cancel(f"resp_{SOMEBODY}"),
    "a response to delete": lambda client: client.responses.delete(f"resp_{SOMEBODY}"),
    "a response's items": lambda client: client.responses.input_items.list(f"resp_{SOMEBODY}"),
    "a response to follow": lambda client: client.responses.create(
        model="demo", input=TEXT, previous_response_id=f"resp_{SOMEBODY}"
    ),
    "a conversation": lambda client: client.conversations.retrieve(f"conv_{SOMEBODY}"),
    "a malformed conversation": lambda client: client.conversations.retrieve("nothing"),
    "a conversation to ask in": lambda client: client.responses.create(
        model="demo", input=TEXT, conversation=f"conv_{SOMEBODY}"
    ),
    "an item": lambda client: client.conversations.items.retrieve(
        f"msg_{SOMEBODY}", conversation_id=client.conversations.create().id
    ),
    "a model": lambda client: client.models.retrieve("nothing"),
    "what is not offered": lambda client: client.responses.compact(model="demo", input=TEXT),
}


@pytest.mark.parametrize("case", MISSING)
def test_what_is_not_there_is_not_found_at_once(counted: Counted, case: str) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        MISSING[case](counted.client)
    assert refused.value.type == "invalid_request_error"
    assert [answer.status_code for answer in counted.answers if answer.status_code != 200] == [404]


def test_a_base_url_without_its_end_is_told(url: str) -> None:
    with openai.OpenAI(base_url=url, api_key="any") as client:
        with pytest.raises(openai.NotFoundError, match="let the base URL end in /v1"):
            client.responses.create(model="demo-fast", input=TEXT)
        with pytest.raises(openai.NotFoundError, match="let the base URL end in /v1"):
            client.chat.completions.create(model="demo-fast", messages=[{"role": "user", "content": TEXT}])


def test_a_foreground_response_that_has_ended_cannot_be_cancelled(counted: Counted) -> None:
    response = counted.client.responses.create(model="demo-fast", input=TEXT)
    with pytest.raises(openai.BadRequestError, match=r"Cannot cancel a synchronous response\."):
        counted.client.responses.cancel(response.id)
    assert len(counted.answers) == 2


def test_a_model_that_is_not_offered_is_refused_once(particular: Counted) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        particular.client.responses.create(model="other", input=TEXT)
    assert refused.value.status_code == 400
    assert refused.value.param == "model"
    assert len(particular.answers) == 1


def test_a_body_that_is_far_too_large_is_refused_once(counted: Counted) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        counted.client.responses.create(model="demo-fast", input="x" * (1 << 20))
    assert refused.value.status_code == 413
    assert len(counted.answers) == 1


@pytest.mark.parametrize(
    ("model", "status"), [("demo-fail-400", 502), ("demo-fail-context", 400), ("demo-fail-404", 404)]
)
def test_a_chat_completion_that_failed_is_an_error_and_not_asked_again(
    counted: Counted, model: str, status: int
) -> None:
    with pytest.raises(openai.APIStatusError) as failed:
        counted.client.chat.completions.create(model=model, messages=[{"role": "user", "content": TEXT}])
    assert failed.value.status_code == status
    assert len(counted.answers) == 1


def test_a_chat_completion_that_fails_within_its_stream_raises(counted: Counted) -> None:
    asked = counted.client.chat.completions.create(
        model="demo-fail-400", messages=[{"role": "user", "content": TEXT}], stream=True
    )
    with pytest.raises(openai.APIError):
        list(asked)


def test_what_may_be_possible_in_a_moment_is_asked_again(particular: Counted, particular_url: str) -> None:
    """The one stream that this gateway serves is another's, until the first refusal."""
    with openai.OpenAI(base_url=f"{particular_url}/v1", api_key="any") as other:
        running = other.responses.create(model="demo", input=TEXT, background=True, stream=True)

        def leave(answer: httpx2.Response) -> None:
            if answer.status_code == 503:
                running.close()

        particular.on_answer = leave
        events: list[Any] = list(particular.client.responses.create(model="demo-fast", input=TEXT, stream=True))
    assert events[-1].type == "response.completed"
    statuses = [answer.status_code for answer in particular.answers]
    assert statuses[0] == 503
    assert statuses[-1] == 200
    assert particular.answers[0].headers["retry-after"]


def test_the_request_has_an_id(client: openai.OpenAI) -> None:
    response = client.responses.create(model="demo-fast", input=TEXT)
    assert response._request_id
    assert client.responses.retrieve(response.id)._request_id != response._request_id


def test_an_idempotency_key_gives_the_same_response(counted: Counted) -> None:
    asked: dict[str, Any] = {"model": "demo-fast", "extra_headers": {"Idempotency-Key": f"key-{id(counted)}"}}
    first = counted.client.responses.create(input=TEXT, **asked)
    again = counted.client.responses.create(input=TEXT, **asked)
    assert again.id == first.id
    with pytest.raises(openai.BadRequestError) as refused:
        counted.client.responses.create(input="Something else", **asked)
    assert refused.value.code == "idempotency_mismatch"
    assert len(counted.answers) == 3
