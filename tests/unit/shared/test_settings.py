"""Settings: where they come from, and what is said of a wrong one."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from shared.errors import SettingsError
from shared.settings import DEFAULT_OPENAI_MODEL, Settings, get_settings, misspelt_variables


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A folder without a `.env` of the person who runs the tests."""
    monkeypatch.chdir(tmp_path)


def test_everything_has_a_default() -> None:
    settings = get_settings()
    assert settings.database_url == "sqlite:///data/asyncchat.db"
    assert settings.redis_url == "redis://127.0.0.1:6379/0"
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.openai_api_key is None
    assert settings.offered_models == (DEFAULT_OPENAI_MODEL,)


def test_settings_are_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    first = get_settings()
    monkeypatch.setenv("ASYNCCHAT_PORT", "9000")
    assert get_settings() is first


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCHAT_SLOTS", "7")
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert (get_settings().slots, get_settings().openai_base_url) == (7, "http://127.0.0.1:1/v1")


def test_a_dotenv_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch) -> None:
    Path(".env").write_text("ASYNCCHAT_PORT=1\nASYNCCHAT_SLOTS=2\nSOMEBODY_ELSES=3\n")
    monkeypatch.setenv("ASYNCCHAT_PORT", "9000")
    assert (get_settings().port, get_settings().slots) == (9000, 2)


def test_an_empty_variable_counts_as_none(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "")
    monkeypatch.setenv("ASYNCCHAT_PORT", "")
    assert (get_settings().openai_api_key, get_settings().port) == (None, 8000)


def test_models_are_separated_by_commas_and_the_default_comes_first(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCHAT_MODELS", " a, b ,,c")
    monkeypatch.setenv("ASYNCCHAT_MODEL", "b")
    assert get_settings().offered_models == ("b", "a", "c")


def test_the_demo_model_answers_while_no_service_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCHAT_DEMO_BASE_URL", "http://demo-model:8100/v1")
    monkeypatch.setenv("ASYNCCHAT_MODELS", "gpt-x,gpt-y")
    settings = get_settings()
    assert settings.openai_base_url == "http://demo-model:8100/v1"
    assert settings.offered_models == ("demo",)


@pytest.mark.parametrize(("wanted", "name"), [("demo-slow", "demo-slow"), ("gpt-x", "demo")])
def test_the_demo_model_knows_only_its_own_names(wanted: str, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCHAT_DEMO_BASE_URL", "http://demo-model:8100/v1")
    monkeypatch.setenv("ASYNCCHAT_MODEL", wanted)
    assert get_settings().model == name


@pytest.mark.parametrize(
    ("variable", "value", "base_url"),
    [("OPENAI_API_KEY", "sk-x", None), ("OPENAI_BASE_URL", "http://127.0.0.1:1/v1", "http://127.0.0.1:1/v1")],
)
def test_a_configured_service_answers_instead_of_the_demo_model(
    variable: str, value: str, base_url: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ASYNCCHAT_DEMO_BASE_URL", "http://demo-model:8100/v1")
    monkeypatch.setenv("OPENAI_BASE_URL", "")
    monkeypatch.setenv(variable, value)
    assert get_settings().openai_base_url == base_url
    assert get_settings().model == DEFAULT_OPENAI_MODEL


@pytest.mark.parametrize(
    ("variable", "value", "reason"),
    [
        ("DATABASE_URL", "mysql://me@db/chat", "must start with sqlite:/// or postgresql://"),
        ("DATABASE_URL", "sqlite+aiosqlite:///chat.db", "must start with sqlite:/// or postgresql://"),
        ("REDIS_URL", "http://127.0.0.1", "must start with redis://"),
        ("REDIS_URL", "127.0.0.1:6379", "must start with redis://"),
        ("OPENAI_BASE_URL", "api.example.com/v1", "must start with http:// or https://"),
        ("ASYNCCHAT_DEMO_BASE_URL", "demo-model:8100/v1", "must start with http:// or https://"),
        ("ASYNCCHAT_PORT", "eighty", "valid integer"),
        ("ASYNCCHAT_PORT", "65536", "less than or equal to 65535"),
        ("ASYNCCHAT_LOG_LEVEL", "loud", "'debug', 'info', 'warning' or 'error'"),
        ("ASYNCCHAT_LOG_FORMAT", "xml", "'text' or 'json'"),
        ("ASYNCCHAT_MODEL", "m" * 201, "at most 200 characters"),
        ("ASYNCCHAT_MAX_BODY_BYTES", "1", "greater than or equal to 1024"),
        ("ASYNCCHAT_MAX_CONTENT_CHARS", "0", "greater than or equal to 1"),
        ("ASYNCCHAT_MAX_WAIT_SECONDS", "-1", "greater than or equal to 0"),
        ("ASYNCCHAT_DEADLINE_SECONDS", "0", "greater than 0"),
        ("ASYNCCHAT_SLOTS", "0", "greater than or equal to 1"),
        ("ASYNCCHAT_PROMPT_TOKENS", "1", "greater than or equal to 100"),
        ("ASYNCCHAT_FIRST_BYTE_SECONDS", "0", "greater than 0"),
        ("ASYNCCHAT_FIRST_BYTE_SECONDS", "nan", "greater than 0"),
        ("ASYNCCHAT_CHUNK_SECONDS", "soon", "valid number"),
        ("ASYNCCHAT_ATTEMPT_SECONDS", "-3", "greater than 0"),
        ("ASYNCCHAT_DRAIN_SECONDS", "-0.5", "greater than or equal to 0"),
        ("ASYNCCHAT_MAX_TRIES", "0", "greater than or equal to 1"),
        ("ASYNCCHAT_MAX_MODEL_CALLS", "101", "less than or equal to 100"),
        ("ASYNCCHAT_RETRY_BASE_SECONDS", "0", "greater than 0"),
    ],
)
def test_a_wrong_value_gives_one_sentence_that_names_the_variable(
    variable: str, value: str, reason: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(SettingsError) as caught:
        get_settings()
    assert re.fullmatch(rf"wrong setting: {variable}: .*{re.escape(reason)}.*", str(caught.value))


def test_a_dotenv_file_that_is_no_text_gives_a_sentence() -> None:
    Path(".env").write_bytes(b"ASYNCCHAT_PORT=\xff\xfe")
    with pytest.raises(SettingsError, match=r"^cannot read .*/\.env: "):
        get_settings()


SECRET = "hunter2-\N{CARE OF}"


@pytest.mark.parametrize("variable", ["DATABASE_URL", "REDIS_URL", "OPENAI_BASE_URL"])
@pytest.mark.parametrize("scheme", ["nonsense", "redis", "postgresql", "http"])
def test_no_sentence_tells_a_password(variable: str, scheme: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", SECRET)
    monkeypatch.setenv(variable, f"{scheme}://me:{SECRET}@host:port/x")
    monkeypatch.setenv("ASYNCCHAT_PORT", "wrong in any case")
    with pytest.raises(SettingsError) as caught:
        get_settings()
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


def test_the_representation_of_settings_tells_no_secret() -> None:
    settings = Settings.model_validate(
        {
            "OPENAI_API_KEY": "sk-hunter2",
            "DATABASE_URL": "postgresql://me:hunter2@db/chat",
            "REDIS_URL": "redis://:hunter2@redis/0",
            "OPENAI_BASE_URL": "https://me:hunter2@proxy/v1",
        }
    )
    assert "hunter2" not in f"{settings!r} {settings}"


def test_a_misspelt_variable_is_named_with_the_nearest_right_one(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """Those of clients are none of the settings, and not misspelt."""
    monkeypatch.chdir(tmp_path)
    Path(".env").write_text("ASYNCCHAT_SLOT=3\nASYNCCHAT_SLOTS=3\nOTHER=1\n")
    for name in ("ASYNCCHAT_URL", "ASYNCCHAT_API_KEY"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("ASYNCCHAT_PROT", "9000")
    monkeypatch.setenv("ASYNCCHAT_DATABASE_URL", "sqlite:///x.db")
    monkeypatch.setenv("ASYNCCHAT_FAVOURITE_COLOUR", "1")
    monkeypatch.setenv("ASYNCCHAT_HOST", "127.0.0.1")
    assert misspelt_variables() == [
        "ASYNCCHAT_DATABASE_URL is not a setting; did you mean DATABASE_URL?",
        "ASYNCCHAT_FAVOURITE_COLOUR is not a setting",
        "ASYNCCHAT_PROT is not a setting; did you mean ASYNCCHAT_PORT?",
        "ASYNCCHAT_SLOT is not a setting; did you mean ASYNCCHAT_SLOTS?",
    ]


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        ("redis://:pw@host:6380/3", "redis://:pw@host:6380/3"),
        ("rediss://host/0", "rediss://host/0"),
        ("redis+socket:///run/redis.sock", "unix:///run/redis.sock"),
        ("redis+socket:///run/redis.sock?virtual_host=2", "unix:///run/redis.sock?db=2"),
    ],
)
def test_the_redis_url_is_also_there_as_redis_py_spells_it(
    given: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REDIS_URL", given)
    assert get_settings().client_redis_url == expected


@pytest.mark.parametrize("change", ["port", "host"])
def test_settings_do_not_change(change: str) -> None:
    with pytest.raises(ValueError, match="frozen"):
        setattr(get_settings(), change, 1)
