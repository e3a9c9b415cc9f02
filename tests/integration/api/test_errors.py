"""What goes wrong inside: a problem for the client, a line for the log, and nothing private in either."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import orjson
import pytest

from shared.errors import OutcomeUnknown, StorageBusy, StorageUnavailable
from shared.observability.logging import JsonFormatter
from tests.integration.api.gateway import Gateway

pytestmark = pytest.mark.anyio

CANARY = "canary-7f3a"


class _Entries(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(JsonFormatter())
        self.entries: list[dict[str, Any]] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.entries.append(orjson.loads(self.format(record)))


@pytest.fixture
def entries(gateway: Gateway) -> Iterator[list[dict[str, Any]]]:  # noqa: ARG001  It has set up its log by then.
    """What is written into the log from now on."""
    handler = _Entries()
    logging.getLogger().addHandler(handler)
    yield handler.entries
    logging.getLogger().removeHandler(handler)


@contextmanager
def _writes_that_raise(gateway: Gateway, error: Exception) -> Iterator[None]:
    """The writer is the seam: for the block, every write ends like this."""
    writer = gateway.resources.database.writer

    async def write(_function: Callable[..., Any], *_arguments: Any, **_keywords: Any) -> Any:
        raise error

    original = writer.write
    writer.write = write  # type: ignore[method-assign, assignment]  # given back below
    try:
        yield
    finally:
        writer.write = original  # type: ignore[method-assign]  # as it was


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (StorageBusy("busy"), "storage_busy"),
        (StorageUnavailable("gone"), "storage_unavailable"),
        (OutcomeUnknown("lost"), "outcome_unknown"),
    ],
)
async def test_a_database_that_does_not_take_part_is_a_503(gateway: Gateway, error: Exception, code: str) -> None:
    with _writes_that_raise(gateway, error):
        answer = await gateway.client.post("/conversations/", json={})
    assert answer.status_code == 503
    assert answer.headers["Retry-After"] == "1"
    problem = answer.json()
    assert problem["code"] == code
    assert ("Idempotency-Key" in problem["detail"]) is (code == "outcome_unknown")


async def test_what_nobody_expected_is_a_problem_without_a_traceback(
    gateway: Gateway, entries: list[dict[str, Any]]
) -> None:
    with _writes_that_raise(gateway, ZeroDivisionError("a secret detail")):
        answer = await gateway.client.post("/conversations/", json={"title": CANARY})
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json()["request_id"] == answer.headers["X-Request-ID"]
    assert "secret" not in answer.text
    assert "Traceback" not in answer.text
    (logged,) = [entry for entry in entries if "exception" in entry]
    assert logged["request_id"] == answer.headers["X-Request-ID"]


async def test_each_request_is_one_log_line_without_body_or_query(
    gateway: Gateway, entries: list[dict[str, Any]]
) -> None:
    conversation_id = await gateway.new_conversation(title=CANARY, end_user=CANARY)
    await gateway.ask(conversation_id, CANARY)
    await gateway.client.post("/conversations/", content=f'{{"title": "{CANARY}'.encode())
    entries.clear()
    answer = await gateway.client.get(f"/conversations/?end_user={CANARY}", headers={"Authorization": CANARY})
    (entry,) = [entry for entry in entries if entry["logger"] == "api.access"]
    assert CANARY not in str(entry)
    assert (entry["method"], entry["path"], entry["status"]) == ("GET", "/conversations/", 200)
    assert entry["ms"] > 0
    assert entry["request_id"] == answer.headers["X-Request-ID"]


async def test_nobody_can_write_log_lines_of_their_own(gateway: Gateway, entries: list[dict[str, Any]]) -> None:
    await gateway.client.get("/nope%0A2026-01-01T00:00:00.000Z%20ERROR")
    (entry,) = [entry for entry in entries if entry["logger"] == "api.access"]
    assert "\n" not in entry["path"]
