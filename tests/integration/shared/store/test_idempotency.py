"""Idempotency keys: the same request twice makes one thing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from shared.errors import IdempotencyMismatch
from shared.store import idempotency
from shared.store.idempotency import KeyedRequest, KeyTaken
from tests.integration.shared.rows import NOW, Tables

REQUEST = KeyedRequest("default", "key-1", "POST", "/conversations/conv_1/ask-message/", "hash-of-the-body")


def remember(tables: Tables, request: KeyedRequest, resource_id: str) -> None:
    tables(idempotency.remember, request, resource_type="turn", resource_id=resource_id, now=NOW)


def test_a_new_key_finds_nothing(tables: Tables) -> None:
    assert tables(idempotency.find, REQUEST) is None


def test_the_same_request_finds_what_it_made(tables: Tables) -> None:
    remember(tables, REQUEST, "conv_1/1")
    assert tables(idempotency.find, REQUEST) == "conv_1/1"


@pytest.mark.parametrize("change", [{"method": "PUT"}, {"path": "/elsewhere/"}, {"request_hash": "another"}])
def test_a_key_of_another_request_is_refused(change: dict[str, str], tables: Tables) -> None:
    remember(tables, REQUEST, "conv_1/1")
    with pytest.raises(IdempotencyMismatch):
        tables(idempotency.find, replace(REQUEST, **change))


def test_tenants_do_not_share_keys(tables: Tables) -> None:
    remember(tables, REQUEST, "conv_1/1")
    other = replace(REQUEST, tenant_id="another")
    assert tables(idempotency.find, other) is None
    remember(tables, other, "conv_2/1")
    assert tables(idempotency.find, REQUEST) == "conv_1/1"


def test_a_key_is_stored_once(tables: Tables) -> None:
    """Whoever comes second undoes all it did and asks again."""
    remember(tables, REQUEST, "conv_1/1")
    with pytest.raises(KeyTaken):
        remember(tables, REQUEST, "conv_1/2")
    assert tables(idempotency.find, REQUEST) == "conv_1/1"
