"""`asyncchat import`: the original project's file, others like it, and what is none."""

from __future__ import annotations

import fcntl
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest
from sqlalchemy import Connection, RowMapping, func, select

from cli.importing import import_file
from cli.old_database import NotUnderstood
from shared.database.engine import open_engine, parse_url, sqlite_path
from shared.database.models import conversations, messages, search_pending
from shared.errors import AsyncChatError
from shared.settings import get_settings
from shared.store import imports

ORIGINAL = """
    create table conversations (id integer not null primary key);
    create table messages (id integer not null primary key, content text, sender text,
                           conversation_id integer references conversations (id));
    insert into conversations values (1), (2), (3);
    insert into messages values (1, 'What is 6 * 7?', 'user', 1), (2, '42', 'chatbot', 1), (5, 'Why?', 'user', 1),
                                (3, 'Grüße', 'user', 3), (4, '', 'chatbot', 3);
"""
MODERATED = "insert into messages values (9, 'x', 'moderator', 1)"
WITH_TIMES = """
    create table Conversation (id text primary key, name text);
    create table Message (id integer primary key, chat_id text, role text, text text, timestamp text);
    insert into Conversation values ('b', 'Second'), ('a', null);
    insert into Message values (1, 'a', 'system', 'Be brief.', '2024-05-01T12:00:00'),
                               (2, 'a', 'Human', 'Hi', 1714565000), (3, 'b', 'AI', 'Later', 1714565001500);
"""


@pytest.fixture(autouse=True)
def _into_this_database(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    get_settings.cache_clear()


def file_with(folder: Path, script: str) -> Path:
    file = folder / "app_lite.db"
    connection = sqlite3.connect(file)
    connection.executescript(script)
    connection.close()
    return file


@pytest.mark.sqlite
def test_it_writes_in_line_with_a_server_that_runs(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, add = sqlite_path(parse_url(database_url)), imports.add
    assert path is not None

    def add_while_locked(connection: Connection, imported: imports.Imported) -> bool:
        with path.with_name(path.name + ".lock").open() as other, pytest.raises(BlockingIOError):
            fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return add(connection, imported)

    monkeypatch.setattr(imports, "add", add_while_locked)
    assert run(file_with(tmp_path, ORIGINAL))[-1].startswith("Imported 2")


def run(file: Path, *, tenant: str = "default", dry_run: bool = False) -> list[str]:
    return list(import_file(file, tenant=tenant, end_user="ada", dry_run=dry_run))


def stored(database_url: str) -> Sequence[tuple[RowMapping, list[tuple[int, str, str]]]]:
    """Every conversation with its turns, by id."""
    with open_engine(parse_url(database_url), read_only=True).begin() as connection:
        heads = connection.execute(select(conversations).order_by(conversations.c.id)).mappings().all()
        said = connection.execute(select(messages).order_by(messages.c.turn)).mappings().all()
    return [
        (head, [(m["turn"], m["role"], m["content"]) for m in said if m["conversation_id"] == head["id"]])
        for head in heads
    ]


def test_the_original_projects_file_is_imported_once(tmp_path: Path, database_url: str) -> None:
    file = file_with(tmp_path, ORIGINAL)
    lines = run(file)
    assert lines[0].startswith("Understood: conversations from the table conversations; messages from messages, who")
    assert lines[1:] == [
        "There are 2 conversations with 4 messages.",
        "Left out: 1 conversations and 1 messages in which nothing was said.",
        "Imported 2 conversations with 4 messages.",
    ]
    (first, said), (second, greeting) = stored(database_url)
    assert said == [(1, "user", "What is 6 * 7?"), (2, "assistant", "42"), (3, "user", "Why?")]
    assert greeting == [(1, "user", "Grüße")]
    assert (first["title"], first["end_user"], first["next_turn"]) == ("What is 6 * 7?", "ada", 4)
    assert first["metadata"] == {"imported_from": "app_lite.db", "imported_id": "1"}
    assert second["id"].startswith("conv_000000000")
    before = stored(database_url)
    assert run(file)[-2:] == [
        "Imported 0 conversations with 0 messages.",
        "2 were here already and are left as they are.",
    ]
    assert stored(database_url) == before
    with open_engine(parse_url(database_url), read_only=True).begin() as connection:
        pending = connection.execute(select(func.count()).select_from(search_pending)).scalar_one()
    assert pending == 6, "four messages and two titles are to be found"
    assert run(file, tenant="other")[-1] == "Imported 2 conversations with 4 messages."


def test_other_names_text_ids_and_times_are_understood(tmp_path: Path, database_url: str) -> None:
    run(file_with(tmp_path, WITH_TIMES))
    by_title = {head["title"]: (head, said) for head, said in stored(database_url)}
    head, said = by_title["Hi"]
    assert said == [(1, "system", "Be brief."), (2, "user", "Hi")]
    assert (head["created_at"], head["updated_at"]) == (1714564800000, 1714565000000)
    assert by_title["Second"][0]["created_at"] == 1714565001500


def test_a_dry_run_writes_nothing(tmp_path: Path, database_url: str) -> None:
    assert run(file_with(tmp_path, ORIGINAL), dry_run=True)[-1] == "Nothing was written: this was a dry run."
    assert stored(database_url) == []


@pytest.mark.parametrize(
    ("script", "sentence"),
    [
        ("create table t (x int)", r"and it has t \(x\)$"),
        ("create table conversations (id int); create table messages (id int)", r"messages \(id\)$"),
        ("select 1", "no tables at all$"),
        ("create table replies (x int); create table alembic_version (x int)", "asyncchat copy"),
        (f"{ORIGINAL}; {MODERATED}", "messages.sender has 'moderator'"),
    ],
)
def test_what_is_not_understood_is_refused_and_told(
    tmp_path: Path, database_url: str, script: str, sentence: str
) -> None:
    with pytest.raises(NotUnderstood, match=sentence):
        run(file_with(tmp_path, script))
    assert stored(database_url) == []


def test_what_is_no_database_is_refused(tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("This is no database, whatever it is called. " * 50)
    with pytest.raises(NotUnderstood, match=r"cannot read .*notes\.txt: file is not a database"):
        run(tmp_path / "notes.txt")


def test_a_name_that_is_too_long_is_refused(tmp_path: Path) -> None:
    with pytest.raises(AsyncChatError, match="at most 255 characters"):
        list(import_file(file_with(tmp_path, ORIGINAL), tenant="default", end_user="x" * 256, dry_run=False))
