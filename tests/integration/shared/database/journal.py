"""Both ways to use SQLite: WAL, and the rollback journal of the standard library's older SQLite."""

from __future__ import annotations

import sqlite3

import pytest

from shared.database import engine

# Set in the environment of a child process that is to use a mode; see `processes`.
MODE_VARIABLE = "TEST_JOURNAL_MODE"


def use_journal_mode(mode: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """From here on this process, and those the test starts, open databases in this mode, whatever SQLite it has."""
    monkeypatch.setenv(MODE_VARIABLE, mode)
    monkeypatch.setattr(engine, "SAFE_WAL_VERSION", (0,) if mode == "wal" else (99,))
    if mode == "truncate":
        monkeypatch.setattr(engine, "sqlite_module", lambda: sqlite3.dbapi2)
    else:
        monkeypatch.setattr(engine, "sqlite_module", _MODULE)


_MODULE = engine.sqlite_module
