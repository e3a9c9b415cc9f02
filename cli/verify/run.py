"""`asyncchat verify`: the order in which a run is made, broken, healed and judged."""

from __future__ import annotations

import asyncio
import json
import random
import secrets
import shutil
import signal
import tempfile
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from cli.migration import bring_up_to_date
from cli.verify import empty_database, reading
from cli.verify.choices import Style
from cli.verify.client import Client
from cli.verify.faulted import FaultKind, extra_calls, recoveries, unexplained_failures
from cli.verify.faults import Injector
from cli.verify.history import History
from cli.verify.installation import Installation
from cli.verify.judge import Finding, Kind, judge
from cli.verify.load import Run, load, settle
from cli.verify.report import Verdict, keep_findings, print_verdict, print_whereabouts
from cli.verify.stored import Stored
from shared.clock import now_ms
from shared.errors import AsyncChatError
from shared.settings import DEMO_MODEL

INTERRUPTED = 130


@dataclass(frozen=True, slots=True)
class VerifyOptions:
    """What was asked for on the command line."""

    seconds: float
    seed: int | None
    database_url: str | None
    urls: tuple[str, ...]
    key: str | None = None


def run_verify(options: VerifyOptions) -> int:
    """Runs it; the exit code, 0 if nothing was lost, duplicated, out of order or stuck (130 if it was cut short).

    Raises:
        AsyncChatError: it cannot be run.
    """
    run = Run(options.seconds, secrets.randbelow(1_000_000) if options.seed is None else options.seed)
    verdict = _load_and_break(run, options.database_url) if not options.urls else asyncio.run(_load_only(run, options))
    _say_how_to_repeat(run, options)
    return verdict.exit_code or (INTERRUPTED if run.was_interrupted else 0)


def _load_and_break(run: Run, database_url: str | None) -> Verdict:
    """An installation of its own, in a folder that is kept when there is something to look at."""
    if database_url is not None:
        empty_database.require(database_url)
    directory = Path(tempfile.mkdtemp(prefix="asyncchat-verify-")).resolve()
    url = empty_database.absolute(database_url or f"sqlite:///{directory / 'asyncchat.db'}")
    run.narrator.say(f"Two gateways, two workers, a Valkey and the demo model, on {empty_database.shown(url)}")
    run.narrator.say(f"{run.seconds:g} s of load, and faults at random from seed {run.seed}")
    try:
        bring_up_to_date(url)
        verdict = asyncio.run(_under_faults(run, Installation(directory, url, say=run.narrator.say)))
    except BaseException:
        print_whereabouts(directory)
        raise
    print_verdict(verdict)
    if verdict.is_clean:
        shutil.rmtree(directory, ignore_errors=True)
    else:
        keep_findings(verdict, directory)
        print_whereabouts(directory)
    return verdict


async def _under_faults(run: Run, installation: Installation) -> Verdict:
    try:
        with _interruptible(run):
            await installation.start()
            return await _judged(run, installation)
    finally:
        await installation.stop()


async def _judged(run: Run, installation: Installation) -> Verdict:
    async with _session() as session:
        client = Client(session, installation.urls, run.history)
        rng = random.Random(f"{run.seed}/faults")
        injector = Injector(installation, run.history, rng, run.narrator.say, run.stop)
        await load(run, client, Style(), injector)
        await settle(run, client)
        shown = await reading.read_all(client, run.history)
    stored, damage = installation.observer.stored(), installation.observer.damage()
    requests = _requests(installation.journal)
    findings = [
        *_findings(run.history, shown, stored),
        *extra_calls(run.history, stored, faults=injector.faults, requests=requests),
        *unexplained_failures(stored, injector.faults),
        *([Finding(Kind.LOST, "the database's file", damage)] if damage else []),
    ]
    kills = sum(fault.kind is FaultKind.KILL_WORKER for fault in injector.faults)
    return Verdict(run.history, stored, findings, recoveries(stored, injector.faults), kills)


async def _load_only(run: Run, options: VerifyOptions) -> Verdict:
    urls = [url.rstrip("/") for url in options.urls]
    async with _session(options.key) as session:
        client = Client(session, urls, run.history)
        style = await _style_of(session, urls[0])
        run.narrator.say(f"{run.seconds:g} s of load on {' and '.join(urls)}, from seed {run.seed}; no faults")
        if not style.has_demo_model:
            run.narrator.say("Its model is not the demo's: every reply is paid for by whoever runs it")
        with _interruptible(run):
            await load(run, client, style, None)
            await settle(run, client)
            shown = await reading.read_all(client, run.history)
        verdict = Verdict(run.history, shown, _findings(run.history, shown), None, has_attempts=False)
        print_verdict(verdict)
        if verdict.is_clean:
            # Nobody wants to find these among their own.
            for conversation_id in run.history.conversation_ids:
                await client.delete(f"/conversations/{conversation_id}/")
    return verdict


def _findings(history: History, *views: Stored) -> list[Finding]:
    return [
        *(finding for stored in views for finding in judge(history, stored, now=now_ms())),
        *(Finding(Kind.UNEXPECTED, f"client {number}", sentence) for number, sentence in enumerate(history.surprises)),
    ]


def _requests(journal: Path) -> Counter[str]:
    """How often the model was asked each thing."""
    return Counter(str(json.loads(line)["asked"]) for line in journal.read_text().splitlines())


def _session(key: str | None = None) -> aiohttp.ClientSession:
    headers = {} if key is None else {"Authorization": f"Bearer {key}"}
    return aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=0), headers=headers)


async def _style_of(session: aiohttp.ClientSession, url: str) -> Style:
    """The demo's models are asked for by name where the default is one of them and no list shuts the others out.

    Raises:
        AsyncChatError: the server asks for a key, or is none of this project.
    """
    try:
        async with session.get(f"{url}/models/", timeout=aiohttp.ClientTimeout(total=10)) as answer:
            if answer.status in (401, 403):
                raise AsyncChatError(
                    f"{url} asks for a key that may read and write: give it one with --key or ASYNCCHAT_API_KEY"
                )
            offered = await answer.json()
            names = [str(model["id"]) for model in offered["data"] if model["default"]]
            return Style(has_demo_model=bool(offered["any_name"]) and names[0].startswith(DEMO_MODEL))
    except (aiohttp.ClientError, TimeoutError, ValueError, LookupError, TypeError):
        raise AsyncChatError(f"no gateway of this project answers at {url}") from None


@contextmanager
def _interruptible(run: Run) -> Iterator[None]:
    loop = asyncio.get_running_loop()
    numbers = (signal.SIGINT, signal.SIGTERM)
    for number in numbers:
        loop.add_signal_handler(number, run.interrupt)
    try:
        yield
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


def _say_how_to_repeat(run: Run, options: VerifyOptions) -> None:
    where = "".join(f" --url {url}" for url in options.urls)
    if options.database_url is not None:
        where = f" --database-url {empty_database.shown(options.database_url)}"
    print(f"\nAgain: asyncchat verify --seconds {options.seconds:g} --seed {run.seed}{where}")
