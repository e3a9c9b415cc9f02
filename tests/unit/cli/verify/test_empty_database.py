"""Whatever has a table is refused in one sentence that says what to do."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.verify import empty_database
from shared.database.engine import open_engine, parse_url
from shared.errors import SettingsError


def _make_table(database_url: str) -> None:
    with open_engine(parse_url(database_url), read_only=False).begin() as connection:
        connection.exec_driver_sql("CREATE TABLE somebodys (id integer)")


def test_an_empty_database_may_be_used(empty_database_url: str) -> None:
    empty_database.require(empty_database_url)


def test_one_with_somebodys_table_may_not(empty_database_url: str) -> None:
    _make_table(empty_database_url)
    with pytest.raises(SettingsError, match=r"is not empty, it has a table somebodys, .*empty it \("):
        empty_database.require(empty_database_url)


def test_one_that_is_migrated_may_not_though_no_table_has_a_row(database_url: str) -> None:
    with pytest.raises(SettingsError, match="is not empty"):
        empty_database.require(database_url)


def test_one_that_cannot_be_read_is_named_without_its_password(tmp_path: Path) -> None:
    (tmp_path / "file.db").write_text("This is no database, and long enough to be told from an empty one.")
    with pytest.raises(SettingsError, match=r"cannot read the database sqlite:///.*file\.db"):
        empty_database.require(f"sqlite:///{tmp_path}/file.db")
    nowhere = f"postgresql://somebody:secret@/chat?host={tmp_path}"
    with pytest.raises(SettingsError, match="cannot read the database") as caught:
        empty_database.require(nowhere)
    assert "secret" not in str(caught.value)


def test_a_file_is_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert empty_database.absolute("sqlite:///chat.db") == f"sqlite:///{tmp_path}/chat.db"
    assert empty_database.absolute("postgresql://user:secret@host/chat") == "postgresql://user:secret@host/chat"
