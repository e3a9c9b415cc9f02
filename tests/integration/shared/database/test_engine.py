"""Which SQLite is used and how, and what is refused."""

from __future__ import annotations

import sqlite3
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pytest
from sqlalchemy import JSON, Connection, bindparam, text
from sqlalchemy.exc import OperationalError

from shared.database import engine
from shared.database.engine import open_engine, parse_url, prepare_sqlite, sqlite_path
from shared.errors import SettingsError
from tests.integration.shared.database.journal import MODES, use_journal_mode

pytestmark = pytest.mark.sqlite


@pytest.fixture(params=MODES)
def journal_mode(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> str:
    mode = str(request.param)
    use_journal_mode(mode, monkeypatch)
    return mode


@pytest.fixture
def path(tmp_path: Path, journal_mode: str) -> Path:
    """A prepared file with one table."""
    path = tmp_path / "data" / "chat.db"
    assert prepare_sqlite(path).journal_mode == journal_mode
    with open_engine(parse_url(f"sqlite:///{path}"), read_only=False).begin() as connection:
        connection.execute(text("create table t (n integer)"))
    return path


def opened(path: Path, *, read_only: bool) -> Iterator[Connection]:
    with open_engine(parse_url(f"sqlite:///{path}"), read_only=read_only).connect() as connection:
        yield connection


@pytest.fixture
def writing(path: Path) -> Iterator[Connection]:
    yield from opened(path, read_only=False)


@pytest.fixture
def reading(path: Path) -> Iterator[Connection]:
    yield from opened(path, read_only=True)


def test_the_wheel_is_used_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    wheel = ModuleType("pysqlite3")
    wheel.dbapi2 = ModuleType("pysqlite3.dbapi2")  # type: ignore[attr-defined]  # A stand-in: not every machine has it.
    monkeypatch.setitem(sys.modules, "pysqlite3", wheel)
    assert engine.sqlite_module() is wheel.dbapi2


def test_the_standard_library_serves_where_there_is_no_wheel(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pysqlite3", None)
    assert engine.sqlite_module() is sqlite3.dbapi2


@pytest.mark.parametrize(
    ("version", "mode"),
    [((3, 40, 1), "truncate"), ((3, 51, 2), "truncate"), ((3, 51, 3), "wal"), ((4, 0, 0), "wal")],
)
def test_wal_is_used_from_the_version_without_the_wal_reset_bug(
    version: tuple[int, int, int], mode: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    module = sqlite3.dbapi2
    monkeypatch.setattr(module, "sqlite_version_info", version)
    assert engine.sqlite_mode(module).journal_mode == mode


def test_a_writing_connection_journals_as_chosen(writing: Connection, journal_mode: str) -> None:
    assert writing.exec_driver_sql("pragma journal_mode").scalar() == journal_mode


@pytest.mark.parametrize("read_only", [False, True])
def test_every_connection_syncs_fully_and_holds_foreign_keys(path: Path, *, read_only: bool) -> None:
    for connection in opened(path, read_only=read_only):
        assert connection.exec_driver_sql("pragma synchronous").scalar() == 2
        assert connection.exec_driver_sql("pragma foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("pragma busy_timeout").scalar() == engine.BUSY_TIMEOUT_MS


def test_a_reading_connection_can_write_nothing(reading: Connection) -> None:
    with pytest.raises(OperationalError, match="readonly"):
        reading.execute(text("insert into t values (1)"))


def test_a_writing_transaction_takes_the_lock_when_it_begins(
    writing: Connection, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "BUSY_TIMEOUT_MS", 0)
    with writing.begin():
        for other in opened(path, read_only=False):
            with pytest.raises(OperationalError, match="locked"):
                other.begin()


def test_a_reading_transaction_sees_one_snapshot_and_waits_for_no_writer(
    writing: Connection, reading: Connection, journal_mode: str
) -> None:
    with reading.begin():
        assert reading.execute(text("select count(*) from t")).scalar() == 0
        with writing.begin() as transaction:
            writing.execute(text("insert into t values (1)"))
            assert reading.execute(text("select count(*) from t")).scalar() == 0
            if journal_mode == "truncate":  # There a commit waits for readers to end.
                transaction.rollback()
        assert reading.execute(text("select count(*) from t")).scalar() == 0


def test_json_is_stored_compactly_and_readably(writing: Connection) -> None:
    with writing.begin():
        writing.execute(text("create table j (v)"))
        writing.execute(text("insert into j values (:v)").bindparams(bindparam("v", {"a": ["ü", 1]}, type_=JSON)))
        assert writing.execute(text("select v from j")).scalar() == '{"a":["ü",1]}'


def test_an_old_sqlite_is_told_of_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    use_journal_mode("truncate", monkeypatch)
    prepare_sqlite(tmp_path / "chat.db")
    assert [record.getMessage() for record in caplog.records] == [
        f"SQLite {sqlite3.sqlite_version} is older than 3.51.3: using a rollback journal, which is safe but slower"
    ]


@pytest.mark.parametrize("first", MODES)
def test_a_file_is_changed_to_the_mode_of_whoever_opens_it_next(
    first: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "chat.db"
    for written, mode in enumerate([first, *(mode for mode in MODES if mode != first)], start=1):
        with monkeypatch.context() as patch:
            use_journal_mode(mode, patch)
            prepare_sqlite(path)
            for connection in opened(path, read_only=False):
                with connection.begin():
                    connection.execute(text("create table if not exists t (n integer)"))
                    connection.execute(text("insert into t values (1)"))
                assert connection.exec_driver_sql("pragma journal_mode").scalar() == mode
                assert connection.execute(text("select count(*) from t")).scalar() == written


def test_a_path_that_cannot_be_made_gives_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(SettingsError, match=r"^cannot open the database .*/file/chat.db: "):
        prepare_sqlite(tmp_path / "file" / "chat.db")


def test_a_file_that_is_no_database_gives_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "chat.db").write_bytes(b"something else entirely" * 100)
    with pytest.raises(SettingsError, match=r"^cannot open the database .*: file is not a database$"):
        prepare_sqlite(tmp_path / "chat.db")


@pytest.mark.parametrize("url", ["sqlite://", "sqlite:///", "sqlite:///:memory:", "sqlite:///chat.db?mode=memory"])
def test_a_database_that_processes_cannot_share_is_refused(url: str) -> None:
    with pytest.raises(SettingsError, match="DATABASE_URL must name a file that several processes can share"):
        parse_url(url)


def test_what_is_no_url_is_refused_without_being_quoted() -> None:
    with pytest.raises(SettingsError, match=r"^wrong setting: DATABASE_URL is not a database URL") as caught:
        parse_url("hunter2")
    assert "hunter2" not in str(caught.value)


def test_a_relative_path_is_relative_to_where_the_process_starts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert sqlite_path(parse_url("sqlite:///data/chat.db")) == tmp_path / "data" / "chat.db"


@pytest.fixture
def mounts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The list of mounts, for a test to write. `share` stands for the folder that the database is in."""
    path = tmp_path / "mounts"
    monkeypatch.setattr(engine, "MOUNTS", path)
    (tmp_path / "my share").mkdir()
    return path


@pytest.mark.parametrize("kind", ["nfs4", "cifs", "fuse.sshfs", "9p"])
def test_a_network_file_system_is_refused(kind: str, mounts: Path) -> None:
    share = mounts.parent / "my share"
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {mounts.parent}/my\\040share {kind} rw 0 0\n")
    with pytest.raises(SettingsError, match=rf"is on a network file system \({kind}\)"):
        parse_url(f"sqlite:///{share}/data/not/there/yet/chat.db")


def test_a_network_file_system_hides_what_is_mounted_below_it(mounts: Path) -> None:
    """As autofs does: the two have one mount point."""
    mounts.write_text(f"auto {mounts.parent} autofs rw 0 0\nserver:/x {mounts.parent} nfs4 rw 0 0\n")
    with pytest.raises(SettingsError, match="network file system"):
        parse_url(f"sqlite:///{mounts.parent}/chat.db")


def test_a_link_does_not_hide_a_network_file_system(mounts: Path) -> None:
    (mounts.parent / "link").symlink_to(mounts.parent / "my share")
    mounts.write_text(f"server:/x {mounts.parent}/my\\040share nfs rw 0 0\n")
    with pytest.raises(SettingsError, match="network file system"):
        parse_url(f"sqlite:///{mounts.parent}/link/chat.db")


def test_a_local_disk_inside_a_network_file_system_is_taken(mounts: Path) -> None:
    mounts.write_text(f"server:/x / nfs rw 0 0\n/dev/vda {mounts.parent} ext4 rw 0 0\n")
    parse_url(f"sqlite:///{mounts.parent}/chat.db")


def test_a_folder_whose_name_only_begins_like_a_mount_is_taken(mounts: Path) -> None:
    mounts.write_text(f"/dev/vda / ext4 rw 0 0\nserver:/x {mounts.parent}/my nfs rw 0 0\n")
    parse_url(f"sqlite:///{mounts.parent}/my share/chat.db")


def test_a_system_without_a_list_of_mounts_is_taken_at_its_word(mounts: Path) -> None:
    assert not mounts.exists()
    parse_url(f"sqlite:///{mounts.parent}/chat.db")
