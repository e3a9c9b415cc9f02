"""Who answers under `asyncchat up`."""

from __future__ import annotations

import pytest

from cli.model_choice import ModelChoice, choose_model
from shared.errors import SettingsError
from shared.settings import Settings

PORT = 4711
DEMO_URL = f"http://127.0.0.1:{PORT}/v1"


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ASYNCCHAT_MODEL", "ASYNCCHAT_MODELS", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


def _choose(wanted: str | None) -> ModelChoice:
    return choose_model(Settings(_env_file=None), wanted, lambda: PORT)


def test_with_nothing_configured_the_demo_model_answers_and_it_is_said() -> None:
    choice = _choose(None)
    assert choice.demo_port == PORT
    assert choice.environment["OPENAI_BASE_URL"] == DEMO_URL
    assert choice.environment["OPENAI_API_KEY"] == "demo"
    assert choice.environment["ASYNCCHAT_MODEL"] == "demo"
    assert "ASYNCCHAT_MODELS" not in choice.environment
    assert "set OPENAI_API_KEY" in choice.notice


@pytest.mark.parametrize("variable", ["OPENAI_API_KEY", "OPENAI_BASE_URL"])
def test_a_configured_service_answers(variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(variable, "http://127.0.0.1:1/v1")
    assert _choose(None) == ModelChoice()
    assert _choose("gpt-x") == ModelChoice({"ASYNCCHAT_MODEL": "gpt-x"})


def test_the_demo_model_can_be_asked_for_although_a_service_is_configured(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OPENAI_API_KEY", "sk-real")
    monkeypatch.setenv("ASYNCCHAT_MODELS", "gpt-x,gpt-y")
    choice = _choose("demo-slow")
    assert choice.environment["OPENAI_API_KEY"] == "demo", "a real key must not go to another server"
    assert choice.environment["ASYNCCHAT_MODEL"] == "demo-slow"
    monkeypatch.setenv("ASYNCCHAT_MODELS", choice.environment["ASYNCCHAT_MODELS"])
    assert Settings(_env_file=None).models == (), "the real models' names are not on offer"


def test_a_demo_name_in_the_settings_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCHAT_MODEL", "demo-fast")
    assert _choose(None).environment["ASYNCCHAT_MODEL"] == "demo-fast"


def test_a_real_model_without_a_service_is_one_sentence() -> None:
    with pytest.raises(SettingsError, match="no model service is configured to serve 'gpt-x': set OPENAI_API_KEY"):
        _choose("gpt-x")


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="--model needs a name"):
        _choose(" ")


def test_the_demo_model_is_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet")
    environment = _choose(None).environment
    assert environment["NO_PROXY"] == "intranet,127.0.0.1"
    assert environment["no_proxy"] == "127.0.0.1"
