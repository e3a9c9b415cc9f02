"""`GET /conversations/?q=`."""

from __future__ import annotations

import pytest

from api.routes.conversations import MAX_QUERY_CHARS, MAX_QUERY_WORDS
from api.schemas.conversations import ConversationPage
from shared.database.access import Database
from shared.search_indexer import index_all
from shared.store import search_index
from tests.integration.api.gateway import Gateway, PlayedWorker

pytestmark = pytest.mark.anyio


async def test_a_conversation_is_found_by_what_was_asked_and_what_was_answered(
    gateway: Gateway, worker: PlayedWorker
) -> None:
    conversation_id = await gateway.new_conversation(title="Untold")
    await gateway.ask(conversation_id, "Who was Ada Lovelace?")
    (claim,) = await worker.claim()
    await worker.complete(claim, "A mathematician in London.")
    await gateway.new_conversation(title="Something else")
    for query, turn_text in (("lovelace", "Who was Ada Lovelace?"), ("LONDON math", "A mathematician in London.")):
        page = await gateway.get(f"/conversations/?q={query}")
        ConversationPage.model_validate(page)
        (found,) = page["data"]
        assert found["id"] == conversation_id
        match = found["match"]
        assert (match["field"], match["snippet"], match["turn"]) == ("message", turn_text, 1)
        shown = await gateway.get(f"/conversations/{conversation_id}/")
        assert match["message_id"] in {message["id"] for message in shown["messages"]}


async def test_only_a_search_tells_where_it_was_found(gateway: Gateway) -> None:
    await gateway.new_conversation(title="About Rome", end_user="ada")
    (listed,) = (await gateway.get("/conversations/"))["data"]
    assert "match" not in listed
    (found,) = (await gateway.get("/conversations/?q=rome&end_user=ada"))["data"]
    match = {"field": "title", "snippet": "About Rome", "message_id": None, "turn": None}
    assert found == {**listed, "match": match}
    assert (await gateway.get("/conversations/?q=rome&end_user=bob"))["data"] == []


async def test_pages_of_a_search_follow_on_each_other_by_link(gateway: Gateway) -> None:
    for number in range(5):
        await gateway.new_conversation(title=f"Plan & {number}")
    url: str | None = "/conversations/?q=plan%20%26&limit=2"
    titles: list[str] = []
    while url:
        answer = await gateway.client.get(url)
        titles += [item["title"] for item in answer.json()["data"]]
        url = answer.links["next"]["url"] if answer.json()["has_more"] else None
    assert titles == [f"Plan & {number}" for number in range(4, -1, -1)]


@pytest.mark.parametrize(
    "query", ["", "%20", "%00", "a%00b", "x" * (MAX_QUERY_CHARS + 1), "+".join(map(str, range(MAX_QUERY_WORDS + 1)))]
)
async def test_a_query_that_says_nothing_or_too_much_is_refused(gateway: Gateway, query: str) -> None:
    answer = await gateway.client.get(f"/conversations/?q={query}")
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["pointer"] == "?q"


async def test_any_other_query_is_data(gateway: Gateway) -> None:
    for query in ('"', "'", "a'--", "NOT", "a AND", "*", "%", "_", "(", "\ud800".encode("utf-8", "replace").decode()):
        answer = await gateway.client.get("/conversations/", params={"q": query})
        assert (answer.status_code, answer.json()["data"]) == (200, [])


async def test_what_is_stored_is_indexed(database: Database, gateway: Gateway) -> None:
    await gateway.ask(await gateway.new_conversation(), "Hello")
    await index_all(database)
    assert not await database.read(search_index.has_pending)
    assert len((await gateway.get("/conversations/?q=hello"))["data"]) == 1
