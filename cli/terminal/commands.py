"""`asyncchat chat` and `asyncchat ask`: options only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import click

DEFAULT_URL = "http://127.0.0.1:8000"


def _of_server(command: Callable[..., Any]) -> Callable[..., Any]:
    """The options that say where the server is."""
    with_key = click.option("--key", envvar="ASYNCCHAT_API_KEY", help="An API key.  [env: ASYNCCHAT_API_KEY]")(command)
    return click.option(
        "--url",
        envvar="ASYNCCHAT_URL",
        default=DEFAULT_URL,
        show_default=False,
        help=f"Where the server is.  [default: ASYNCCHAT_URL or {DEFAULT_URL}]",
    )(with_key)


@click.command()
@_of_server
@click.option("-c", "--conversation", metavar="ID", help="Go on with this conversation.")
@click.option("--last", is_flag=True, help="Go on with the one that was changed last.")
@click.option("--model", help="The model that answers in a new conversation.")
def chat(url: str, key: str | None, *, conversation: str | None, last: bool, model: str | None) -> int:
    """Chat in the terminal with a running server.

    /help tells what else can be typed. Ctrl-C stops the answer, Ctrl-D leaves.
    """
    from cli.terminal.chat import ChatOptions, run_chat

    if last and conversation is not None:
        raise click.UsageError("--last and --conversation are two ways to say which conversation")
    return run_chat(ChatOptions(url=url, key=key, conversation=conversation, last=last, model=model))


@click.command()
@click.argument("message", nargs=-1, metavar="[MESSAGE]")
@_of_server
@click.option("-c", "--conversation", metavar="ID", help="Ask in this conversation.  [default: a new one]")
@click.option("--model", help="The model that answers.")
@click.option("-n", "--n", type=click.IntRange(1, 8), default=1, help="How many replies, side by side.")
@click.option(
    "--wait", type=click.FloatRange(0), metavar="SECONDS", help="No longer than this.  [default: until it has ended]"
)
@click.option("--json", "as_json", is_flag=True, help="Print the turn as JSON.")
def ask(
    message: tuple[str, ...],
    url: str,
    *,
    key: str | None,
    conversation: str | None,
    model: str | None,
    n: int,
    wait: float | None,
    as_json: bool,
) -> int:
    """Ask one question of a running server, and print the answer.

    What comes on standard input is asked, or joined to MESSAGE: `asyncchat ask "What is wrong here?" < error.log`.

    Exit codes: 0 all replies are completed; 1 one is not, or the server refused or is not there; 2 wrong usage; 3 not
    all have ended within --wait, and the ids of those are printed; 130 stopped with Ctrl-C.
    """
    from cli.terminal.ask import AskOptions, run_ask

    if len(message) > 1:
        raise click.UsageError(f'put the message in quotes: "{" ".join(message)}"')
    return run_ask(
        AskOptions(
            next(iter(message), None),
            url=url,
            key=key,
            conversation=conversation,
            model=model,
            n=n,
            wait_seconds=wait,
            as_json=as_json,
        )
    )
