"""What has outlived its use is found."""

from __future__ import annotations

from shared.database.models import conversations
from shared.store import erasures, outlived
from tests.integration.shared.rows import NOW, Tables


def test_old_ones_are_found_whose_ever_they_are_unless_something_is_under_way(tables: Tables) -> None:
    old = {tables.conversation(tenant_id=tenant, kind=kind) for tenant in "abc" for kind in ("chat", "ephemeral")}
    tables.conversation(tenant_id="b", updated_at=NOW + 5)
    tables.asked()
    found: set[str] = set()
    while more := tables(outlived.of_any_kind, before=NOW + 1):
        assert not found & set(more)
        found |= set(more)
        tables(erasures.erase, more, unchanged_since=NOW + 1)
    assert found == old
    assert tables.count(conversations) == 2
