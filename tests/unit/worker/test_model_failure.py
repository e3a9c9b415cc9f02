"""What goes wrong at a model, as a public code and a sentence."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import aiohttp
import httpx2
import openai
import pytest
from openai import AsyncOpenAI

from shared.reply_status import ReplyError
from worker import model_failure
from worker.model_failure import MAX_RETRY_AFTER_SECONDS, ModelFailure, of_exception

REQUEST = httpx2.Request("POST", "http://model.test/v1/chat/completions")
SDK = AsyncOpenAI(api_key="none")


def refused(
    status: int, *, code: object = None, message: object = "No.", headers: Mapping[str, str] | None = None
) -> ModelFailure:
    """What a refusal comes to, made into the SDK's error by the SDK itself."""
    body = {"error": {"message": message, "type": "some_error", "param": None, "code": code}}
    response = httpx2.Response(status, content=json.dumps(body), headers=headers, request=REQUEST)
    return of_exception(SDK._make_status_error_from_response(response), has_begun=False)


@pytest.mark.parametrize(
    ("status", "code", "expected", "retryable", "counts"),
    [
        (401, "invalid_api_key", ReplyError.INVALID_API_KEY, False, False),
        (403, "unsupported_country_region_territory", ReplyError.INVALID_API_KEY, False, False),
        (404, "model_not_found", ReplyError.MODEL_NOT_FOUND, False, False),
        (404, None, ReplyError.MODEL_NOT_FOUND, False, False),
        (400, "model_not_found", ReplyError.MODEL_NOT_FOUND, False, False),
        (400, "context_length_exceeded", ReplyError.CONTEXT_LENGTH_EXCEEDED, False, False),
        (400, "string_above_max_length", ReplyError.CONTEXT_LENGTH_EXCEEDED, False, False),
        (413, None, ReplyError.CONTEXT_LENGTH_EXCEEDED, False, False),
        (400, "content_filter", ReplyError.CONTENT_FILTERED, False, False),
        (400, "content_policy_violation", ReplyError.CONTENT_FILTERED, False, False),
        (400, "invalid_value", ReplyError.UPSTREAM_ERROR, False, False),
        (422, None, ReplyError.UPSTREAM_ERROR, False, False),
        (302, None, ReplyError.UPSTREAM_ERROR, False, False),
        (408, None, ReplyError.UPSTREAM_ERROR, True, True),
        (429, "rate_limit_exceeded", ReplyError.RATE_LIMITED, True, False),
        (429, "insufficient_quota", ReplyError.RATE_LIMITED, False, False),
        (500, None, ReplyError.UPSTREAM_ERROR, True, True),
        (502, None, ReplyError.UPSTREAM_ERROR, True, True),
        (503, None, ReplyError.UPSTREAM_ERROR, True, False),
        (529, None, ReplyError.UPSTREAM_ERROR, True, True),
    ],
)
def test_each_status_has_its_code(
    status: int, code: str | None, expected: ReplyError, *, retryable: bool, counts: bool
) -> None:
    failed = refused(status, code=code)
    assert (failed.failure.code, failed.failure.retryable, failed.counts) == (expected, retryable, counts)


@pytest.mark.parametrize("status", [400, 404, 429, 500])
@pytest.mark.parametrize("code", [["a"], {"a": 1}, 7, True])
def test_a_code_of_any_type_is_borne(status: int, code: object) -> None:
    """Compatible servers put what they like there, numbers most of all."""
    assert refused(status, code=code).failure.message


@pytest.mark.parametrize("content", [b"", b"null", b"[]", b"<html>Bad gateway</html>", b'{"error": "plain words"}'])
def test_a_refusal_with_any_body_is_understood(content: bytes) -> None:
    response = httpx2.Response(502, content=content, request=REQUEST)
    failed = of_exception(SDK._make_status_error_from_response(response), has_begun=False)
    assert failed.failure.code is ReplyError.UPSTREAM_ERROR
    assert "HTTP 502" in failed.failure.message


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ("Bad thing", "The provider failed (HTTP 500): Bad thing."),
        ("Bad thing.", "The provider failed (HTTP 500): Bad thing."),
        ("", "The provider failed (HTTP 500)."),
    ],
)
def test_the_providers_words_end_our_sentence(words: str, sentence: str) -> None:
    assert refused(500, message=words).failure.message == sentence


def test_the_providers_words_are_quoted_in_one_short_line() -> None:
    words = refused(400, message="first\nsecond " + "x" * 1000).failure.message
    assert "\n" not in words
    assert "first second xxx" in words
    assert len(words) < 400


def test_words_that_no_database_takes_are_made_storable() -> None:
    """A provider that quotes a cut-off question may cut an emoji in half."""
    assert refused(400, message="bad \ud83d\0 input").failure.message.endswith(": bad ? input.")


def test_llama_cpp_says_in_the_type_that_the_context_is_too_long() -> None:
    body = {"error": {"code": 400, "message": "request (4031 tokens) exceeds …", "type": "exceed_context_size_error"}}
    response = httpx2.Response(400, content=json.dumps(body), request=REQUEST)
    failed = of_exception(SDK._make_status_error_from_response(response), has_begun=False)
    assert failed.failure.code is ReplyError.CONTEXT_LENGTH_EXCEEDED
    assert not failed.failure.retryable


def test_a_refused_key_is_not_repeated() -> None:
    """Providers quote the key's ends in this error, and it would be stored."""
    assert "sk-" not in refused(401, message="Incorrect API key provided: sk-abcd***wxyz.").failure.message


@pytest.mark.parametrize("status", [429, 500, 503])
@pytest.mark.parametrize(
    ("header", "seconds"),
    [("7", 7.0), ("0.25", 0.25), (" 3 ", 3.0), ("-5", 0.0), ("1e9", MAX_RETRY_AFTER_SECONDS)],
)
def test_retry_after_in_seconds_is_kept(status: int, header: str, seconds: float) -> None:
    assert refused(status, headers={"Retry-After": header}).retry_after == seconds


def test_retry_after_as_a_date_is_what_is_left_until_then() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(seconds=100), usegmt=True)
    retry_after = refused(429, headers={"Retry-After": date}).retry_after
    assert retry_after is not None
    assert 90 < retry_after <= 100


def test_retry_after_in_the_past_is_now() -> None:
    assert refused(429, headers={"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}).retry_after == 0


@pytest.mark.parametrize(
    "header",
    [
        "",
        "soon",
        "NaN",
        "inf",
        "-inf",
        "1e400",
        "9" * 400 + "x",
        "Wed, 21 Oct 2015 07:28:00 -0000",
        "Wed, 99 Foo 2015 07:28:00 GMT",
        "Wed, 21 Oct 99999 07:28:00 GMT",
        "Wed, 21 Oct 99999999999999999999 07:28:00 GMT",
        "Wed, 21 Oct 2015 07:28:00 +999999",
    ],
)
def test_a_retry_after_that_says_nothing_is_as_none(header: str) -> None:
    assert refused(429, headers={"Retry-After": header}).retry_after is None


def test_no_retry_after_is_none() -> None:
    assert refused(429).retry_after is None


def below(cause: BaseException) -> Exception:
    """The SDK's error over what really happened."""
    error = openai.APIConnectionError(request=REQUEST)
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    ("cause", "has_begun", "expected", "counts"),
    [
        (aiohttp.ConnectionTimeoutError(), False, ReplyError.UPSTREAM_UNREACHABLE, False),
        (aiohttp.ServerDisconnectedError(), False, ReplyError.UPSTREAM_CUT_OFF, True),
        (aiohttp.ClientPayloadError(), True, ReplyError.UPSTREAM_CUT_OFF, True),
        (ConnectionResetError(), True, ReplyError.UPSTREAM_CUT_OFF, True),
        (TimeoutError(), False, ReplyError.UPSTREAM_TIMEOUT, True),
        (TimeoutError(), True, ReplyError.UPSTREAM_TIMEOUT, True),
        (httpx2.DecodingError("garbage"), True, ReplyError.UPSTREAM_MALFORMED, True),
    ],
)
def test_a_failed_connection_is_told_by_its_cause(
    cause: BaseException, expected: ReplyError, *, has_begun: bool, counts: bool
) -> None:
    failed = of_exception(below(cause), has_begun=has_begun)
    assert (failed.failure.code, failed.failure.retryable, failed.counts) == (expected, True, counts)


def test_broken_json_is_malformed() -> None:
    with pytest.raises(json.JSONDecodeError) as caught:
        json.loads("{")
    assert of_exception(caught.value, has_begun=True).failure.code is ReplyError.UPSTREAM_MALFORMED


def test_an_error_object_inside_the_stream_is_quoted() -> None:
    failed = model_failure.broke_off({"message": "The server had an error."})
    assert failed.failure.code is ReplyError.UPSTREAM_ERROR
    assert "The server had an error." in failed.failure.message


@pytest.mark.parametrize(
    "failed",
    [
        model_failure.timed_out(has_begun=False),
        model_failure.timed_out(has_begun=True),
        model_failure.cut_off(),
        model_failure.empty(),
        model_failure.malformed("this and that"),
        model_failure.filtered(),
        *(refused(status) for status in (400, 401, 404, 413, 429, 500, 503)),
    ],
    ids=str,
)
def test_every_message_is_a_sentence(failed: ModelFailure) -> None:
    message = failed.failure.message
    assert message[0].isupper()
    assert message.endswith(".")
    assert "Error" not in message
