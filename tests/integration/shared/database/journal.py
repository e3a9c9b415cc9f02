"""Both ways to use SQLite: WAL, and the rollback journal of the standard library's older SQLite."""

from __future__ import annotations

import sqlite3

import pytest

from shared.database import engine

MODES = ("wal", "truncate")


def use_journal_mode(mode: str, patch: pytest.MonkeyPatch) -> None:
    """From here on this process opens databases in this mode, whatever versions of SQLite it has."""
    patch.setattr(engine, "SAFE_WAL_VERSION", (0,) if mode == "wal" else (99,))
    if mode == "truncate":
        patch.setattr(engine, "sqlite_module", lambda: sqlite3.dbapi2)
