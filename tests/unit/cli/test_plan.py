"""Which processes `asyncchat up` runs, and what the user's own settings change in that."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli.model_choice import ModelChoice
from cli.plan import Plan, make_plan
from shared.settings import Settings

OWN_VARIABLES = ("DATABASE_URL", "REDIS_URL", "ASYNCCHAT_DRAIN_SECONDS")


@pytest.fixture(autouse=True)
def _nothing_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in OWN_VARIABLES:
        monkeypatch.delenv(name, raising=False)


def _plan(directory: Path, *, workers: int = 1, model: ModelChoice | None = None) -> Plan:
    settings = Settings(_env_file=None)
    return make_plan(
        settings, model or ModelChoice(), directory=directory, address=("127.0.0.1", 8000), workers=workers
    )


def _names(plan: Plan) -> list[str]:
    return [program.name for program in plan.programs(0)]


def test_everything_lives_in_the_data_directory(tmp_path: Path) -> None:
    plan = _plan(tmp_path, model=ModelChoice(demo_port=1))
    assert _names(plan) == ["valkey", "worker-1", "api", "demo-model"]
    assert plan.environment["DATABASE_URL"] == f"sqlite:///{tmp_path}/asyncchat.db"
    assert plan.environment["REDIS_URL"].startswith("redis+socket:///")
    assert {program.log.parent for program in plan.programs(0)} == {tmp_path / "logs"}


def test_the_users_database_and_redis_win(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", "sqlite:////elsewhere/chat.db")
    monkeypatch.setenv("REDIS_URL", "redis://cache:6379/1")
    plan = _plan(tmp_path)
    assert _names(plan) == ["worker-1", "api"]
    assert plan.environment["DATABASE_URL"] == "sqlite:////elsewhere/chat.db"
    assert plan.environment["REDIS_URL"] == "redis://cache:6379/1"
    assert not (tmp_path / "valkey").exists()


def test_webhooks_may_go_to_this_machine_while_nobody_else_may_come_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = "ASYNCCHAT_WEBHOOK_NETWORKS"

    def networks(host: str = "127.0.0.1") -> str | None:
        plan = make_plan(Settings(_env_file=None), ModelChoice(), directory=tmp_path, address=(host, 8000), workers=1)
        return plan.environment.get(name)

    assert networks() == "127.0.0.0/8,::1/128"
    assert networks("192.168.1.7") is None
    monkeypatch.setenv("ASYNCCHAT_AUTH", "keys")
    assert networks() is None
    monkeypatch.setenv(name, "10.1.0.0/16")
    assert networks() == "10.1.0.0/16"


def test_every_worker_has_a_name_of_its_own(tmp_path: Path) -> None:
    plan = _plan(tmp_path, workers=3)
    nodes = [program.command[-1] for program in plan.programs(0) if program.name.startswith("worker")]
    assert nodes == ["worker-1", "worker-2", "worker-3"]


def test_every_worker_shows_its_metrics_on_a_port_of_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    name = "ASYNCCHAT_WORKER_METRICS_PORT"
    assert all(name not in program.environment for program in _plan(tmp_path, workers=2).programs(0))
    monkeypatch.setenv(name, "9100")
    programs = _plan(tmp_path, workers=2).programs(0)
    assert [program.environment[name] for program in programs if "worker" in program.name] == ["9100", "9101"]


def test_it_stops_within_five_seconds_and_in_order(tmp_path: Path) -> None:
    plan = _plan(tmp_path, model=ModelChoice(demo_port=1))
    order = sorted(plan.programs(0), key=lambda program: program.stage)
    assert [program.name for program in order] == ["api", "worker-1", "demo-model", "valkey"]
    assert plan.environment["ASYNCCHAT_DRAIN_SECONDS"] == "2.0"
    assert plan.stop_seconds == 4.5
    assert sum(plan.stage_seconds) < plan.stop_seconds


def test_the_local_model_is_one_more_child_and_waited_for(tmp_path: Path) -> None:
    plan = _plan(tmp_path, model=ModelChoice(local_port=1))
    assert _names(plan) == ["valkey", "worker-1", "api", "local-model"]
    assert not plan.model_answers()
    assert _plan(tmp_path, model=ModelChoice(demo_port=1)).model_answers()


def test_a_longer_drain_asked_for_by_the_user_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCHAT_DRAIN_SECONDS", "20")
    plan = _plan(tmp_path)
    assert plan.environment["ASYNCCHAT_DRAIN_SECONDS"] == "20.0"
    assert plan.stop_seconds == 22.5


def test_a_folder_named_worker_where_it_is_started_is_not_taken_for_ours(tmp_path: Path) -> None:
    for program in _plan(tmp_path).programs(0):
        if program.name != "valkey":
            assert program.command[1:3] == ("-P", "-m")
