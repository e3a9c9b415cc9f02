"""Errors in the form that OpenAI's SDKs read, and whether they are to try again."""

from __future__ import annotations

from typing import Any

import orjson
import pytest

from api.openai_compat.errors import error_answer, speaks_openai
from api.openai_compat.unsupported import CHAT, RESPONSES, without_unsupported
from shared.errors import InvalidValue


def told(code: str, **given: Any) -> tuple[int, dict[str, Any], str]:
    answer = error_answer(code, **given)
    error: dict[str, Any] = orjson.loads(bytes(answer.body))["error"]
    return answer.status_code, error, answer.headers["x-should-retry"]


def mistake(pointer: str, code: str = "invalid_value") -> list[dict[str, str]]:
    return [{"pointer": pointer, "code": code, "detail": "No."}]


@pytest.mark.parametrize(
    ("pointer", "param"),
    [
        ("#/input/0/content/12/text", "input[0].content[12].text"),
        ("#/tools", "tools"),
        ("?limit", "limit"),
        ("#", None),
        ("#/a~1b/c%20d", "a/b.c d"),
        ("Idempotency-Key", "Idempotency-Key"),
    ],
)
def test_a_place_is_spelled_as_openai_does(pointer: str, param: str | None) -> None:
    _, error, _ = told("invalid_value", status=422, message="", errors=mistake(pointer))
    assert error["param"] == param
    assert error["message"] == (f"{param}: No." if param else "No.")


@pytest.mark.parametrize(
    ("code", "status", "shown", "kind", "repeats"),
    [
        ("invalid_value", 422, 400, "invalid_request_error", "false"),
        ("busy", 409, 400, "invalid_request_error", "false"),
        ("unsupported_media_type", 415, 400, "invalid_request_error", "false"),
        ("not_found", 404, 404, "invalid_request_error", "false"),
        ("body_too_large", 413, 413, "invalid_request_error", "false"),
        ("request_timeout", 408, 408, "invalid_request_error", "true"),
        ("storage_busy", 503, 503, "server_error", "true"),
        ("too_many_streams", 503, 503, "server_error", "true"),
        ("not_finished", 503, 503, "server_error", "false"),
        ("outcome_unknown", 503, 503, "server_error", "false"),
        ("internal_error", 500, 500, "server_error", "false"),
    ],
)
def test_only_what_may_pass_by_itself_and_stored_nothing_is_tried_again(
    code: str, status: int, *, shown: int, kind: str, repeats: str
) -> None:
    found, error, should_retry = told(code, status=status, message="No.")
    assert (found, error["type"], error["code"], should_retry) == (shown, kind, code, repeats)


def test_unknown_and_missing_fields_have_openais_codes() -> None:
    assert told("invalid_value", status=422, message="", errors=mistake("#/a", "extra_forbidden"))[1]["code"] == (
        "unknown_parameter"
    )
    assert told("invalid_value", status=422, message="", errors=mistake("#/a", "missing"))[1]["code"] == (
        "missing_required_parameter"
    )


def test_the_dialect_goes_by_the_path() -> None:
    assert speaks_openai("/v1/responses")
    assert speaks_openai("/v1")
    assert not speaks_openai("/v10/x")
    assert not speaks_openai("/conversations/")


@pytest.mark.parametrize(("refusals", "name"), [*((RESPONSES, name) for name in RESPONSES), *((CHAT, n) for n in CHAT)])
def test_what_is_not_supported_is_refused_where_it_says_something(refusals: Any, name: str) -> None:
    assert without_unsupported({name: None, "model": "m"}, refusals) == {"model": "m"}
    something = ["message.output_text.logprobs"] if name == "include" else "required"
    with pytest.raises(InvalidValue) as caught:
        without_unsupported({name: something}, refusals)
    assert (caught.value.code, caught.value.pointer) == ("unsupported_parameter", f"#/{name}")
    assert str(caught.value).endswith(".")
