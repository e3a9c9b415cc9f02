"""Idempotency keys: the same request twice makes one thing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from shared.database.models import idempotency_keys
from shared.errors import IdempotencyMismatch
from shared.store import idempotency
from shared.store.idempotency import KeyedRequest, KeyTaken
from tests.integration.shared.rows import MINUTE, NOW, Tables

DAY = 24 * 60 * MINUTE
REQUEST = KeyedRequest("default", "key-1", "POST", "/conversations/conv_1/ask-message/", "hash-of-the-body", DAY)


def remember(tables: Tables, request: KeyedRequest, resource_id: str) -> None:
    tables(idempotency.remember, request, resource_type="turn", resource_id=resource_id, now=NOW)


def test_a_new_key_finds_nothing(tables: Tables) -> None:
    assert tables(idempotency.find, REQUEST, now=NOW) is None


def test_the_same_request_finds_what_it_made(tables: Tables) -> None:
    remember(tables, REQUEST, "conv_1/1")
    assert tables(idempotency.find, REQUEST, now=NOW) == "conv_1/1"


@pytest.mark.parametrize("change", [{"method": "PUT"}, {"path": "/elsewhere/"}, {"request_hash": "another"}])
def test_a_key_of_another_request_is_refused(change: dict[str, Any], tables: Tables) -> None:
    remember(tables, REQUEST, "conv_1/1")
    with pytest.raises(IdempotencyMismatch):
        tables(idempotency.find, replace(REQUEST, **change), now=NOW)


def test_tenants_do_not_share_keys(tables: Tables) -> None:
    remember(tables, REQUEST, "conv_1/1")
    other = replace(REQUEST, tenant_id="another")
    assert tables(idempotency.find, other, now=NOW) is None
    remember(tables, other, "conv_2/1")
    assert tables(idempotency.find, REQUEST, now=NOW) == "conv_1/1"


def test_a_key_is_stored_once(tables: Tables) -> None:
    """Whoever comes second undoes all it did and asks again."""
    remember(tables, REQUEST, "conv_1/1")
    with pytest.raises(KeyTaken):
        remember(tables, REQUEST, "conv_1/2")
    assert tables(idempotency.find, REQUEST, now=NOW) == "conv_1/1"


def test_a_key_is_known_for_its_lifetime_and_then_makes_something_new(tables: Tables) -> None:
    remember(tables, REQUEST, "conv_1/1")
    assert tables(idempotency.find, REQUEST, now=NOW + DAY - 1) == "conv_1/1"
    assert tables(idempotency.find, REQUEST, now=NOW + DAY) is None
    remember(tables, REQUEST, "conv_1/2")
    assert tables(idempotency.find, REQUEST, now=NOW) == "conv_1/2"


def test_an_expired_key_may_come_back_with_another_request(tables: Tables) -> None:
    remember(tables, REQUEST, "conv_1/1")
    assert tables(idempotency.find, replace(REQUEST, path="/elsewhere/"), now=NOW + DAY) is None


def test_old_keys_are_forgotten_some_at_a_time(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(idempotency, "FORGET_AT_ONCE", 2)
    for number in range(5):
        request = replace(REQUEST, key=f"key-{number}")
        tables(idempotency.remember, request, resource_type="turn", resource_id="conv_1/1", now=NOW + number)
    tables(idempotency.forget, before=NOW + 3)
    assert [row["key"] for row in tables.rows(idempotency_keys)] == ["key-2", "key-3", "key-4"]
    tables(idempotency.forget, before=NOW + 3)
    assert not tables(idempotency.has_older, before=NOW + 3)
    assert tables(idempotency.has_older, before=NOW + 4)
    tables(idempotency.forget, before=NOW + 3)
    assert tables.count(idempotency_keys) == 1


def test_several_requests_are_remembered_at_once_or_none_of_them(tables: Tables) -> None:
    requests = [replace(REQUEST, key=f"key-{number}") for number in range(5)]
    remember(tables, requests[3], "conv_1/1")
    assert tables(idempotency.known, []) == set()
    assert tables(idempotency.known, requests) == {("default", "key-3")}
    made = [(request, f"conv_{number}/1") for number, request in enumerate(requests)]
    with pytest.raises(KeyTaken):
        tables(idempotency.remember_all, made, resource_type="turn", now=NOW)
    assert tables.keys() == ["key-3"]
    tables(idempotency.remember_all, made[:3], resource_type="turn", now=NOW)
    assert [tables(idempotency.find, request, now=NOW) for request, _ in made[:3]] == [
        "conv_0/1",
        "conv_1/1",
        "conv_2/1",
    ]
