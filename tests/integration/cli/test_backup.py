"""`asyncchat backup` and `asyncchat restore`."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import text

from cli import copying
from cli.backup import back_up, restore
from shared.clock import now_ms
from shared.database.engine import open_engine, parse_url, sqlite_module
from shared.database.models import DEFAULT_TENANT
from shared.database.schema import migrate
from shared.errors import SettingsError
from shared.ids import new_conversation_id
from shared.store import conversations, tables, turns, workers
from shared.store.turns import Ask
from tests.integration.shared.rows import NOW

ASKED = Ask("Hello " * 100, 1, None, "m", 60_000)


@pytest.fixture(autouse=True)
def _watches_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "WATCH_SECONDS", 0.3)


@pytest.fixture
def url(tmp_path: Path) -> str:
    url = f"sqlite:///{tmp_path}/chat.db"
    migrate(url)
    return url


def ask(url: str) -> None:
    """One transaction: a conversation, and a turn in it."""
    conversation_id = new_conversation_id()
    stamps = {"created_at": NOW, "updated_at": NOW}
    row = {"id": conversation_id, "tenant_id": DEFAULT_TENANT, "parameters": {}, "metadata": {}, **stamps}
    with open_engine(parse_url(url), read_only=False).begin() as connection:
        conversations.create(connection, row)
        turns.ask(connection, DEFAULT_TENANT, conversation_id, asked=ASKED, now=NOW)


def content(url: str) -> dict[str, list[tuple[object, ...]]]:
    """Every row of every table."""
    with open_engine(parse_url(url), read_only=True).begin() as connection:
        return {
            table.name: sorted((tuple(row) for row in connection.execute(table.select())), key=str)
            for table in tables.ALL
        }


@pytest.fixture
def busy(url: str) -> Iterator[None]:
    """Somebody asks all the time."""
    stopped, begun = threading.Event(), threading.Event()

    def ask_on() -> None:
        while not stopped.is_set():
            ask(url)
            begun.set()

    thread = threading.Thread(target=ask_on)
    thread.start()
    assert begun.wait(10)
    yield
    stopped.set()
    thread.join()


@pytest.mark.usefixtures("busy")
def test_a_backup_under_load_is_one_moment_and_restored_it_is_the_same(url: str, tmp_path: Path) -> None:
    saved = tmp_path / "saved.db"
    assert "is backed up in" in back_up(url, saved)
    found = content(f"sqlite:///{saved}")
    # Whatever was accepted in one transaction is in it whole.
    assert len(found["conversations"]) == len(found["messages"]) == len(found["replies"]) > 0
    other = f"sqlite:///{tmp_path}/elsewhere/chat.db"
    (tmp_path / "elsewhere").mkdir()
    assert "is as it was when" in restore(other, saved)
    assert content(other) == found


def test_what_is_replaced_by_a_restore_is_kept(url: str, tmp_path: Path) -> None:
    ask(url)
    back_up(url, tmp_path / "saved.db")
    then = content(url)
    # As a process leaves it that was killed: the last conversation is in the log alone.
    held = sqlite_module().connect(str(tmp_path / "chat.db"))
    held.execute("select count(*) from conversations").fetchone()
    ask(url)
    now = content(url)
    assert (tmp_path / "chat.db-wal").exists()
    restore(url, tmp_path / "saved.db")
    held.close()
    assert content(url) == then != now
    (kept,) = (path for path in tmp_path.glob("chat.db.replaced-*") if not path.name.endswith(("-wal", "-shm")))
    assert content(f"sqlite:///{kept}") == now


def test_a_backup_can_give_back_room_whatever_the_database_is_like(tmp_path: Path) -> None:
    path = tmp_path / "chat.db"
    with sqlite_module().connect(str(path)) as connection:
        connection.execute("pragma auto_vacuum=none")
        connection.execute("create table filler (x)")
    connection.close()
    migrate(f"sqlite:///{path}")
    back_up(f"sqlite:///{path}", tmp_path / "saved.db")
    with open_engine(parse_url(f"sqlite:///{tmp_path}/saved.db"), read_only=True).begin() as connection:
        assert connection.execute(text("pragma auto_vacuum")).scalar_one() == 2


def test_nothing_is_restored_while_something_runs(url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    back_up(url, tmp_path / "saved.db")
    with open_engine(parse_url(url), read_only=False).begin() as connection:
        workers.register(connection, "worker_alive", host="h", now=now_ms())
    beats = iter(range(100))
    monkeypatch.setattr(workers, "beats", lambda _connection: {"worker_alive": next(beats)})
    before = content(url)
    with pytest.raises(SettingsError, match="stop it first"):
        restore(url, tmp_path / "saved.db")
    assert content(url) == before
    assert not list(tmp_path.glob("*unfinished*"))


@pytest.mark.parametrize("what", ["cut short", "no database", "another's database", "missing", "empty"])
def test_only_a_whole_backup_is_restored(what: str, url: str, tmp_path: Path) -> None:
    for _ in range(20):
        ask(url)
    saved = tmp_path / "saved.db"
    back_up(url, saved)
    if what == "cut short":
        saved.write_bytes(saved.read_bytes()[: saved.stat().st_size // 2])
    elif what == "no database":
        saved.write_text("Hello" * 1000)
    elif what == "another's database":
        saved.unlink()
        with sqlite_module().connect(str(saved)) as connection:
            connection.execute("create table theirs (x)")
        connection.close()
    elif what == "missing":
        saved.unlink()
    else:
        saved.write_bytes(b"")
    before = content(url)
    with pytest.raises(SettingsError):
        restore(url, saved)
    assert content(url) == before


def test_nothing_is_written_over(url: str, tmp_path: Path) -> None:
    (tmp_path / "saved.db").write_text("precious")
    with pytest.raises(SettingsError, match="already: name a new one"):
        back_up(url, tmp_path / "saved.db")
    assert (tmp_path / "saved.db").read_text() == "precious"
    with pytest.raises(SettingsError, match="No such file or directory"):
        back_up(url, tmp_path / "nowhere" / "saved.db")


def test_a_server_has_programs_of_its_own_for_it(tmp_path: Path) -> None:
    url = "postgresql://user:secret@127.0.0.1/chat"
    with pytest.raises(SettingsError, match="pg_dump"):
        back_up(url, tmp_path / "x")
    with pytest.raises(SettingsError, match="pg_restore"):
        restore(url, tmp_path / "x")
