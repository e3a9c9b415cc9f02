"""The directory of one `asyncchat up`: made when missing, and held by one process at a time."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from shared.errors import AsyncChatError

LOCK_NAME = "up.lock"


class DataDirectoryError(AsyncChatError):
    """The data directory cannot be used. The message is one sentence that says what to do."""


@contextmanager
def held_data_directory(directory: Path) -> Iterator[Path]:
    """Make the directory and hold it; its absolute path. The lock goes with this process, however it ends.

    Raises:
        DataDirectoryError: it cannot be written, or another process holds it.
    """
    directory = directory.absolute()
    try:
        directory.mkdir(parents=True, exist_ok=True)
        (directory / "logs").mkdir(exist_ok=True)
        lock = os.open(directory / LOCK_NAME, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        is_file = isinstance(error, FileExistsError | NotADirectoryError)
        why = f"{error.filename} is a file" if is_file else error.strerror
        raise DataDirectoryError(
            f"cannot write to the data directory {directory}: {why}; choose another with --data-dir"
        ) from None
    try:
        _take(lock, directory)
        yield directory
    finally:
        os.close(lock)


def refuse_if_held(directory: Path) -> None:
    """Looks at a directory that may not be there, and makes nothing.

    Raises:
        DataDirectoryError: another process holds it.
    """
    directory = directory.absolute()
    try:
        lock = os.open(directory / LOCK_NAME, os.O_RDWR)
    except OSError:
        return
    try:
        _try(lock, directory)
    finally:
        os.close(lock)


def _take(lock: int, directory: Path) -> None:
    _try(lock, directory)
    os.ftruncate(lock, 0)
    os.write(lock, f"{os.getpid()}\n".encode())


def _try(lock: int, directory: Path) -> None:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        holder = os.read(lock, 32).decode(errors="replace").strip() or "unknown"
        raise DataDirectoryError(
            f"the data directory {directory} is in use by another `asyncchat up` (process {holder}); "
            "stop that one, or choose another with --data-dir"
        ) from None
