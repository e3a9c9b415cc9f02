"""The embedded Valkey, with the real server."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from kombu.connection import Connection

from cli import embedded_valkey
from cli.embedded_valkey import EmbeddedValkey, ValkeyError
from shared.settings import Settings
from tests.fixtures.waiting import wait_for

StartServer = Callable[[EmbeddedValkey], subprocess.Popen[bytes]]


@pytest.fixture
def directory() -> Iterator[Path]:
    """A folder whose path is short: pytest's own may be too long for a socket."""
    with tempfile.TemporaryDirectory(prefix="valkey-") as folder:
        yield Path(folder)


@pytest.fixture
def start_server() -> Iterator[StartServer]:
    servers: list[subprocess.Popen[bytes]] = []

    def start(valkey: EmbeddedValkey) -> subprocess.Popen[bytes]:
        server = subprocess.Popen(valkey.command(), stdout=subprocess.DEVNULL)
        servers.append(server)
        assert wait_for(valkey.answers)
        return server

    yield start
    for server in servers:
        server.kill()
        server.wait()


def _client(valkey: EmbeddedValkey) -> redis.Redis:
    url = Settings(REDIS_URL=valkey.redis_url).client_redis_url
    return redis.Redis.from_url(url, decode_responses=True)


def test_it_listens_on_a_socket_that_only_its_user_can_open(directory: Path, start_server: StartServer) -> None:
    valkey = EmbeddedValkey.in_directory(directory / "data")
    assert not valkey.answers()
    start_server(valkey)
    assert valkey.socket_path == directory / "data" / "valkey.sock"
    assert valkey.socket_path.stat().st_mode & 0o777 == 0o700
    with _client(valkey) as client:
        assert client.config_get("port") == {"port": "0"}


def test_its_data_survives_a_restart_also_by_kill_9(directory: Path, start_server: StartServer) -> None:
    valkey = EmbeddedValkey.in_directory(directory)
    server = start_server(valkey)
    with _client(valkey) as client:
        client.rpush("queue", "a", "b")
        # Whatever is written has reached the kernel with the next command; only a power cut could lose it.
        client.ping()
    server.kill()
    server.wait()
    start_server(valkey)
    with _client(valkey) as client:
        assert client.lrange("queue", 0, -1) == ["a", "b"]
    assert not list(directory.glob("*.rdb"))


def test_it_can_be_emptied_while_it_runs_and_while_it_does_not(directory: Path, start_server: StartServer) -> None:
    valkey = EmbeddedValkey.in_directory(directory)
    assert not valkey.flush()
    server = start_server(valkey)
    with _client(valkey) as client:
        client.set("flushed", "yes")
        assert valkey.flush()
        assert client.get("flushed") is None
        client.set("forgotten", "yes")
        client.ping()
    server.kill()
    server.wait()
    valkey.forget()
    start_server(valkey)
    with _client(valkey) as client:
        assert client.get("forgotten") is None


def test_a_leftover_server_is_stopped_with_its_data_saved(directory: Path, start_server: StartServer) -> None:
    valkey = EmbeddedValkey.in_directory(directory)
    leftover = start_server(valkey)
    with _client(valkey) as client:
        client.set("kept", "yes")
    assert valkey.shut_down_leftover()
    assert leftover.wait(10) == 0
    start_server(valkey)
    with _client(valkey) as client:
        assert client.get("kept") == "yes"


@pytest.mark.parametrize("damaged", ["*.incr.aof", "*.base.rdb", "*.manifest"])
def test_a_damaged_file_is_set_aside_when_the_server_complains_of_it(
    directory: Path, start_server: StartServer, *, damaged: str
) -> None:
    valkey = EmbeddedValkey.in_directory(directory)
    server = start_server(valkey)
    with _client(valkey) as client:
        client.set("lost", "yes")
    server.terminate()
    server.wait()
    (file,) = (directory / "appendonlydir").glob(damaged)
    file.write_bytes(bytes(400))

    failed = subprocess.run(valkey.command(), check=False, capture_output=True, text=True, timeout=30)
    assert failed.returncode != 0
    assert valkey.repair(["Out Of Memory"]) is None, "only what is known to help is done"
    sentence = valkey.repair(failed.stdout.splitlines())
    assert sentence is not None
    assert str(directory / "appendonlydir.damaged") in sentence
    start_server(valkey)


def test_without_a_leftover_there_is_nothing_to_stop(directory: Path, start_server: StartServer) -> None:
    valkey = EmbeddedValkey.in_directory(directory)
    assert not valkey.shut_down_leftover()
    server = start_server(valkey)
    server.kill()
    server.wait()
    assert valkey.socket_path.exists(), "a killed server leaves its socket behind"
    assert not valkey.shut_down_leftover()


@pytest.mark.parametrize("name", ["a-very-long-name" * 8, "with space, ünïcode & 100%"])
def test_a_path_no_socket_or_url_can_have_gets_a_short_one_elsewhere(
    directory: Path, start_server: StartServer, *, name: str
) -> None:
    valkey = EmbeddedValkey.in_directory(directory / name)
    assert len(os.fsencode(valkey.socket_path)) <= 100
    assert valkey.socket_path.parent.stat().st_mode & 0o777 == 0o700
    assert EmbeddedValkey.in_directory(directory / name) == valkey, "the next run must find the leftover of this one"
    start_server(valkey)
    with _client(valkey) as client:
        assert client.set("here", "yes")
    assert (directory / name / "appendonlydir").is_dir()
    valkey.shut_down_leftover()
    valkey.socket_path.parent.rmdir()


def test_celery_reaches_it_by_its_url(directory: Path, start_server: StartServer) -> None:
    valkey = EmbeddedValkey.in_directory(directory)
    start_server(valkey)
    connect: Any = Connection  # kombu carries no types
    with connect(valkey.redis_url) as connection, connection.SimpleQueue("bell") as queue:
        queue.put({"reply": 1})
        assert queue.get(timeout=5).payload == {"reply": 1}


def test_somebody_elses_folder_in_the_temporary_directory_is_not_used(
    directory: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(directory))
    long_path = directory / ("long" * 30)
    folder = EmbeddedValkey.in_directory(long_path).socket_path.parent
    folder.chmod(0o755)
    with pytest.raises(ValkeyError, match="choose a shorter directory with --data-dir"):
        EmbeddedValkey.in_directory(long_path)


def test_a_directory_that_cannot_be_made_is_one_sentence(directory: Path) -> None:
    (directory / "file").touch()
    with pytest.raises(ValkeyError, match=r"cannot write to .*file/valkey: Not a directory"):
        EmbeddedValkey.in_directory(directory / "file" / "valkey")


def test_a_platform_without_a_binary_is_told_to_set_redis_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(ValkeyError, match="start a Valkey or Redis server and set REDIS_URL"):
        embedded_valkey.find_binary()
