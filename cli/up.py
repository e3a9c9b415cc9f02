"""`asyncchat up`: which processes one machine needs, with which environment, and in which order they come and go."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

import click

from cli.child_commands import celery_worker_command, child_python_path, python_module
from cli.child_process import ChildFailed, Program
from cli.data_directory import held_data_directory
from cli.embedded_valkey import EmbeddedValkey, find_binary
from cli.model_choice import ModelChoice, choose_model
from cli.ports import check_can_listen, free_port, is_loopback, url_of
from cli.supervisor import StopRequested, Supervisor
from shared.errors import AsyncChatError
from shared.settings import Settings, get_settings, misspelt_variables

# An interactive stop should not take longer than a person waits; a service's default would be 25 s.
DRAIN_SECONDS = 3.0
# The order of stopping: the gateway stops accepting, workers drain, and what they lean on goes last.
API, WORKER, DEMO_MODEL, VALKEY = range(4)
API_STOP_SECONDS = 0.4
# What a worker needs to end once its answers are out of the way.
WORKER_EXIT_SECONDS = 0.6
# In all, with the drain: 4.5 s, so that Ctrl-C ends everything within 5.
STOP_MARGIN_SECONDS = 1.5
MIGRATION_SECONDS = 600.0
VALKEY_READY_SECONDS = 60.0
READY_SECONDS = 60.0


@dataclass(frozen=True)
class UpOptions:
    """What was asked for on the command line; None means: as the settings say."""

    host: str | None
    port: int | None
    data_dir: Path
    workers: int
    model: str | None


@dataclass(frozen=True)
class Plan:
    """Everything decided before anything is started."""

    host: str
    port: int
    directory: Path
    workers: int
    model: ModelChoice
    environment: dict[str, str]
    drain_seconds: float
    valkey: EmbeddedValkey | None

    def program(self, name: str, command: tuple[str, ...], stage: int) -> Program:
        return Program(name, command, self.environment, self.directory / "logs" / f"{name}.log", stage)


def run_up(options: UpOptions) -> None:
    """Run everything until stopped.

    Raises:
        AsyncChatError: something is wrong; the message is the sentence to print.
    """
    settings = get_settings()
    for sentence in misspelt_variables():
        _warn(sentence)
    host = options.host or settings.host
    port = settings.port if options.port is None else options.port
    check_can_listen(host, port)
    model = choose_model(settings, options.model, free_port)
    with held_data_directory(options.data_dir) as directory:
        plan = _plan(options, settings, model, directory=directory, address=(host, port or free_port(host)))
        if not is_loopback(host):
            _warn(f"anyone who can reach {host} can use this server: it has no API keys yet")
        stages = (API_STOP_SECONDS, plan.drain_seconds + WORKER_EXIT_SECONDS, 0.0, 0.0)
        stop_seconds = plan.drain_seconds + STOP_MARGIN_SECONDS
        with Supervisor(click.echo, stage_seconds=stages, stop_seconds=stop_seconds) as supervisor:
            try:
                _start(supervisor, plan)
                supervisor.run()
            except StopRequested:
                click.echo("stopping" + (f" (up to {stop_seconds:g} s)" if plan.drain_seconds > DRAIN_SECONDS else ""))
            except ChildFailed as error:
                _show_tail(error)
                raise
    click.echo("stopped")


def _plan(
    options: UpOptions, settings: Settings, model: ModelChoice, *, directory: Path, address: tuple[str, int]
) -> Plan:
    given = settings.model_fields_set
    environment = {**os.environ, "PYTHONPATH": child_python_path(), "PYTHONUNBUFFERED": "1", **model.environment}
    if "database_url" not in given:
        environment["DATABASE_URL"] = _sqlite_url(directory)
    drain_seconds = settings.drain_seconds if "drain_seconds" in given else DRAIN_SECONDS
    environment["ASYNCCHAT_DRAIN_SECONDS"] = str(drain_seconds)
    valkey = None
    if "redis_url" not in given:
        find_binary()
        valkey = EmbeddedValkey.in_directory(directory / "valkey")
        environment["REDIS_URL"] = valkey.redis_url
    return Plan(*address, directory, options.workers, model, environment, drain_seconds, valkey)


def _sqlite_url(directory: Path) -> str:
    if "?" in str(directory):
        raise AsyncChatError(f"the data directory {directory} has a ? in its path; choose another with --data-dir")
    return f"sqlite:///{directory / 'asyncchat.db'}"


def _start(supervisor: Supervisor, plan: Plan) -> None:
    from cli.readiness import live_workers

    click.echo(f"Starting in {plan.directory} ...")
    if plan.valkey is not None:
        if plan.valkey.shut_down_leftover():
            click.echo("An earlier run had left its Valkey behind; it was stopped.")
        supervisor.start(plan.program("valkey", plan.valkey.command(), VALKEY))
    if plan.model.demo_port is not None:
        command = python_module("demo_model", "--host", "127.0.0.1", "--port", str(plan.model.demo_port))
        supervisor.start(plan.program("demo-model", command, DEMO_MODEL))
    _migrate(supervisor, plan)
    if plan.valkey is not None and not supervisor.wait_until(plan.valkey.answers, VALKEY_READY_SECONDS):
        raise AsyncChatError(f"Valkey does not answer; its log is {plan.directory / 'logs' / 'valkey.log'}")
    for number in range(1, plan.workers + 1):
        command = celery_worker_command(node=f"worker-{number}")
        supervisor.start(plan.program(f"worker-{number}", command, WORKER))
    command = python_module("cli", "api", "--host", plan.host, "--port", str(plan.port))
    supervisor.start(plan.program("api", command, API))
    ready = supervisor.wait_until(lambda: live_workers(plan.host, plan.port) >= plan.workers, READY_SECONDS)
    if not ready:
        _warn(f"not everything was ready within {READY_SECONDS:g} s; the logs are in {plan.directory / 'logs'}")
    _announce(plan)


def _migrate(supervisor: Supervisor, plan: Plan) -> None:
    try:
        supervisor.run_once(plan.program("migrate", python_module("cli", "migrate"), VALKEY), MIGRATION_SECONDS)
    except ChildFailed as error:
        # The command's own sentence is the better one.
        sentence = error.tail[-1].removeprefix("asyncchat: ") if error.tail else str(error)
        raise AsyncChatError(sentence) from None


def _announce(plan: Plan) -> None:
    url = url_of(plan.host, plan.port)
    logs = os.path.relpath(plan.directory / "logs")
    click.echo(f"Async Chat API is ready on {url} (docs: {url}/docs, logs: {logs}/)")
    body = '{"message": {"content": "Hello, I am Ada"}}'
    click.echo(f"Try:  curl --json '{body}' '{url}/conversations/?wait=20'")
    if plan.model.notice:
        click.echo(plan.model.notice)


def _warn(sentence: str) -> None:
    click.echo(f"warning: {sentence}", err=True)


def _show_tail(error: ChildFailed) -> None:
    for line in error.tail:
        click.echo(f"  {line}", err=True)
