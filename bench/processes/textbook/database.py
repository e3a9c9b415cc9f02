"""The settings, the tables, and what an engine of either kind is made with."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any

from pydantic_settings import BaseSettings
from sqlalchemy import Engine, ForeignKey, event, func
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column


class Settings(BaseSettings):
    """Read from the environment; OpenAI's SDK reads variables of its own."""

    # As for an async engine.
    textbook_database_url: str
    textbook_broker_url: str


class Status(StrEnum):
    """Of a message: the user's are completed from the start."""

    PENDING = "pending"
    COMPLETED = "completed"
    FAILED = "failed"


class Base(DeclarativeBase):
    """What the tables are collected in."""


class Conversation(Base):
    """Some messages, one after the other."""

    __tablename__ = "conversations"

    id: Mapped[int] = mapped_column(primary_key=True)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


class Message(Base):
    """What the user said, or the model's answer to it, which is empty until it is there."""

    __tablename__ = "messages"

    id: Mapped[int] = mapped_column(primary_key=True)
    conversation_id: Mapped[int] = mapped_column(ForeignKey("conversations.id"), index=True)
    role: Mapped[str]
    status: Mapped[str] = mapped_column(default=Status.COMPLETED)
    model: Mapped[str | None]
    content: Mapped[str] = mapped_column(default="")
    created_at: Mapped[datetime] = mapped_column(server_default=func.now())


def prepared(engine: Engine) -> Engine:
    """SQLite with a write-ahead log, a wait for another's write, and foreign keys; others as they are."""
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
    return engine


def _prepare_sqlite(connection: Any, _record: object) -> None:
    cursor = connection.cursor()
    for pragma in ("journal_mode=WAL", "busy_timeout=30000", "foreign_keys=ON"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()
