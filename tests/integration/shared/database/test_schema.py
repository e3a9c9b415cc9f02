"""The tables: built by the migrations, equal to the models, checked at the start."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, inspect, text

from shared.database import schema
from shared.database.engine import open_engine, parse_url
from shared.database.models import DERIVED, metadata
from shared.errors import SettingsError
from tests.integration.shared.database.journal import MODES, use_journal_mode


def connected(database_url: str) -> Iterator[Connection]:
    with open_engine(parse_url(database_url), read_only=False).begin() as connection:
        yield connection


@pytest.fixture
def migrated(empty_database_url: str) -> Iterator[Connection]:
    """Through all migrations, as the databases that began with the first version."""
    for connection in connected(empty_database_url):
        schema.upgrade(connection)
        yield connection


@pytest.fixture
def created(database_url: str) -> Iterator[Connection]:
    """As the others that tests use: what `migrate` makes of an empty database."""
    yield from connected(database_url)


@pytest.fixture
def empty(empty_database_url: str) -> Iterator[Connection]:
    yield from connected(empty_database_url)


# The index of trigrams on PostgreSQL.
GRAMS = "ix_search_documents_grams"
# Each column, constraint and index as PostgreSQL would write it down.
_CATALOGUE = """
    select table_name as name, concat_ws(' ', column_name, data_type, character_maximum_length, is_nullable,
           column_default) as part
    from information_schema.columns where table_schema = 'public'
    union all select conrelid::regclass::text, conname || ' ' || pg_get_constraintdef(oid) from pg_constraint
    where connamespace = 'public'::regnamespace
    union all select tablename, indexdef from pg_indexes where schemaname = 'public'
"""


def definitions(connection: Connection) -> dict[str, list[str]]:
    """What the database knows of each table and index: its parts, in whatever order and white space."""
    if connection.dialect.name == "postgresql":
        found: dict[str, list[str]] = {}
        for name, part in connection.execute(text(_CATALOGUE)):
            found.setdefault(name, []).append(part)
        return {name: sorted(parts) for name, parts in found.items()}
    rows = connection.execute(text("select name, sql from sqlite_master where sql is not null"))
    return {row.name: sorted(part.strip(" \n\t)") for part in row.sql.split(",")) for row in rows}


def config(connection: Connection) -> Config:
    config = Config()
    config.set_main_option("script_location", str(schema._MIGRATIONS))
    config.attributes["connection"] = connection
    return config


def test_the_migrations_build_what_the_models_say(migrated: Connection) -> None:
    """What searching stands on differs between the databases, so that only the letter below can tell."""

    def is_of_both(_item: object, name: str | None, kind: str, *_: object) -> bool:
        return not (kind == "table" and (name or "").startswith("search_index")) and name != GRAMS

    context = MigrationContext.configure(migrated, opts={"include_object": is_of_both})
    assert compare_metadata(context, metadata) == []


def test_the_migrations_build_to_the_letter_what_an_empty_database_gets_at_once(
    migrated: Connection, created: Connection
) -> None:
    """With defaults, checks, triggers and conditions of partial indexes, which the comparison above does not see."""
    assert {table.name for table in DERIVED} <= definitions(created).keys()
    made = definitions(migrated)
    assert made == definitions(created)
    assert schema.version(migrated) == schema.version(created)
    assert "search_index" in made or any(GRAMS in part for part in made["search_documents"])


@pytest.mark.sqlite
def test_indexes_for_one_purpose_are_the_newest_of_their_table(created: Connection) -> None:
    """Of two that promise as much SQLite 3.40 takes the newest, so that their order must not be one of chance."""
    rows = created.execute(text("select tbl_name, name, sql from sqlite_master where type = 'index' and sql > ''"))
    order = [(row.tbl_name, " where " in row.sql.lower(), row.name) for row in rows]
    assert len({(table, is_partial) for table, is_partial, _ in order}) > len({table for table, _, _ in order})
    for table in {table for table, _, _ in order}:
        of_table = [index for index in order if index[0] == table]
        assert of_table == sorted(of_table)


def test_the_version_that_is_required_is_the_newest_migration(migrated: Connection) -> None:
    assert ScriptDirectory.from_config(config(migrated)).get_current_head() == schema.HEAD
    assert schema.version(migrated) == schema.HEAD


def test_migrations_can_be_undone_and_done_again(migrated: Connection) -> None:
    before = definitions(migrated)
    command.downgrade(config(migrated), "base")
    assert inspect(migrated).get_table_names() == ["alembic_version"]
    command.upgrade(config(migrated), "head")
    assert definitions(migrated) == before


def assert_migrating_twice_changes_nothing(database_url: str) -> None:
    schema.migrate(database_url)
    (first,) = [definitions(connection) for connection in connected(database_url)]
    schema.migrate(database_url)
    assert [definitions(connection) for connection in connected(database_url)] == [first]


def test_migrating_twice_changes_nothing(empty_database_url: str) -> None:
    assert_migrating_twice_changes_nothing(empty_database_url)


@pytest.mark.sqlite
@pytest.mark.parametrize("mode", MODES)
def test_a_file_is_migrated_in_either_mode_wherever_it_is(
    mode: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_journal_mode(mode, monkeypatch)
    assert_migrating_twice_changes_nothing(f"sqlite:///{tmp_path}/100%/chat.db")


def test_processes_that_migrate_at_once_take_turns(empty_database_url: str) -> None:
    program = f"from shared.database.schema import migrate; migrate('{empty_database_url}')"
    processes = [subprocess.Popen([sys.executable, "-c", program], stderr=subprocess.PIPE) for _ in range(4)]
    ended = [(process.communicate()[1], process.returncode) for process in processes]
    assert [status for _, status in ended] == [0] * 4, ended
    for connection in connected(empty_database_url):
        schema.require_head(connection)


def test_a_database_without_tables_is_refused(empty: Connection) -> None:
    with pytest.raises(SettingsError, match=r"^the database has no tables yet: run `asyncchat migrate` first$"):
        schema.require_head(empty)


@pytest.mark.parametrize(
    ("version", "told"),
    [
        ("0001", r"^the database is at version 0001, this program needs \d+: run `asyncchat migrate`$"),
        ("9999", r"^the database is at version 9999, which this program does not know: run the newer one"),
    ],
)
def test_a_database_of_another_version_is_refused(migrated: Connection, version: str, told: str) -> None:
    migrated.execute(text(f"update alembic_version set version_num = '{version}'"))  # noqa: S608  One of two.
    with pytest.raises(SettingsError, match=told):
        schema.require_head(migrated)


def test_a_migrated_database_is_taken(migrated: Connection) -> None:
    schema.require_head(migrated)


@pytest.mark.sqlite
def test_a_folder_that_cannot_be_made_gives_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"^cannot open the database .*/file/chat.db: "):
        schema.migrate(f"sqlite:///{tmp_path}/file/chat.db")


def test_a_database_of_something_else_gives_a_sentence(empty_database_url: str) -> None:
    for connection in connected(empty_database_url):
        connection.execute(text("create table replies (n integer)"))
    with pytest.raises(
        SettingsError, match=r"^cannot migrate the database: (table|relation) \W?replies\W? already exists$"
    ):
        schema.migrate(empty_database_url)
    for connection in connected(empty_database_url):
        assert inspect(connection).get_table_names() == ["replies"]
