"""One log line an event: text for people, JSON for machines. Never a prompt, an answer or a key."""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from datetime import UTC, datetime
from typing import Any

import orjson

from shared.settings import Settings

# What every log record has; anything else was given with `extra` and belongs in the line.
_STANDARD = frozenset(logging.makeLogRecord({}).__dict__) | {"message", "asctime", "taskName"}


_about: ContextVar[dict[str, Any] | None] = ContextVar("about", default=None)


def begin(**ids: object) -> None:
    """What all lines carry from now on that this task writes, or a task that it starts: the ids of what it is about."""
    _about.set(ids)


def add(**ids: object) -> None:
    """More of that, once it is known."""
    about = _about.get()
    if about is not None:
        about.update(ids)


def _extras(record: logging.LogRecord) -> dict[str, Any]:
    own = {key: value for key, value in record.__dict__.items() if key not in _STANDARD}
    return own | (_about.get() or {})


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


class TextFormatter(logging.Formatter):
    """`2026-01-31T12:00:00.000Z INFO shared.liveness.sweeper: message key=value`."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line, whatever words from outside it carries, and its traceback below it."""
        pairs = "".join(f" {key}={value}" for key, value in _extras(record).items())
        said = f"{record.getMessage()}{pairs}".replace("\r", "\\r").replace("\n", "\\n")
        line = f"{_time(record)} {record.levelname} {record.name}: {said}"
        return f"{line}\n{self.formatException(record.exc_info)}" if record.exc_info else line


class JsonFormatter(logging.Formatter):
    """The same as one JSON object."""

    def format(self, record: logging.LogRecord) -> str:
        """One record as one line."""
        entry = {"time": _time(record), "level": record.levelname.lower(), "logger": record.name}
        entry |= {"message": record.getMessage(), **_extras(record)}
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return orjson.dumps(entry, default=str).decode()


def configure(settings: Settings) -> None:
    """Sends the root logger to standard error in the chosen format. Libraries speak from warnings on."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if settings.log_format == "json" else TextFormatter())
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    for name in ("api", "worker", "shared"):
        logging.getLogger(name).setLevel(settings.log_level.upper())
