"""Turns: what a user says and the replies it asks for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.database.models import DEFAULT_TENANT, conversations, messages, replies
from shared.errors import NotFound
from shared.store import replies as reply_views
from shared.store import turns
from shared.store.turns import TITLE_CHARS, Ask, Said, Where, title_of
from tests.integration.shared.rows import NOW, Tables

ASKED = Ask("Why is the sky blue?", 1, None, "default-model", 30_000)


@pytest.fixture
def conversation(tables: Tables) -> str:
    return tables.conversation()


def test_asking_stores_the_message_and_a_queued_reply(tables: Tables, conversation: str) -> None:
    asked = tables(turns.ask, DEFAULT_TENANT, conversation, asked=replace(ASKED, metadata={"a": "b"}), now=NOW)
    (message,) = tables.rows(messages)
    assert dict(message) == {**asked.message, "parts": None}
    assert (message["turn"], message["position"], message["role"]) == (1, 0, "user")
    (reply,) = tables.rows(replies)
    assert (reply["status"], reply["available_at"], reply["deadline_at"]) == ("queued", NOW, NOW + 30_000)
    assert (reply["attempt"], reply["tries"], reply["model_calls"], reply["metadata"]) == (0, 0, 0, {"a": "b"})


@pytest.mark.parametrize("n", [1, 3])
def test_what_asking_returns_is_what_a_reader_finds(n: int, tables: Tables, conversation: str) -> None:
    tables.ask(conversation)
    asked = tables(turns.ask, DEFAULT_TENANT, conversation, asked=replace(ASKED, n=n), now=NOW)
    read = tables(reply_views.of_turn, conversation, 2)
    assert len(asked.replies) == len(read) == n
    for given, found in zip(asked.replies, read, strict=True):
        assert given == {name: found[name] for name in given}


def test_asking_in_many_conversations_is_asking_in_each(tables: Tables) -> None:
    """Of what was made together nothing tells that it was; a conversation that is not there takes nothing."""
    said = [
        replace(ASKED, content=f"{number}", n=1 + number % 3, before=[Said("Be brief.", "system")] * (number % 2))
        for number in range(5)
    ]
    alone = [tables(turns.ask, DEFAULT_TENANT, tables.conversation(), asked=asked, now=NOW) for asked in said]
    asks = [(Where(DEFAULT_TENANT, tables.conversation()), asked) for asked in said]
    tables.ask(asks[2][0].conversation_id)
    nowhere = [(Where(DEFAULT_TENANT, "conv_none"), ASKED), (Where("another", asks[0][0].conversation_id), ASKED)]
    together = tables(turns.ask_many, [nowhere[0], *asks, nowhere[1]], now=NOW)
    assert (together[0], together[-1]) == (None, None)
    for number, (one, other) in enumerate(zip(alone, together[1:-1], strict=True)):
        assert other is not None
        assert len(other.replies) == len(one.replies) == said[number].n
        assert other.message.keys() == one.message.keys()
        assert other.replies[0].keys() == one.replies[0].keys()
        assert other.turn == one.turn + (number == 2)
        read = tables(reply_views.of_turn, other.conversation_id, other.turn)
        for given, found in zip(other.replies, read, strict=True):
            assert given == {name: found[name] for name in given}
            assert given["turns_ahead"] == given["waits_for_turn"] == (number == 2)
    assert {row["title"] for row in tables.rows(conversations)} == {"0", "1", "2", "3", "4", "Hello"}


def test_turns_are_counted_up_whatever_opens_them(tables: Tables, conversation: str) -> None:
    taken = [tables(turns.ask, DEFAULT_TENANT, conversation, asked=ASKED, now=NOW).turn for _ in range(2)]
    taken.append(tables(turns.append, DEFAULT_TENANT, conversation, said=[Said("m")], now=NOW)[0]["turn"])
    taken.append(tables(turns.ask, DEFAULT_TENANT, conversation, asked=ASKED, now=NOW).turn)
    assert taken == [1, 2, 3, 4]


def test_candidates_are_numbered_from_one(tables: Tables, conversation: str) -> None:
    asked = tables(turns.ask, DEFAULT_TENANT, conversation, asked=replace(ASKED, n=3), now=NOW)
    assert [row["candidate"] for row in asked.replies] == [1, 2, 3]


def test_the_first_message_gives_the_title(tables: Tables, conversation: str) -> None:
    tables.ask(conversation, "  Why is\n the sky  blue? " + "x" * 100)
    tables.ask(conversation, "And the grass green?")
    (row,) = tables.rows(conversations)
    assert row["title"] == f"{('Why is the sky blue? ' + 'x' * 100)[: TITLE_CHARS - 1]}…"


def test_a_title_ends_with_a_word() -> None:
    long = "Tell me in a few words why the sky is blue and the grass is not, please"
    assert title_of(long) == "Tell me in a few words why the sky is blue and the grass is…"
    assert title_of(long[:TITLE_CHARS]) == long[:TITLE_CHARS].rstrip()
    assert max(len(title_of("x" * n + " " + "y" * 100)) for n in range(1, TITLE_CHARS + 2)) == TITLE_CHARS


def test_a_title_that_was_given_stays(tables: Tables) -> None:
    tables.ask(tables.conversation(title="Mine"), "Why?")
    assert tables.rows(conversations)[0]["title"] == "Mine"


@pytest.mark.parametrize(("role", "title"), [("user", "Hi"), ("assistant", None), ("system", None)])
def test_only_a_users_message_gives_the_title(role: str, title: str | None, tables: Tables, conversation: str) -> None:
    tables(turns.append, DEFAULT_TENANT, conversation, said=[Said("Hi", role)], now=NOW)
    assert tables.rows(conversations)[0]["title"] == title


def test_an_asks_parameters_win_over_the_conversations(tables: Tables) -> None:
    conversation = tables.conversation(parameters={"temperature": 1, "top_p": 0.5})
    asked = replace(ASKED, parameters={"temperature": 0, "seed": 7})
    (reply,) = tables(turns.ask, DEFAULT_TENANT, conversation, asked=asked, now=NOW).replies
    assert reply["parameters"] == {"temperature": 0, "top_p": 0.5, "seed": 7}


@pytest.mark.parametrize(
    ("of_ask", "of_conversation", "used"),
    [("a", "c", "a"), ("a", None, "a"), (None, "c", "c"), (None, None, "default-model")],
)
def test_the_model_is_the_asks_or_the_conversations_or_the_default(
    of_ask: str | None, of_conversation: str | None, used: str, tables: Tables
) -> None:
    conversation = tables.conversation(model=of_conversation)
    asked = replace(ASKED, chosen_model=of_ask)
    (reply,) = tables(turns.ask, DEFAULT_TENANT, conversation, asked=asked, now=NOW).replies
    assert reply["model"] == used


def test_asking_moves_the_conversations_version_and_instant(tables: Tables, conversation: str) -> None:
    tables.ask(conversation, now=NOW + 9)
    (row,) = tables.rows(conversations)
    assert (row["version"], row["updated_at"], row["next_turn"]) == (2, NOW + 9, 2)


@pytest.mark.parametrize("tenant", [DEFAULT_TENANT, "another"])
def test_a_conversation_that_is_not_there_takes_nothing(tenant: str, tables: Tables, conversation: str) -> None:
    unknown = conversation if tenant == "another" else "conv_none"
    with pytest.raises(NotFound):
        tables(turns.ask, tenant, unknown, asked=ASKED, now=NOW)
    with pytest.raises(NotFound):
        tables(turns.append, tenant, unknown, said=[Said("m")], now=NOW)
    assert (tables.count(messages), tables.count(replies)) == (0, 0)
