"""Conversations: rows, settings, pages, versions."""

from __future__ import annotations

import pytest

from shared.database.models import DEFAULT_TENANT
from shared.store import conversations
from shared.store.conversations import Order
from tests.integration.shared.rows import NOW, Tables


def listed(tables: Tables, order: Order, *, limit: int = 100, end_user: str | None = None) -> list[str]:
    """All pages, one after the other."""
    ids: list[str] = []
    after = None
    while page := tables(conversations.page, DEFAULT_TENANT, limit=limit, after=after, order=order, end_user=end_user):
        assert len(page) <= limit
        ids += [row["id"] for row in page]
        after = (page[-1]["updated_at"], page[-1]["id"])
    return ids


def test_a_new_conversation_has_its_defaults(tables: Tables) -> None:
    row = tables(conversations.get, DEFAULT_TENANT, tables.conversation())
    assert row is not None
    assert (row["kind"], row["next_turn"], row["version"]) == ("chat", 1, 1)


def test_nobody_sees_another_tenants_conversation(tables: Tables) -> None:
    conversation_id = tables.conversation(tenant_id="another")
    assert tables(conversations.get, DEFAULT_TENANT, conversation_id) is None
    assert listed(tables, "desc") == []
    assert tables(conversations.change, DEFAULT_TENANT, conversation_id, values={"title": "mine"}, now=NOW) is None


@pytest.mark.parametrize("limit", [1, 2, 3, 100])
def test_pages_go_by_last_change_and_then_by_id(limit: int, tables: Tables) -> None:
    """Several have one instant, and a page may end in the middle of them."""
    ids = [tables.conversation(updated_at=NOW + instant) for instant in (2, 1, 1, 1, 0, 3)]
    expected = sorted(ids, key=lambda each: ((2, 1, 1, 1, 0, 3)[ids.index(each)], each))
    assert listed(tables, "asc", limit=limit) == expected
    assert listed(tables, "desc", limit=limit) == expected[::-1]


def test_a_conversation_that_is_added_between_two_pages_shifts_nothing(tables: Tables) -> None:
    ids = [tables.conversation(updated_at=NOW + instant) for instant in range(4)]
    first = tables(conversations.page, DEFAULT_TENANT, limit=2, after=None, order="desc", end_user=None)
    tables.conversation(updated_at=NOW + 10)
    after = (first[-1]["updated_at"], first[-1]["id"])
    second = tables(conversations.page, DEFAULT_TENANT, limit=2, after=after, order="desc", end_user=None)
    assert [row["id"] for row in (*first, *second)] == ids[::-1]


def test_a_page_can_be_of_one_end_user(tables: Tables) -> None:
    mine = [tables.conversation(end_user="ann"), tables.conversation(end_user="ann")]
    tables.conversation(end_user="bob")
    tables.conversation()
    assert listed(tables, "asc", end_user="ann", limit=1) == sorted(mine)


def test_ephemeral_conversations_are_not_listed(tables: Tables) -> None:
    tables.conversation(kind="ephemeral")
    assert listed(tables, "desc") == []


def test_a_change_sets_what_it_names_and_moves_version_and_instant(tables: Tables) -> None:
    conversation_id = tables.conversation(title="before", model="m")
    row = tables(
        conversations.change,
        DEFAULT_TENANT,
        conversation_id,
        values={"title": None, "metadata": {"a": "b"}},
        now=NOW + 5,
    )
    assert row is not None
    assert (row["title"], row["model"], row["metadata"]) == (None, "m", {"a": "b"})
    assert (row["version"], row["updated_at"], row["created_at"]) == (2, NOW + 5, NOW)


def test_a_change_of_what_is_not_there_tells_so(tables: Tables) -> None:
    assert tables(conversations.change, DEFAULT_TENANT, "conv_none", values={"title": "x"}, now=NOW) is None


def test_a_touch_moves_version_and_instant_and_a_bump_only_the_version(tables: Tables) -> None:
    touched, bumped, left = (tables.conversation() for _ in range(3))
    tables(conversations.touch, touched, now=NOW + 7)
    tables(conversations.bump, [bumped])
    assert tables(conversations.versions, [touched, bumped, left, "conv_none"]) == {touched: 2, bumped: 2, left: 1}
    assert listed(tables, "desc")[0] == touched
    row = tables(conversations.get, DEFAULT_TENANT, bumped)
    assert row is not None
    assert row["updated_at"] == NOW
