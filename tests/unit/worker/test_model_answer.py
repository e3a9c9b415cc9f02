"""How a model's answer is read, with a server that sends exactly chosen bytes."""

from __future__ import annotations

import gzip
import json

import pytest

from shared.ending import Usage
from shared.reply_status import ReplyError
from tests.fixtures.raw_model import DONE, chunk, event, head, usage
from tests.unit.worker.model_calls import fail, hear
from worker import model_answer
from worker.model_answer import Finished

pytestmark = pytest.mark.anyio


COUNTS = {"prompt_tokens": 3, "completion_tokens": 5}


async def test_text_arrives_piece_by_piece_with_the_end_and_the_counts() -> None:
    heard = await hear(
        head(), chunk("", role="assistant"), chunk("Hel"), chunk("lo"), chunk(finish="stop"), usage(COUNTS), DONE
    )
    assert heard.pieces == ["Hel", "lo"]
    assert heard.finished == Finished("stop", Usage(3, 5))


async def test_characters_may_be_split_anywhere() -> None:
    """Every byte in a write of its own."""
    body = b"data: " + json.dumps(
        {"choices": [{"index": 0, "delta": {"content": "né 日本 🙂"}, "finish_reason": "stop"}]}, ensure_ascii=False
    ).encode() + b"\n\n" + DONE  # fmt: skip
    heard = await hear(head(), *(body[at : at + 1] for at in range(len(body))))
    assert heard.text == "né 日本 🙂"


async def test_lines_may_end_as_on_windows_and_comments_are_ignored() -> None:
    body = b": hello\r\n\r\n" + chunk("Hi", finish="stop").replace(b"\n", b"\r\n") + b":\r\n\r\ndata: [DONE]\r\n\r\n"
    assert (await hear(head(), body)).text == "Hi"


async def test_data_needs_no_blank_after_its_colon_and_may_name_its_event() -> None:
    body = b"event: message\nid: 1\n" + chunk("Hi", finish="stop").replace(b"data: ", b"data:")
    assert (await hear(head(), body, DONE)).text == "Hi"


async def test_an_answer_without_done_is_whole_if_it_said_why_it_ended() -> None:
    assert (await hear(head(), chunk("Hi", finish="stop"))).finished == Finished("stop", None)


@pytest.mark.parametrize(
    "kind", ["text/event-stream; charset=utf-8", "TEXT/EVENT-STREAM", "text/event-stream;charset=UTF-8"]
)
async def test_the_content_type_may_be_spelled_in_any_way(kind: str) -> None:
    assert (await hear(head(kind=kind), chunk("Hi", finish="stop"), DONE)).text == "Hi"


async def test_compressed_answers_are_read() -> None:
    body = gzip.compress(chunk("Hi", finish="stop") + DONE)
    assert (await hear(head(more=["Content-Encoding: gzip"]), body)).text == "Hi"


async def test_a_broken_compression_is_malformed() -> None:
    failed = await fail(head(more=["Content-Encoding: gzip"]), b"this is no gzip")
    assert failed.failure.code is ReplyError.UPSTREAM_MALFORMED


async def test_a_refusal_is_an_answer() -> None:
    heard = await hear(head(), chunk(refusal="I cannot "), chunk(refusal="do that.", finish="stop"), DONE)
    assert heard.text == "I cannot do that."


async def test_what_no_database_takes_is_taken_out_of_the_text() -> None:
    heard = await hear(head(), chunk("a\0b\ud83dc", finish="stop"), DONE)
    assert heard.text == "ab?c"


async def test_an_answer_of_nothing_but_nul_is_empty() -> None:
    failed = await fail(head(), chunk("\0\0", finish="stop"), DONE)
    assert failed.failure.code is ReplyError.UPSTREAM_EMPTY


@pytest.mark.parametrize(
    "counts",
    [
        None,
        {},
        [],
        "many",
        7,
        {"prompt_tokens": 3},
        {"prompt_tokens": "3", "completion_tokens": 5},
        {"prompt_tokens": 3.5, "completion_tokens": 5},
        {"prompt_tokens": None, "completion_tokens": None},
        {"prompt_tokens": True, "completion_tokens": False},
    ],
    ids=str,
)
async def test_counts_that_say_nothing_are_none(counts: object) -> None:
    heard = await hear(head(), chunk("Hi", finish="stop"), usage(counts), DONE)
    assert heard.finished == Finished("stop", None)


async def test_counts_are_kept_within_what_a_column_holds() -> None:
    heard = await hear(
        head(), chunk("Hi", finish="stop"), usage({"prompt_tokens": -1, "completion_tokens": 10**18}), DONE
    )
    assert heard.finished == Finished("stop", Usage(0, 2**31 - 1))


async def test_a_call_of_tools_alone_is_an_empty_answer() -> None:
    tools = [{"index": 0, "id": "call_1", "type": "function", "function": {"name": "f", "arguments": "{}"}}]
    failed = await fail(head(), chunk(tool_calls=tools), chunk(finish="tool_calls"), DONE)
    assert failed.failure.code is ReplyError.UPSTREAM_EMPTY


@pytest.mark.parametrize("reason", ["length", "content_filter"])
async def test_an_answer_may_end_early_with_no_text(reason: str) -> None:
    assert (await hear(head(), chunk(finish=reason), DONE)).finished == Finished(reason, None)


async def test_an_end_without_a_reason_is_cut_off() -> None:
    assert (await fail(head(), chunk("Hi"))).failure.code is ReplyError.UPSTREAM_CUT_OFF


async def test_an_end_without_a_reason_is_cut_off_also_with_done() -> None:
    assert (await fail(head(), chunk("Hi"), DONE)).failure.code is ReplyError.UPSTREAM_CUT_OFF


async def test_no_byte_of_an_answer_is_cut_off() -> None:
    assert (await fail()).failure.code is ReplyError.UPSTREAM_CUT_OFF


@pytest.mark.parametrize(
    "value",
    [
        [],
        "text",
        7,
        {"choices": 7},
        {"choices": {"a": 1}},
        {"choices": "text"},
        {"choices": [7]},
        {"choices": [{"delta": "text"}]},
        {"choices": [{"delta": [1]}]},
        {"choices": [{"delta": {"content": 7}}]},
        {"choices": [{"delta": {"content": [{"type": "text", "text": "Hi"}]}}]},
        {"choices": [{"delta": {"content": "Hi"}, "finish_reason": ["stop"]}]},
        {"choices": [{"delta": {"content": "Hi"}, "finish_reason": {"a": 1}}]},
    ],
    ids=str,
)
async def test_a_chunk_of_another_shape_is_malformed(value: object) -> None:
    assert (await fail(head(), event(value), DONE)).failure.code is ReplyError.UPSTREAM_MALFORMED


@pytest.mark.parametrize(
    "body", [b"data: {\n\n", b"data: nothing\n\n", b'data: "\xff\xfe"\n\n', b"data: " + b"[" * 100_000 + b"\n\n"]
)
async def test_data_that_is_no_json_is_malformed(body: bytes) -> None:
    assert (await fail(head(), body)).failure.code is ReplyError.UPSTREAM_MALFORMED


@pytest.mark.parametrize("kind", ["text/html; charset=utf-8", "application/json", "x" * 500])
async def test_an_answer_that_is_no_stream_is_malformed(kind: str) -> None:
    failed = await fail(head(kind=kind), b"<html>")
    assert failed.failure.code is ReplyError.UPSTREAM_MALFORMED
    assert kind.partition(";")[0][:50] in failed.failure.message


async def test_an_answer_that_is_too_long_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(model_answer, "MAX_ANSWER_CHARS", 10)
    failed = await fail(head(), chunk("x" * 6), chunk("x" * 6, finish="stop"), DONE)
    assert failed.failure.code is ReplyError.UPSTREAM_MALFORMED


async def test_an_error_inside_the_stream_is_quoted() -> None:
    failed = await fail(head(), chunk("Hi"), event({"error": {"message": "Overheated", "code": 500}}), DONE)
    assert failed.failure.code is ReplyError.UPSTREAM_ERROR
    assert "Overheated" in failed.failure.message


async def test_an_error_inside_the_stream_may_be_a_plain_string() -> None:
    failed = await fail(head(), event({"error": "Overheated"}), DONE)
    assert failed.failure.code is ReplyError.UPSTREAM_ERROR
