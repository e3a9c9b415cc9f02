"""`asyncchat up`: everything on one machine, from the first check to the last child's end."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import click

from cli.child_process import ChildFailed
from cli.data_directory import held_data_directory, refuse_if_held
from cli.invocation import to_type
from cli.model_choice import choose_model
from cli.plan import DRAIN_SECONDS, Plan, make_plan
from cli.ports import AddressError, check_can_listen, free_port, local_address
from cli.start_gate import StartGate
from cli.supervisor import StopRequested, Supervisor
from shared import models_file
from shared.errors import AsyncChatError
from shared.settings import Settings, get_settings, is_loopback, misspelt_variables

# A migration of a large database may take its time; one that hangs must end.
MIGRATION_SECONDS = 3600.0
# A large append-only file is loaded first.
VALKEY_READY_SECONDS = 60.0
READY_SECONDS = 60.0
# What leads OpenAI's SDKs to a server, and the worker to its model.
BASE_URL = "OPENAI_BASE_URL"


@dataclass(frozen=True)
class UpOptions:
    """What was asked for on the command line; None means: as the settings say."""

    host: str | None
    port: int | None
    data_dir: Path
    workers: int
    model: str | None


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
    try:
        check_can_listen(host, port)
    except AddressError:
        refuse_if_held(options.data_dir)  # Started twice: that says more than its port.
        raise
    for place, base_url in _model_addresses(settings).items():
        _refuse_circle(place, base_url, host=host, port=port)
    model = choose_model(settings, options.model, free_port)
    with held_data_directory(options.data_dir) as directory:
        address = (host, port or free_port(host))
        plan = make_plan(settings, model, directory=directory, address=address, workers=options.workers)
        if settings.auth == "open" and not is_loopback(host):
            _warn(f"anyone who can reach {host} can use this server: ASYNCCHAT_AUTH is open")
        _supervise(plan)


def _model_addresses(settings: Settings) -> Mapping[str, str]:
    """Where models are asked, by what says so."""
    if settings.models_path is not None:
        return models_file.base_urls(settings.models_path)
    return {BASE_URL: settings.openai_base_url} if settings.openai_base_url else {}


def _refuse_circle(place: str, base_url: str, *, host: str, port: int) -> None:
    """The variable that leads OpenAI's SDKs here is the one that says which model to ask.

    Raises:
        AsyncChatError: this server would ask itself.
    """
    target = urlsplit(base_url)
    same_host = is_loopback(target.hostname or "") and is_loopback(local_address(host))
    if port and target.port == port and same_host:
        raise AsyncChatError(
            f"{place}={base_url} leads to this very server, which would ask itself; "
            f"{'set it only where the client runs' if place == BASE_URL else 'name another'}, or use another --port"
        )


def _supervise(plan: Plan) -> None:
    supervisor = Supervisor(click.echo, stage_seconds=plan.stage_seconds, stop_seconds=plan.stop_seconds)
    with supervisor, closing(StartGate()) as gate:
        try:
            _start(supervisor, plan, gate)
            _announce(plan)
            supervisor.run()
        except StopRequested:
            patience = f" (up to {plan.stop_seconds:g} s)" if plan.drain_seconds > DRAIN_SECONDS else ""
            click.echo(f"stopping{patience}")
        except ChildFailed as error:
            for line in error.tail:
                click.echo(f"  {line}", err=True)
            raise
    click.echo("stopped")


def _start(supervisor: Supervisor, plan: Plan, gate: StartGate) -> None:
    """Start everything at once; the gate holds back whatever needs the tables."""
    click.echo(f"Starting in {plan.directory} ...")
    if plan.valkey is not None and plan.valkey.shut_down_leftover():
        click.echo("An earlier run had left its Valkey behind; it was stopped.")
    for program in plan.programs(gate.child_fd):
        supervisor.start(program)
    _migrate(supervisor, plan)
    if plan.asks_for_keys:
        _require_key(plan)
    if plan.valkey is not None and not supervisor.wait_until(plan.valkey.answers, VALKEY_READY_SECONDS):
        raise AsyncChatError(f"the embedded Valkey does not answer; its log is {plan.logs / 'valkey.log'}")
    gate.open()
    _await_readiness(supervisor, plan)


def _await_readiness(supervisor: Supervisor, plan: Plan) -> None:
    from cli.readiness import ask_readiness

    def all_are_there() -> bool:
        found = ask_readiness(plan.host, plan.port)
        return found is not None and found.workers >= plan.workers and plan.model_answers()

    if not supervisor.wait_until(all_are_there, READY_SECONDS):
        _warn(f"not everything was ready within {READY_SECONDS:g} s; the logs are in {plan.logs}")
    elif (found := ask_readiness(plan.host, plan.port)) is not None and not found.redis_answers and plan.valkey is None:
        _warn("no Redis answers at REDIS_URL: replies still come, only later")


def _migrate(supervisor: Supervisor, plan: Plan) -> None:
    try:
        supervisor.run_once(plan.migration(), MIGRATION_SECONDS)
    except ChildFailed as error:
        # Its own last line says it better than an exit code.
        raise AsyncChatError(error.tail[-1] if error.tail else str(error)) from None


def _require_key(plan: Plan) -> None:
    """The gateway would say the same, and be started again and again."""
    from cli.keys import has_key
    from shared.database.engine import parse_url, sqlite_path

    url, by_itself = plan.environment["DATABASE_URL"], get_settings().database_url
    if not has_key(url):
        # `asyncchat keys` knows nothing of --data-dir.
        is_elsewhere = sqlite_path(parse_url(url)) != sqlite_path(parse_url(by_itself))
        where = f"DATABASE_URL={shlex.quote(url)} " if is_elsewhere else ""
        raise AsyncChatError(
            f"there is no API key yet: make one with `{where}{to_type()} keys create`, or set ASYNCCHAT_AUTH=open to "
            "let whoever reaches the server use it"
        )


def _announce(plan: Plan) -> None:
    click.echo(f"Async Chat API is ready on {plan.url} (docs: {plan.url}/docs, logs: {os.path.relpath(plan.logs)}/)")
    click.echo(f"Chat: open {plan.url} in a browser.")
    body = '{"message": {"content": "Hello, I am Ada"}}'
    key = "-H 'Authorization: Bearer ak_…' " if plan.asks_for_keys else ""
    click.echo(f"Try:  curl {key}--json '{body}' '{plan.url}/conversations/?wait=20'")
    if plan.model.notice:
        click.echo(plan.model.notice)


def _warn(sentence: str) -> None:
    click.echo(f"warning: {sentence}", err=True)
