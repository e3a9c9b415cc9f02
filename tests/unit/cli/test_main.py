"""Whatever is wrong is one sentence on stderr, before anything is started."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from cli.data_directory import held_data_directory
from cli.main import main
from cli.ports import free_port
from shared.database.schema import migrate
from shared.settings import get_settings

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Run:
    """Runs the command line in an empty folder with nothing configured: exit code, stdout and stderr."""
    for name in list(os.environ):
        if name.startswith("ASYNCCHAT_") or name in {"DATABASE_URL", "REDIS_URL", "OPENAI_API_KEY", "OPENAI_BASE_URL"}:
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ASYNCCHAT_PORT", str(free_port()))
    get_settings.cache_clear()

    def run(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["asyncchat", *arguments])
        with pytest.raises(SystemExit) as caught:
            main()
        get_settings.cache_clear()
        output = capsys.readouterr()
        return int(str(caught.value.code)), output.out, output.err

    return run


def _assert_one_sentence(result: tuple[int, str, str], *words: str, code: int = 1) -> None:
    exit_code, stdout, stderr = result
    assert exit_code == code
    assert stdout == ""
    assert stderr.startswith("asyncchat: ")
    assert stderr.count("\n") == 1
    for word in words:
        assert word in stderr


@pytest.mark.parametrize("command", ["up", "api"])
def test_a_port_in_use(run: Run, command: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        _assert_one_sentence(run(command, "--port", str(port)), f"port {port} on 127.0.0.1 is in use", "--port")


def test_a_data_directory_in_use_by_another_up(run: Run, tmp_path: Path) -> None:
    with held_data_directory(tmp_path / "data"):
        _assert_one_sentence(run("up"), str(tmp_path / "data"), f"process {os.getpid()}", "--data-dir")


def test_up_twice_in_one_folder_names_the_first_and_not_its_port(run: Run, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, held_data_directory(tmp_path / "data"):
        port = str(server.getsockname()[1])
        _assert_one_sentence(run("up", "--port", port), f"process {os.getpid()}", "--data-dir")


def test_a_data_directory_can_be_held_again_once_let_go(tmp_path: Path) -> None:
    for _ in range(2):
        with held_data_directory(tmp_path / "data") as directory:
            assert (directory / "logs").is_dir()


def test_a_data_directory_that_cannot_be_made(run: Run, tmp_path: Path) -> None:
    (tmp_path / "data").touch()
    _assert_one_sentence(
        run("up"), "cannot write to the data directory", "data is a file; choose another with --data-dir"
    )


def test_a_data_directory_no_database_url_can_name(run: Run) -> None:
    _assert_one_sentence(run("up", "--data-dir", "what?"), "has a ? in its path")


@pytest.mark.parametrize("command", ["up", "api", "worker", "migrate"])
def test_a_wrong_setting(run: Run, command: str, *, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REDIS_URL", "amqp://nowhere")
    _assert_one_sentence(run(command), "REDIS_URL", "redis://")


def test_a_wrong_setting_in_the_env_file(run: Run, tmp_path: Path) -> None:
    (tmp_path / ".env").write_text("ASYNCCHAT_SLOTS=many\n")
    _assert_one_sentence(run("up"), "ASYNCCHAT_SLOTS")


def test_a_wrong_number_of_workers(run: Run) -> None:
    _assert_one_sentence(run("up", "--workers", "0"), "--workers", code=2)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("nonsense",), "No such command 'nonsense'. Try `asyncchat --help`."),
        (("keys", "create", "--nope"), "'--scope'?) Try `asyncchat keys create --help`."),
        (("health",), "Missing argument '{api|worker}'. Choose from: api, worker. Try `asyncchat health --help`."),
        (("ask", "Hi", "-c", "x", "--n", "9"), "is not in the range 1<=x<=8. Try `asyncchat ask --help`."),
    ],
)
def test_wrong_usage_is_told_with_where_to_look(run: Run, arguments: tuple[str, ...], sentence: str) -> None:
    _assert_one_sentence(run(*arguments), sentence, code=2)


def test_no_keys_is_told_beside_an_empty_list(run: Run, tmp_path: Path, *, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/chat.db")
    run("migrate")
    assert run("keys", "list") == (0, "", "There is no key yet: `asyncchat keys create` makes one.\n")


def test_a_key_in_a_database_that_was_not_there_says_where_it_is(
    run: Run, tmp_path: Path, *, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As where it is made in another folder than the server's."""
    path = tmp_path / "new.db"
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{path}")
    code, secret, told = run("keys", "create")
    assert (code, secret[:3], told) == (
        *(0, "ak_"),
        f"It is in a new database, {path}. If the server uses another, set DATABASE_URL.\n",
    )
    assert run("keys", "create")[2] == ""


@pytest.mark.parametrize("key", ["ak_ä", "ak_\n1"])
def test_a_key_that_cannot_be_sent(run: Run, key: str) -> None:
    _assert_one_sentence(run("chat", "--key", key), "the key has characters that no key has")


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1"])
def test_a_server_that_would_ask_itself(run: Run, monkeypatch: pytest.MonkeyPatch, host: str) -> None:
    """As when OpenAI's SDKs were pointed here in the same shell."""
    port = free_port()
    monkeypatch.setenv("OPENAI_BASE_URL", f"http://{host}:{port}/v1")
    _assert_one_sentence(run("up", "--port", str(port)), "OPENAI_BASE_URL", "itself")


def test_a_models_file_that_leads_to_the_server_itself(run: Run, tmp_path: Path) -> None:
    port = free_port()
    (tmp_path / "models.toml").write_text(
        f'[upstreams.me]\nbase_url = "http://localhost:{port}/v1"\n[models.one]\nupstream = "me"\n'
    )
    _assert_one_sentence(run("up", "--port", str(port)), "upstreams.me.base_url", "itself")


def test_a_model_nobody_serves(run: Run) -> None:
    _assert_one_sentence(run("up", "--model", "gpt-x"), "gpt-x", "OPENAI_API_KEY")


def test_a_worker_without_a_model_service_is_told_of_up(run: Run) -> None:
    _assert_one_sentence(run("worker"), "OPENAI_API_KEY", "OPENAI_BASE_URL", "`asyncchat up`")


def test_a_database_that_cannot_be_opened(run: Run, tmp_path: Path, *, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").touch()
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/file/chat.db")
    _assert_one_sentence(run("migrate"), "cannot open the database", "file/chat.db")


def test_migrate_says_what_it_did_in_one_line(run: Run, tmp_path: Path, *, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DATABASE_URL", f"sqlite:///{tmp_path}/chat.db")
    for _ in range(2):
        code, stdout, stderr = run("migrate")
        assert (code, stderr) == (0, "")
        assert stdout == f"The database sqlite:///{tmp_path}/chat.db is up to date.\n"
    assert (tmp_path / "chat.db").exists()


def test_verify_refuses_a_database_with_a_table_before_anything_is_started(run: Run, tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path}/chat.db"
    migrate(url)
    _assert_one_sentence(run("verify", "--database-url", url), url, "is not empty")


def test_verify_of_a_running_installation_has_no_database(run: Run) -> None:
    arguments = ("verify", "--url", "http://127.0.0.1:1", "--database-url", "sqlite:///chat.db")
    _assert_one_sentence(run(*arguments), "--url", "--database-url", code=2)


def test_verify_of_an_installation_that_is_not_there(run: Run) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    _assert_one_sentence(run("verify", "--url", url), f"no gateway of this project answers at {url}")


def test_a_command_that_does_not_exist(run: Run) -> None:
    _assert_one_sentence(run("frobnicate"), "frobnicate", code=2)


def test_no_command_shows_the_help(run: Run) -> None:
    code, stdout, stderr = run()
    assert (code, stderr) == (0, "")
    assert "migrate" in stdout


def test_the_version_is_told(run: Run) -> None:
    code, stdout, _ = run("--version")
    assert code == 0
    assert stdout.startswith("asyncchat ")
