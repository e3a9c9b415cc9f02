"""What is told of the installation: its models, its health, its processes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from api.schemas.answers import Answer, Instant


class OfferedModel(Answer):
    """A model's name."""

    id: str
    default: bool = Field(description="Whether it answers when nothing else is named.")


class OfferedModels(Answer):
    """The models this server offers."""

    data: list[OfferedModel]
    any_name: bool = Field(description="Whether names that are not listed are passed on to the model service too.")


class Health(Answer):
    """Alive."""

    status: Literal["ok"]


class SqliteState(Answer):
    """Which SQLite, and how it journals."""

    version: str
    journal_mode: str


class SweeperState(Answer):
    """When this process last looked for stuck replies."""

    seconds_since_sweep: float


class Readiness(Answer):
    """What this gateway leans on."""

    status: Literal["ready", "degraded", "unready"]
    database: Literal["ok", "down"]
    sqlite: SqliteState | None
    redis: Literal["ok", "down"]
    publisher: Literal["ok", "down"]
    sweeper: SweeperState
    workers: int | None = Field(description="Worker processes alive; null when the database does not say.")


class WorkerProcess(Answer):
    """A worker or a gateway."""

    id: str
    role: Literal["worker", "api"]
    host: str
    started_at: Instant
    is_beating: bool = Field(description="Whether its beat moved lately. One that stands still is soon taken for dead.")
    seconds_since_beat: float = Field(description="How long this gateway has seen its beat stand still.")
    slots: int | None = Field(description="How many replies it makes at once; null for a gateway.")
    live_replies: int = Field(description="How many it holds.")


class WorkerProcesses(Answer):
    """Every worker and gateway."""

    data: list[WorkerProcess]
