"""What is counted is what the model saw, whatever became of its answers; and nobody is asked whom nobody pays for."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import httpx2
import orjson
import pytest
from sqlalchemy import update

from demo_model import chat_request
from shared.clock import now_ms
from shared.database.access import Database
from shared.database.models import DEFAULT_TENANT, conversations
from shared.reply_status import ReplyError, ReplyStatus
from shared.store import budgets, stops, usage, usage_report
from shared.store.budgets import Limits, Spender
from shared.store.prompts import estimate_tokens
from shared.store.usage_report import By
from tests.fixtures.chats import Chats
from tests.fixtures.demo_counts import requests_of
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.waiting import BOUND_SECONDS, until
from tests.fixtures.workers import running_worker

pytestmark = pytest.mark.anyio

# A name of its own for each, since the demo model counts by name.
WHOLE, RETRIED, REFUSED, CUT, STOPPED = "demo-40ms", "demo-fail-500-once", "demo-fail-401", "demo-cut", "demo-drip"


async def bodies_of(demo: DemoProcess, model: str) -> list[dict[str, Any]]:
    """What the demo model was asked under this name."""
    async with httpx2.AsyncClient(timeout=BOUND_SECONDS) as http:
        bodies = (await http.get(f"{demo.root_url}/requests")).json()["requests"]
    return [body for body in bodies if body["model"] == model]


async def used(database: Database) -> dict[str, dict[str, Any]]:
    """The sums by model."""
    days = {"first_day": 0, "last_day": 100_000}
    rows: Sequence[Any] = await database.read(
        usage_report.page, DEFAULT_TENANT, by=[By.MODEL], limit=100, after=None, **days
    )
    return {row["model"]: {name: int(row[name]) for name in usage.SUMS if row[name]} for row in rows}


def estimate(bodies: Sequence[dict[str, Any]]) -> int:
    return sum(estimate_tokens(message["content"]) for body in bodies for message in body["messages"])


async def test_the_sums_are_what_the_model_counted(
    database: Database, database_url: str, chats: Chats, demo: DemoProcess
) -> None:
    """Over whole answers, tries that failed, were refused or broke off, and one that somebody stopped."""
    replies = {
        model: [await chats.ask_anew(f"Hello, I am Ada {number}", model=model) for number in range(3)]
        for model in (WHOLE, RETRIED, REFUSED, CUT)
    }
    stopped = await chats.ask_anew(model=STOPPED)

    async def has_begun() -> bool:
        return bool((await chats.reply(stopped))["content"])

    with running_worker(database_url, base_url=demo.base_url):
        for reply_ids in replies.values():
            for reply_id in reply_ids:
                await chats.until_ended(reply_id)
        await chats.until_status(stopped, ReplyStatus.IN_PROGRESS)
        await until(has_begun)
        await database.write(stops.cancel, DEFAULT_TENANT, stopped, now=now_ms())
        ended = await chats.until_ended(stopped)
    seen = {model: await bodies_of(demo, model) for model in (*replies, STOPPED)}
    for _ in range(2):
        sums = await used(database)
        for model, bodies in seen.items():
            assert sums[model]["attempts"] == len(bodies) == await requests_of(demo, model)
        counted = [chat_request.parse(orjson.dumps(body)).prompt_tokens() for body in seen[WHOLE]]
        assert sums[WHOLE]["input_tokens"] == sum(counted)
        assert (sums[WHOLE]["completed"], "estimated_tokens" in sums[WHOLE]) == (3, False)
        # The failed first half of them has cost nothing.
        assert sums[RETRIED]["input_tokens"] == sum(counted)
        assert (sums[REFUSED]["failed"], "input_tokens" in sums[REFUSED]) == (3, False)
        assert (sums[CUT]["failed"], sums[CUT]["input_tokens"]) == (3, estimate(seen[CUT]))
        assert sums[CUT]["estimated_tokens"] == sums[CUT]["input_tokens"] + sums[CUT]["output_tokens"]
        assert (sums[STOPPED]["cancelled"], sums[STOPPED]["input_tokens"]) == (1, estimate(seen[STOPPED]))
        assert sums[STOPPED]["output_tokens"] == estimate_tokens(ended["content"])
        await database.write(usage.count)


@pytest.mark.parametrize("spender", [Spender.TENANT, Spender.END_USER, Spender.EACH_END_USER])
async def test_a_reply_whose_budget_was_used_up_while_it_waited_fails_without_a_call(
    database: Database, database_url: str, chats: Chats, demo: DemoProcess, spender: Spender
) -> None:
    model = f"demo-unpaid-{spender}"
    reply_id = await chats.ask_anew(model=model)
    await database.write(lambda connection: connection.execute(update(conversations).values(end_user="ada")))
    subject = "ada" if spender is Spender.END_USER else ""
    await database.write(budgets.put, DEFAULT_TENANT, spender, subject, limits=Limits(0, None), now=now_ms())
    with running_worker(database_url, base_url=demo.base_url):
        reply = await chats.until_ended(reply_id)
    assert (reply["status"], reply["error_code"]) == (ReplyStatus.FAILED, ReplyError.BUDGET_EXCEEDED)
    assert not reply["error_retryable"]
    assert "0 tokens a day, is used up until 20" in reply["error_message"]
    assert await requests_of(demo, model) == 0
    assert await used(database) == {model: {"failed": 1, "attempts": 1}}
