"""The command line: wiring only. Every command imports what it needs by itself, so that each starts fast."""

from __future__ import annotations

import sys
from importlib import metadata
from pathlib import Path
from typing import NoReturn

import click

from cli import streams
from cli.terminal.commands import ask, chat
from shared.errors import AsyncChatError

DISTRIBUTION = "async-chat-api"


def _version() -> str:
    try:
        return metadata.version(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return "unknown (not installed)"


def _print_version(context: click.Context, _parameter: click.Parameter, wanted: bool) -> None:  # noqa: FBT001 - click's
    if wanted and not context.resilient_parsing:
        click.echo(f"asyncchat {_version()}")
        context.exit()


@click.group(context_settings={"help_option_names": ["-h", "--help"], "show_default": True})
@click.option(
    "--version", is_flag=True, is_eager=True, expose_value=False, callback=_print_version, help="Show the version."
)
def commands() -> None:
    """Async Chat API: a chat backend whose answers are never lost.

    Settings come from the environment and from a .env file in the current directory.
    """


@commands.command()
@click.option("--host", help="The address to listen on.  [default: ASYNCCHAT_HOST or 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="0 takes a free one.  [default: ASYNCCHAT_PORT or 8000]")
@click.option("--data-dir", type=click.Path(path_type=Path), default=Path("data"), help="Database, queue and logs.")
@click.option("--workers", type=click.IntRange(1, 64), default=1, help="Worker processes.")
@click.option("--model", help="The model that answers; demo and local need no key.  [default: ASYNCCHAT_MODEL]")
def up(host: str | None, port: int | None, data_dir: Path, *, workers: int, model: str | None) -> None:
    """Run everything on this machine, with nothing else installed."""
    try:
        from cli.up import UpOptions, run_up

        run_up(UpOptions(host=host, port=port, data_dir=data_dir, workers=workers, model=model))
    except KeyboardInterrupt:
        # Before anything was started; from then on the supervisor stops everything in order.
        click.echo("stopped")


@commands.command()
@click.option("--host", help="The address to listen on.  [default: ASYNCCHAT_HOST or 127.0.0.1]")
@click.option("--port", type=click.IntRange(0, 65535), help="The port to listen on.  [default: ASYNCCHAT_PORT or 8000]")
@click.option("--gate-fd", type=int, hidden=True, help="Serve once this pipe is closed; what `up` needs.")
def api(host: str | None, port: int | None, *, gate_fd: int | None) -> None:
    """Run the gateway alone."""
    from cli.roles import run_api

    run_api(host, port, gate_fd=gate_fd)


@commands.command()
@click.option("--slots", type=click.IntRange(1, 10_000), help="Answers at once.  [default: ASYNCCHAT_SLOTS or 200]")
def worker(slots: int | None) -> None:
    """Run one worker alone.

    It is what `celery -A worker.app worker -P threads` runs.
    """
    from cli.roles import run_worker

    run_worker(slots)


@commands.command()
def migrate() -> None:
    """Create the database's tables, or bring them up to date."""
    from cli.migration import bring_up_to_date
    from shared.settings import get_settings

    click.echo(bring_up_to_date(get_settings().database_url))


@commands.group()
def keys() -> None:
    """Make, list and revoke API keys."""


@keys.command("create")
@click.option("--name", default="first key", help="What it is for.")
@click.option("--tenant", default="default", help="Whose conversations it is for; each tenant sees only its own.")
@click.option(
    "--scope",
    "scopes",
    multiple=True,
    type=click.Choice(["read", "write", "admin"]),
    default=("read", "write"),
    help="What it is good for; may be given several times.",
)
@click.option(
    "--days", type=click.FloatRange(0, 36_500, min_open=True), help="How long it is good.  [default: for ever]"
)
@click.option(
    "--budget-tokens-per-day", type=click.IntRange(0, 2**53), help="How much it may use.  [default: no limit]"
)
@click.option("--budget-tokens-per-month", type=click.IntRange(0, 2**53), help="The same in a calendar month.")
def keys_create(
    name: str,
    tenant: str,
    *,
    scopes: tuple[str, ...],
    days: float | None,
    budget_tokens_per_day: int | None,
    budget_tokens_per_month: int | None,
) -> None:
    """Make a key and print it. It is shown this once."""
    from cli.keys import create_key, missing_file
    from shared.api_keys import Scope
    from shared.store.budgets import Limits

    limits = Limits.of(budget_tokens_per_day, budget_tokens_per_month)
    made_anew = missing_file()
    made = create_key(tenant=tenant, name=name, scopes={Scope(scope) for scope in scopes}, days=days, limits=limits)
    click.echo(made.secret)
    if made_anew is not None:
        click.echo(f"It is in a new database, {made_anew}. If the server uses another, set DATABASE_URL.", err=True)


@keys.command("list")
def keys_list() -> None:
    """All keys of all tenants, without their secrets."""
    from cli.keys import list_keys, table_of

    found = list_keys()
    for line in table_of(found):
        click.echo(line)
    if not found:
        click.echo("There is no key yet: `asyncchat keys create` makes one.", err=True)


@keys.command("revoke")
@click.argument("key_id")
def keys_revoke(key_id: str) -> None:
    """Make a key useless, within two seconds everywhere."""
    from cli.keys import revoke_key

    revoke_key(key_id)
    click.echo(f"{key_id} is revoked")


@commands.command()
@click.option(
    "--from", "source", required=True, metavar="URL", help="Where everything is, like sqlite:///data/chat.db."
)
@click.option("--to", "target", required=True, metavar="URL", help="A migrated, empty database of either kind.")
def copy(source: str, target: str) -> None:
    """Copy everything from one database to another while nothing runs."""
    from cli.copying import copy_database

    for copied in copy_database(source, target):
        click.echo(f"{copied.table}: {copied.rows} rows in both")
    click.echo("Everything was copied. Set DATABASE_URL to the new database and start again.")


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
def backup(file: Path) -> None:
    """Copy the SQLite database into a new FILE while everything runs."""
    from cli.backup import back_up
    from shared.settings import get_settings

    click.echo(back_up(get_settings().database_url, file))


@commands.command()
@click.argument("file", type=click.Path(path_type=Path))
def restore(file: Path) -> None:
    """Put a backup in the SQLite database's place while nothing runs.

    What was there is kept beside it under another name.
    """
    from cli.backup import restore as put_back
    from shared.settings import get_settings

    click.echo(put_back(get_settings().database_url, file))


@commands.command("import")
@click.argument("file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
@click.option("--tenant", default="default", help="Whose conversations they become.")
@click.option("--end-user", help="What they are marked with.")
@click.option("--dry-run", is_flag=True, help="Say what would be imported, and write nothing.")
def import_(file: Path, tenant: str, *, end_user: str | None, dry_run: bool) -> None:
    """Import conversations from another chat program's SQLite FILE.

    Twice is no more than once: what is here already is left as it is.
    """
    from cli.importing import import_file

    for line in import_file(file, tenant=tenant, end_user=end_user, dry_run=dry_run):
        click.echo(line)


@commands.command()
@click.argument("role", type=click.Choice(["api", "worker"]))
def health(role: str) -> None:
    """Tell whether this machine's gateway or worker does its work.

    Exit code 1 if not.
    """
    from cli.health import check_api, check_worker

    click.echo(check_api() if role == "api" else check_worker())


@commands.command()
@click.option("--seconds", type=click.FloatRange(1, 86_400), default=60, help="How long the load lasts.")
@click.option("--seed", type=click.IntRange(0), help="The same faults again.  [default: a new one]")
@click.option("--database-url", metavar="URL", help="An empty database.  [default: a SQLite file of its own]")
@click.option(
    "--url", "urls", metavar="URL", multiple=True, help="Load a running installation instead, and break nothing."
)
@click.option("--key", envvar="ASYNCCHAT_API_KEY", help="An API key for --url.  [env: ASYNCCHAT_API_KEY]")
def verify(
    seconds: float, seed: int | None, *, database_url: str | None, urls: tuple[str, ...], key: str | None
) -> int:
    """Prove that nothing is lost: load an installation, harm it, count.

    Starts two gateways, two workers, a Valkey and the demo model, breaks them at random while clients ask, and prints
    what was lost, duplicated, out of order or stuck. Exit code 0 if nothing was.
    """
    from cli.verify.run import VerifyOptions, run_verify

    if urls and database_url is not None:
        raise click.UsageError(
            "--url is about a running installation and --database-url about one that is started here"
        )
    return run_verify(VerifyOptions(seconds=seconds, seed=seed, database_url=database_url, urls=urls, key=key))


@commands.command(add_help_option=False, context_settings={"ignore_unknown_options": True})
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED, metavar="[NAME]... [OPTIONS]")
def bench(arguments: tuple[str, ...]) -> None:
    """Measure how fast it is, in a checkout: `bench --help` lists what."""
    from cli.benchmarks import run_benchmarks

    run_benchmarks(arguments)


commands.add_command(ask)
commands.add_command(chat)


def main() -> NoReturn:
    """Run the command; whatever goes wrong on purpose is one sentence on stderr."""
    streams.make_usable()
    sentence, code = _run()
    if (unwritten := streams.flush()) is not None:
        sentence, code = sentence or unwritten, code or 1
    if sentence:
        click.echo(f"asyncchat: {sentence}", err=True)
    sys.exit(code)


def _run() -> tuple[str, int]:
    try:
        result = commands.main(prog_name="asyncchat", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        return "", 0
    except (click.Abort, KeyboardInterrupt):
        return "", 130
    except (click.ClickException, AsyncChatError, OSError, UnicodeError) as error:
        return _told(error)
    return "", result if isinstance(result, int) else 0


def _told(error: Exception) -> tuple[str, int]:
    match error:
        case click.UsageError():
            told = _usage(error), error.exit_code
        case click.ClickException():
            told = error.format_message(), error.exit_code
        case BrokenPipeError():
            told = "", 1  # Whoever read it has gone.
        case OSError():
            told = f"{error.strerror or error}{f': {error.filename}' if error.filename else ''}", 1
        case UnicodeError():
            told = "what was given is not text in UTF-8", 2
        case _:
            # A driver may have put line breaks into what became one sentence.
            told = " ".join(str(error).split()), 1
    return told


def _usage(error: click.UsageError) -> str:
    """What is wrong, on one line, and where it is told what there is."""
    sentence = " ".join(error.format_message().split())
    path = error.ctx.command_path if error.ctx is not None else "asyncchat"
    return f"{sentence}{'' if sentence.endswith(('.', '?', ')')) else '.'} Try `{path} --help`."
