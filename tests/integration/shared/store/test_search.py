"""Searching: what is found, in what order, and what never is."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from sqlalchemy import Connection, func, select

from shared.database.models import DEFAULT_TENANT, conversations, messages, search_documents, search_pending
from shared.search_text import words_of
from shared.store import conversations as conversation_rows
from shared.store import erasures, search, search_index, turns
from shared.store import messages as message_rows
from shared.store.forks import fork
from shared.store.search import FoundPage, Search
from shared.store.turns import Said
from tests.integration.shared.rows import NOW, Tables


def said(tables: Tables, *contents: str, at: int = NOW, **values: object) -> str:
    """A conversation in which this was said, last at that instant."""
    conversation_id = tables.conversation(**values)
    tenant_id = str(values.get("tenant_id", DEFAULT_TENANT))
    tables(turns.append, tenant_id, conversation_id, said=[Said(content) for content in contents], now=at)
    return conversation_id


def index_all(tables: Tables) -> None:
    while tables(search_index.index_some):
        pass
    assert tables.count(search_pending) == 0


@pytest.fixture(params=["indexed", "pending", "some of each"])
def state(request: pytest.FixtureRequest) -> str:
    """Whether what is looked for is in the index already."""
    return str(request.param)


def settle(tables: Tables, state: str) -> None:
    if state == "indexed":
        index_all(tables)
    elif state == "some of each":
        tables(search_index.index_some)


def found(
    tables: Tables,
    query: str,
    *,
    limit: int = 20,
    after: tuple[int, str] | None = None,
    end_user: str | None = None,
    tenant_id: str = DEFAULT_TENANT,
) -> FoundPage:
    return tables(search.find, Search(tenant_id, words_of(query), limit=limit, after=after, end_user=end_user))


def ids(page: FoundPage) -> Sequence[str]:
    return [row["id"] for row, _ in page.rows]


QUERIES = [
    ("Tell me about KÖLN in winter", "köln"),
    ("Tell me about KÖLN in winter", "winter TELL"),
    ("我喜欢这个数据库很快", "数据库"),
    ("我喜欢这个数据库很快", "数据"),
    ("我喜欢这个数据库很快", "库"),
    ('He said "no" AND NOT (maybe) OR * 100% _x_', '"no" AND NOT (maybe) OR *'),
    ("He's at C:\\temp -- ;drop table", "c:\\temp ;drop he's --"),
    ("a 100% sure thing", "0%"),
    ("emoji 🎉🎉🎉 here", "🎉🎉🎉"),
    ("x" * 5000 + " needle " + "y" * 5000, "needle"),
    ("supercalifragilisticexpialidocious and more of the same", "califragilisticexpialidocious and"),
]


@pytest.mark.parametrize(("content", "query"), QUERIES)
def test_a_message_is_found_by_any_of_its_words(tables: Tables, state: str, content: str, query: str) -> None:
    hidden = said(tables, "something else entirely", "and one more of no interest")
    conversation_id = said(tables, "First words.", content, title="Untold")
    settle(tables, state)
    page = found(tables, query)
    assert ids(page) == [conversation_id] != [hidden]
    ((_, match),) = page.rows
    assert match.turn == 2
    assert match.message_id is not None
    assert page.following is None


@pytest.mark.parametrize("query", ["wintersun", "köln köl x", "zz", "%", '"', "a*", "NEAR(tell", "title:winter"])
def test_what_is_not_there_is_not_found(tables: Tables, state: str, query: str) -> None:
    said(tables, "Tell me about KÖLN in winter", title="Untold")
    settle(tables, state)
    assert ids(found(tables, query)) == []


def test_all_words_must_be_in_one_message(tables: Tables, state: str) -> None:
    said(tables, "rust is fine", "async is fine")
    both = said(tables, "async in rust")
    settle(tables, state)
    assert ids(found(tables, "rust async")) == [both]


def test_a_title_is_found_and_an_edited_one_by_its_new_words_only(tables: Tables, state: str) -> None:
    conversation_id = said(tables, "Hello", title="Holidays in Rome")
    settle(tables, state)
    ((_, match),) = found(tables, "rome").rows
    assert (match.message_id, match.turn, match.snippet) == (None, None, "Holidays in Rome")
    tables(conversation_rows.change, DEFAULT_TENANT, conversation_id, values={"title": "Holidays in Oslo"}, now=NOW)
    assert ids(found(tables, "rome")) == []
    assert ids(found(tables, "oslo")) == [conversation_id]
    settle(tables, state)
    assert ids(found(tables, "rome")) == []
    assert ids(found(tables, "oslo")) == ids(found(tables, "os")) == [conversation_id]


def test_the_first_message_that_became_the_title_is_found_in_the_title(tables: Tables, state: str) -> None:
    conversation_id = tables.conversation()
    tables.ask(conversation_id, "What is a monad?")
    settle(tables, state)
    ((row, match),) = found(tables, "monad").rows
    assert (row["id"], match.message_id) == (conversation_id, None)


def test_only_the_tenants_own_are_found(tables: Tables, state: str) -> None:
    said(tables, "a secret thing", tenant_id="other")
    own = said(tables, "a secret thing")
    settle(tables, state)
    for query in ("secret", "se"):
        assert ids(found(tables, query)) == [own]


def test_an_end_user_narrows_it(tables: Tables, state: str) -> None:
    said(tables, "the same words", end_user="ada")
    bobs = said(tables, "the same words", end_user="bob")
    settle(tables, state)
    assert ids(found(tables, "same words", end_user="bob")) == [bobs]


def test_what_is_kept_in_no_list_is_not_found_and_not_indexed(tables: Tables, state: str) -> None:
    fleeting = said(tables, "fleeting words", kind="ephemeral")
    settle(tables, state)
    assert ids(found(tables, "fleeting")) == []
    index_all(tables)
    assert tables.count(search_documents) == 0
    tables(erasures.erase_one, DEFAULT_TENANT, fleeting)
    assert not tables(search_index.removals)


def test_what_is_deleted_is_not_found_and_leaves_nothing_behind(tables: Tables, state: str) -> None:
    conversation_id = said(tables, "gone tomorrow", "and more", title="Titled")
    settle(tables, state)
    tables(erasures.erase_one, DEFAULT_TENANT, conversation_id)
    assert ids(found(tables, "gone tomorrow")) == []
    assert tables.count(search_documents) == 0
    index_all(tables)
    assert tables.count(search_documents) == 0
    if tables.connection.dialect.name == "sqlite":
        rewrite(tables)
        check_that_nothing_is_left_of("gon", tables)


@pytest.mark.sqlite
def test_the_index_is_written_anew_for_what_was_taken_out_also_meanwhile(tables: Tables) -> None:
    first, second = said(tables, "gone tomorrow"), said(tables, "gone today")
    index_all(tables)
    tables(erasures.erase_one, DEFAULT_TENANT, first)
    found = tables(search_index.removals)
    tables(search_index.rewrite_some, is_first=True)
    tables(erasures.erase_one, DEFAULT_TENANT, second)
    tables(search_index.note_rewritten, found)
    assert tables(search_index.removals), "the second one is still in it"
    rewrite(tables)
    assert not tables(search_index.removals)
    check_that_nothing_is_left_of("gon", tables)


@pytest.mark.sqlite
def test_erasing_a_long_conversation_does_not_look_for_its_trigrams_one_by_one(tables: Tables) -> None:
    """Else a write of half a thousand messages would take seconds."""
    conversation_id = said(tables, *(f"message {number} about giraffes and zebras" for number in range(50)))
    said(tables, "another message about giraffes and zebras")
    index_all(tables)
    before = tables(changes)
    tables(erasures.erase, [conversation_id])
    assert tables(changes) - before < 10 * 50


def changes(connection: Connection) -> int:
    """How many rows the connection has written, those of the index's own tables among them."""
    return int(connection.exec_driver_sql("select total_changes()").scalar_one())


def rewrite(tables: Tables) -> None:
    found, is_first = tables(search_index.removals), True
    while tables(search_index.rewrite_some, is_first=is_first):
        is_first = False
    tables(search_index.note_rewritten, found)


def check_that_nothing_is_left_of(trigram: str, tables: Tables) -> None:
    """Neither to be found, nor in the bytes of the index."""
    with tables.connection.begin():
        run = tables.connection.exec_driver_sql
        run("insert into search_index(search_index) values ('integrity-check')")
        found = run("select count(*) from search_index where search_index match ?", (f'"{trigram}"',))
        assert found.scalar_one() == 0
        blocks = run("select block from search_index_data").scalars().all()
        assert not any(trigram.encode() in block for block in blocks)


def test_a_message_that_is_taken_out_is_not_found(tables: Tables, state: str) -> None:
    conversation_id = said(tables, "stays here", "is taken out")
    settle(tables, state)
    (gone,) = [row["id"] for row in tables.rows(messages, conversation_id=conversation_id) if row["turn"] == 2]
    tables(message_rows.remove, gone)
    assert ids(found(tables, "taken out")) == []
    assert ids(found(tables, "stays here")) == [conversation_id]


def test_a_copy_of_a_conversation_is_found_too(tables: Tables, state: str) -> None:
    original = said(tables, "once upon a time")
    settle(tables, state)
    copy = tables(fork, DEFAULT_TENANT, original, up_to_turn=None, now=NOW + 1)
    settle(tables, state)
    assert ids(found(tables, "upon a time")) == [copy, original]


def walk(tables: Tables, query: str, *, limit: int) -> list[str]:
    """All pages, one after the other."""
    after: tuple[int, str] | None = None
    seen: list[str] = []
    for _ in range(100):
        page = found(tables, query, limit=limit, after=after)
        assert len(page.rows) <= limit
        seen += ids(page)
        after = page.following
        if after is None:
            return seen
    raise AssertionError("there is no end of pages")


@pytest.mark.parametrize("query", ["common thing", "co"])
@pytest.mark.parametrize("limit", [1, 3, 7])
def test_pages_follow_on_each_other_by_last_change(
    tables: Tables, state: str, monkeypatch: pytest.MonkeyPatch, query: str, limit: int
) -> None:
    monkeypatch.setattr(search, "WINDOW", 2)
    monkeypatch.setattr(search_index, "ROWS_AT_ONCE", 4)
    made = [said(tables, "a common thing" if number % 3 else "else", at=NOW + number // 2) for number in range(14)]
    settle(tables, state)
    wanted = [name for number, name in enumerate(made) if number % 3]
    positions = {row["id"]: (row["updated_at"], row["id"]) for row in tables.rows(conversations)}
    assert walk(tables, query, limit=limit) == sorted(wanted, key=positions.__getitem__, reverse=True)


def test_a_common_word_is_looked_for_without_the_index(
    tables: Tables, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "COMMON", 3)
    monkeypatch.setattr(search, "WINDOW", 2)
    made = [said(tables, "a common thing", at=NOW + number) for number in range(6)]
    settle(tables, state)
    assert walk(tables, "common", limit=4) == made[::-1]


def test_a_page_ends_where_the_patience_did_and_the_next_goes_on(
    tables: Tables, state: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(search, "PATIENCE_SECONDS", 0.0)
    monkeypatch.setattr(search, "WINDOW", 2)
    oldest = said(tables, "qz")
    for number in range(5):
        said(tables, "else", at=NOW + 1 + number)
    settle(tables, state)
    first = found(tables, "qz")
    assert ids(first) == []
    assert first.following is not None
    assert walk(tables, "qz", limit=5) == [oldest]


def test_one_portion_is_bounded_and_the_newest_comes_first(tables: Tables, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(search_index, "CHARS_AT_ONCE", 25)
    said(tables, "a" * 100, "b" * 10, "c" * 10)
    assert tables(search_index.index_some) == 2
    with tables.connection.begin():
        texts = tables.connection.execute(select(search_documents.c.text).order_by(search_documents.c.id)).scalars()
        assert list(texts) == ["b" * 10, "c" * 10]
    # One that is longer than a portion, and the title that it became.
    assert [tables(search_index.index_some) for _ in range(3)] == [1, 1, 0]


def test_indexing_twice_at_once_indexes_nothing_twice(tables: Tables) -> None:
    conversation_id = said(tables, "said once", title="Once")
    tables(conversation_rows.change, DEFAULT_TENANT, conversation_id, values={"title": "Twice"}, now=NOW)
    index_all(tables)
    with tables.connection.begin():
        count = select(func.count()).select_from(search_documents)
        assert tables.connection.execute(count).scalar_one() == 2
