"""What a plain uvicorn says when it cannot serve: one sentence and no traceback."""

from __future__ import annotations

import os
import subprocess

import pytest

from tests.integration.api.serving import command


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({}, "the database has no tables yet: run `asyncchat migrate` first"),
        ({"REDIS_URL": "here"}, "wrong setting: REDIS_URL: must start with redis://, rediss://, redis+socket://"),
        ({"ASYNCCHAT_MODELS_FILE": "/nowhere/models.toml"}, "cannot read the models file /nowhere/models.toml: "),
        ({"ASYNCCHAT_SLOTS": "many"}, "wrong setting: ASYNCCHAT_SLOTS: input should be a valid integer"),
    ],
)
def test_a_wrong_setting_is_one_sentence(empty_database_url: str, settings: dict[str, str], sentence: str) -> None:
    environment = {**os.environ, "DATABASE_URL": empty_database_url, **settings}
    ended = subprocess.run(command(0), env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == 1
    (line,) = ended.stderr.splitlines()
    assert line.startswith(f"asyncchat: {sentence}")
