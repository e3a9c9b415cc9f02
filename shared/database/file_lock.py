"""One writer at a time among the processes of one SQLite file, in the order they came."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import SettingsError


class FileLock:
    """A blocking `flock` on a file beside the database.

    SQLite's own busy handler sleeps and tries again, so that one busy writer can starve another for seconds; the
    kernel queues waiters of a flock instead. One instance belongs to one thread.

    Raises:
        SettingsError: there can be no file in that place.
    """

    def __init__(self, database: Path) -> None:
        path = database.with_name(database.name + ".lock")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise SettingsError(f"cannot open the database {database}: {error}") from None

    @contextmanager
    def held(self) -> Iterator[None]:
        """Waits for the lock and holds it for the block."""
        fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def close(self) -> None:
        """Gives the file back."""
        os.close(self._descriptor)
