"""`models.toml`: what it means, and the sentence for each way to get it wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from shared import models_file
from shared.errors import SettingsError
from shared.models_file import Route, Upstream
from shared.settings import get_settings

ROOT = Path(__file__).parents[3]
LAB = '[upstreams.lab]\nbase_url = "http://lab:8000/v1"\n'
ONLY_ONE = '[models.one]\nupstream = "lab"\n'
ONE = LAB + ONLY_ONE
TWO = '[models.two]\nupstream = "lab"\n'


@pytest.fixture(autouse=True)
def _folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def written(text: str) -> Path:
    path = Path("models.toml")
    path.write_text(text, encoding="utf-8")
    return path


def test_the_least_there_can_be_takes_the_rest_from_the_settings() -> None:
    file = models_file.read(written(ONE))
    assert file.routes == {"one": (Route(Upstream("lab", "http://lab:8000/v1"), "one"),)}


def test_the_fallbacks_follow_in_their_order_each_with_its_own_and_none_twice() -> None:
    file = models_file.read(
        written(
            LAB
            + '[models.a]\nupstream = "lab"\nfallbacks = ["b", "c"]\n'
            + '[models.b]\nupstream = "lab"\nmodel = "b-there"\nfallbacks = ["d", "c"]\n'
            + '[models.c]\nupstream = "lab"\n[models.d]\nupstream = "lab"\nprompt_tokens = 500\n'
        )
    )
    assert [route.model for route in file.routes["a"]] == ["a", "b-there", "d", "c"]
    assert [route.model for route in file.routes["b"]] == ["b-there", "d", "c"]
    assert [route.prompt_tokens for route in file.routes["a"]] == [None, None, 500, None]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "upstreams: there must be at least one [upstreams.NAME]"),
        ("[models", "at end of document"),
        (ONE + '[models.one]\nupstream = "lab"', "cannot declare ('models', 'one') twice (at line 5"),
        (ONE + "prompt_token = 500", "models.one.prompt_token: there is no such key; did you mean prompt_tokens?"),
        (ONE.replace("[upstreams", "[upstream"), "upstream: there is no such key; did you mean upstreams?"),
        (ONE.replace("base_url", "colour"), "upstreams.lab.colour: there is no such key; there is base_url, key_"),
        (LAB + "[models.one]", "models.one: needs upstream"),
        (LAB + "[models]", "models: there must be at least one [models.NAME]"),
        (ONE.replace("http://lab", "lab"), "upstreams.lab.base_url: must be an address such as https://"),
        (ONE.replace(":8000", ":80000"), "upstreams.lab.base_url: must be an address such as https://"),
        (ONE.replace("lab:8000", "me:hunter2@lab"), "upstreams.lab.base_url: holds a name or password"),
        (ONE.replace('"lab"', '"lap"'), "models.one.upstream: there is no [upstreams.lap] in this file; there is lab"),
        (ONE + 'fallbacks = ["tow"]\n' + TWO, "models.one.fallbacks: there is no [models.tow] in this file; there is"),
        (ONE + 'fallbacks = ["two", "two"]\n' + TWO, "models.one.fallbacks: two is named twice"),
        (ONE + 'fallbacks = ["one"]', "models.one.fallbacks: one → one is a circle; take one of these fallbacks out"),
        (ONE + 'fallbacks = ["two"]\n' + TWO + 'fallbacks = ["one"]', "models.two.fallbacks: one → two → one is a"),
        (ONE + "fallbacks = 3", "models.one.fallbacks: input should be a valid list"),
        (LAB + "max_concurrent = 0\n" + ONLY_ONE, "upstreams.lab.max_concurrent: input should be greater"),
        (LAB + "max_concurrent = true\n" + ONLY_ONE, "upstreams.lab.max_concurrent: input should be a valid integer"),
        (LAB + 'key_variable = "sk-hunter2"\n' + ONLY_ONE, "upstreams.lab.key_variable: must be the name of a var"),
        (LAB.replace("[upstreams.lab]\n", "[upstreams]\nlab=3\n#"), "upstreams.lab: must be a table of its own"),
        ("[[models]]\nname = 'one'", "upstreams: there must be at least one"),
    ],
)  # fmt: skip
def test_what_is_wrong_is_one_sentence_with_file_place_and_cure(text: str, words: str) -> None:
    with pytest.raises(SettingsError) as wrong:
        models_file.read(written(text))
    sentence = str(wrong.value)
    assert sentence.startswith(f"wrong models file {Path('models.toml').resolve()}: ")
    assert words in sentence
    assert "\n" not in sentence
    assert "hunter2" not in sentence


def test_more_upstreams_than_a_reply_can_be_tried_at_are_refused() -> None:
    chain = "".join(f'[models.m{n}]\nupstream = "lab"\nfallbacks = ["m{n + 1}"]\n' for n in range(8))
    with pytest.raises(SettingsError, match=r"models\.m0\.fallbacks: .* 9 models may answer; leave at most 8"):
        models_file.read(written(LAB + chain + '[models.m8]\nupstream = "lab"'))


def test_a_key_comes_from_the_environment_or_the_env_file(monkeypatch: pytest.MonkeyPatch) -> None:
    file = models_file.read(written(LAB + 'key_variable = "LAB_KEY"\n' + ONLY_ONE))
    Path(".env").write_text("LAB_KEY=from-file\n")
    assert file.keys() == {"lab": "from-file"}
    monkeypatch.setenv("LAB_KEY", "from-environment")
    assert file.keys() == {"lab": "from-environment"}
    monkeypatch.setenv("LAB_KEY", "")
    with pytest.raises(SettingsError, match=r"upstreams\.lab\.key_variable: LAB_KEY is not set: put the key of"):
        file.keys()


def test_the_file_names_the_models_and_its_first_is_the_default(monkeypatch: pytest.MonkeyPatch) -> None:
    written(ONE + TWO)
    monkeypatch.setenv("ASYNCCHAT_DEMO_BASE_URL", "http://demo-model:8100/v1")
    assert get_settings().offered_models == ("one", "two")
    get_settings.cache_clear()
    monkeypatch.setenv("ASYNCCHAT_MODEL", "two")
    assert get_settings().offered_models == ("two", "one")


def test_a_default_that_the_file_does_not_have_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    written(ONE + TWO)
    monkeypatch.setenv("ASYNCCHAT_MODEL", "gpt-x")
    with pytest.raises(SettingsError, match=r"ASYNCCHAT_MODEL: .*models\.toml has no model 'gpt-x'; there is one, two"):
        get_settings()


def test_names_in_two_places_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    written(ONE)
    monkeypatch.setenv("ASYNCCHAT_MODELS", "gpt-x")
    with pytest.raises(SettingsError, match=r"both ASYNCCHAT_MODELS and .*/models.toml name the models"):
        get_settings()


def test_a_file_that_is_named_must_be_there_and_a_dash_names_none(monkeypatch: pytest.MonkeyPatch) -> None:
    written(ONE)
    monkeypatch.setenv("ASYNCCHAT_MODELS_FILE", "elsewhere.toml")
    with pytest.raises(SettingsError, match=r"cannot read the models file .*/elsewhere.toml: .*No such file"):
        get_settings()
    monkeypatch.setenv("ASYNCCHAT_MODELS_FILE", models_file.NO_FILE)
    assert get_settings().models_path is None


def test_the_example_is_a_file_that_can_be_used() -> None:
    file = models_file.read(ROOT / "models.example.toml")
    assert list(file.routes) == ["chat", "llama"]
    assert [route.upstream.name for route in file.routes["chat"]] == ["openai", "lab"]
