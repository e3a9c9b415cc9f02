"""`asyncchat copy`, from a file to a database of the kind under test and back."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import RowMapping, insert, select

from cli import copying
from shared.database.engine import open_engine, parse_url
from shared.database.models import api_keys, conversations, idempotency_keys, messages, metadata, replies, workers
from shared.database.schema import migrate
from shared.errors import SettingsError
from shared.store import tables

# More than a chunk.
MANY = tables.CHUNK + 7


@pytest.fixture(autouse=True)
def _watches_briefly(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copying, "WATCH_SECONDS", 0.3)


@pytest.fixture
def file_url(tmp_path: Path) -> str:
    """A grown SQLite file: odd characters, JSON of every shape, nulls, long and empty texts, large numbers."""
    url = f"sqlite:///{tmp_path}/grown.db"
    migrate(url)
    with open_engine(parse_url(url), read_only=False).begin() as connection:
        connection.execute(insert(conversations), [_conversation(number) for number in range(MANY)])
        connection.execute(insert(messages), _messages())
        connection.execute(insert(replies), _replies())
        connection.execute(insert(workers), [{"id": "worker_dead", "host": "h", "beat": 2**40, "started_at": 1}])
        key = {"id": "key_1", "tenant_id": "default", "name": "ünï", "prefix": "p", "digest": "d", "created_at": 1}
        connection.execute(insert(api_keys), [{**key, "scopes": ["read", "write"]}])
        keyed = {"tenant_id": "default", "key": "k\\' ü", "method": "POST", "path": "/", "request_hash": "h"}
        connection.execute(
            insert(idempotency_keys), [{**keyed, "resource_type": "turn", "resource_id": "1", "created_at": 5}]
        )
    return url


def _conversation(number: int) -> dict[str, Any]:
    return {
        "id": f"conv_{number:05}",
        "tenant_id": "default",
        "title": [None, "", "Ünïcode 🎉 'quoted' \\ back", "x" * 10_000][number % 4],
        "parameters": {"stop": ["\n", "%s", ":x"], "temperature": 0.1, "deep": {"a": [None, True, 1.5]}},
        "metadata": {},
        "next_turn": number + 1,
        "created_at": 1_790_000_000_000 + number,
        "updated_at": 2**52,
    }


def _messages() -> list[dict[str, Any]]:
    row = {"tenant_id": "default", "conversation_id": "conv_00001", "role": "user", "created_at": 1}
    texts = ["", "multi\nline\ttab", "💬" * 5_000]
    return [
        {**row, "id": f"msg_{turn}", "turn": turn, "position": 0, "content": content, "parts": parts}
        for turn, (content, parts) in enumerate(zip(texts, [None, [], [{"type": "text"}]], strict=True))
    ]


def _replies() -> list[dict[str, Any]]:
    row = {
        "tenant_id": "default",
        "conversation_id": "conv_00001",
        "turn": 1,
        "model": "m",
        "parameters": {},
        "metadata": {"a": "b"},
        "available_at": 1,
        "deadline_at": 2,
        "created_at": 1,
    }
    held = {"worker_id": "worker_dead", "partial": "so f", "error_retryable": None}
    ended = {"worker_id": None, "partial": None, "error_retryable": False}
    return [
        {**row, **held, "id": "reply_1", "candidate": 1, "status": "in_progress", "selected": False},
        {**row, **ended, "id": "reply_2", "candidate": 2, "status": "completed", "selected": True},
    ]


def everything(url: str) -> dict[str, Sequence[RowMapping]]:
    with open_engine(parse_url(url), read_only=True).begin() as connection:
        return {
            table.name: connection.execute(select(table).order_by(*table.primary_key.columns)).mappings().all()
            for table in metadata.sorted_tables
        }


def test_every_row_of_every_table_comes_over_and_back_again(file_url: str, database_url: str, tmp_path: Path) -> None:
    copied = {each.table: each.rows for each in copying.copy_database(file_url, database_url)}
    assert list(copied) == [table.name for table in tables.ALL]
    assert {table: rows for table, rows in copied.items() if rows} == {
        "conversations": MANY, "messages": 3, "replies": 2, "workers": 1, "idempotency_keys": 1, "api_keys": 1
    }  # fmt: skip
    assert everything(database_url) == everything(file_url)

    back = f"sqlite:///{tmp_path}/back.db"
    migrate(back)
    copying.copy_database(database_url, back)
    assert everything(back) == everything(file_url)


def test_a_target_that_has_rows_is_refused_and_left_as_it_is(file_url: str, database_url: str) -> None:
    with open_engine(parse_url(database_url), read_only=False).begin() as connection:
        connection.execute(insert(workers).values(id="worker_a", host="h", beat=1, started_at=1))
    before = everything(database_url)
    with pytest.raises(SettingsError, match=r"^the target is not empty: there are rows in workers$"):
        copying.copy_database(file_url, database_url)
    assert everything(database_url) == before


def test_a_target_without_tables_is_refused(file_url: str, empty_database_url: str) -> None:
    with pytest.raises(SettingsError, match=r"^the target: .*`asyncchat migrate`"):
        copying.copy_database(file_url, empty_database_url)


def test_a_source_that_is_not_there_is_refused_and_not_made(database_url: str, tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match=r"^the source: there is no file .*nowhere.db"):
        copying.copy_database(f"sqlite:///{tmp_path}/nowhere.db", database_url)
    assert not (tmp_path / "nowhere.db").exists()


def test_a_database_is_not_copied_into_itself(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.chdir(tmp_path)
    same = database_url.replace(f"sqlite:///{tmp_path}/", "sqlite:///./")
    with pytest.raises(SettingsError, match="the same database"):
        copying.copy_database(database_url, same)


def test_a_copy_that_fails_half_way_leaves_the_target_empty(
    file_url: str, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = everything(database_url)
    monkeypatch.setattr(copying, "_counted", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        copying.copy_database(file_url, database_url)
    assert everything(database_url) == before


@pytest.fixture
def beating(database_url: str) -> Iterator[None]:
    """A process that beats in the database under test."""
    program = """if True:
        import asyncio, sys
        from shared.liveness import heartbeat
        from shared.database.access import Database
        async def main():
            heartbeat.BEAT_SECONDS = 0.05
            database = Database(sys.argv[1])
            database.start()
            await heartbeat.Heartbeat(database, "worker").start()
            print("ready", flush=True)
            await asyncio.sleep(3600)
        asyncio.run(main())
    """
    with subprocess.Popen([sys.executable, "-c", program, database_url], stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        yield
        process.kill()


@pytest.mark.usefixtures("beating")
def test_a_source_that_somebody_uses_is_refused(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(copying, "WATCH_SECONDS", 20.0)
    target = f"sqlite:///{tmp_path}/target.db"
    migrate(target)
    with pytest.raises(SettingsError, match=r"^asyncchat still runs on this database \(worker_\w+\): stop it first$"):
        copying.copy_database(database_url, target)


def test_the_command_says_what_it_copied(file_url: str, database_url: str) -> None:
    command = [sys.executable, "-m", "cli", "copy", "--from", file_url, "--to", database_url]
    ended = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 0, ended.stderr
    assert f"conversations: {MANY} rows in both" in ended.stdout.splitlines()
    again = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert again.returncode == 1
    assert "asyncchat: the target is not empty" in again.stderr
