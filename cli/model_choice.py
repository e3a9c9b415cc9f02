"""Who answers under `asyncchat up`: the configured model service, or one of the two models that need none."""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from cli import local_model
from cli.local_model import LOCAL_MODEL
from shared import models_file
from shared.errors import SettingsError
from shared.settings import DEMO_MODEL, Settings

HOW_TO_CONFIGURE = "set OPENAI_API_KEY (or OPENAI_BASE_URL for another service) in the environment or in .env"


@dataclass(frozen=True)
class ModelChoice:
    """What the children's environment gets, the port of the model that is to be started, and what to tell about it."""

    environment: dict[str, str] = field(default_factory=dict)
    demo_port: int | None = None
    local_port: int | None = None
    notice: str = ""


def choose_model(settings: Settings, wanted: str | None, free_port: Callable[[], int]) -> ModelChoice:
    """Decide who answers. `wanted` is what the command line asked for.

    Raises:
        SettingsError: a model was asked for by name and no service is configured to serve it, or the local model
            is not installed.
    """
    if wanted is not None and not wanted.strip():
        raise SettingsError("--model needs a name, for example --model demo")
    path = settings.models_path
    configured = any(each is not None for each in (path, settings.openai_api_key, settings.openai_base_url))
    if wanted is not None and wanted.startswith(DEMO_MODEL):
        notice = "The demo model answers, as asked for with --model."
        return _demo(settings, wanted, free_port(), notice=notice)
    # A configured service may itself have a model of this name, so there only the command line asks for ours.
    if (wanted or ("" if configured else settings.model)) == LOCAL_MODEL:
        return _local(settings, free_port())
    if path is not None:
        _check_file(path, wanted)
    if configured:
        return ModelChoice({"ASYNCCHAT_MODEL": wanted} if wanted is not None else {})
    if wanted is not None:
        raise SettingsError(f"no model service is configured to serve {wanted!r}: {HOW_TO_CONFIGURE}")
    name = settings.model if settings.model.startswith(DEMO_MODEL) else DEMO_MODEL
    notice = f"The demo model answers. For a real one {HOW_TO_CONFIGURE}, and start again."
    return _demo(settings, name, free_port(), notice=notice)


def _check_file(path: Path, wanted: str | None) -> None:
    """Says now what the children would refuse to start with."""
    file = models_file.read(path)
    if wanted is not None and wanted not in file.routes:
        raise SettingsError(f"--model: {path.resolve()} has no model {wanted!r}; there is {', '.join(file.routes)}")
    _ = file.keys()


def _demo(settings: Settings, name: str, port: int, *, notice: str) -> ModelChoice:
    return ModelChoice(_environment(settings, name, port, key="demo"), demo_port=port, notice=notice)


def _local(settings: Settings, port: int) -> ModelChoice:
    local_model.find_weights()
    environment = {
        **_environment(settings, LOCAL_MODEL, port, key=secrets.token_urlsafe(16)),
        "ASYNCCHAT_SLOTS": str(local_model.SLOTS),
        "ASYNCCHAT_PROMPT_TOKENS": str(min(settings.prompt_tokens, local_model.PROMPT_TOKENS)),
        "ASYNCCHAT_FIRST_BYTE_SECONDS": str(max(settings.first_byte_seconds, local_model.FIRST_BYTE_SECONDS)),
    }
    notice = "A small model on this machine answers, one question at a time; what it says is often wrong."
    return ModelChoice(environment, local_port=port, notice=notice)


def _environment(settings: Settings, name: str, port: int, *, key: str) -> dict[str, str]:
    """What sends the children to a model on this machine."""
    environment = {"OPENAI_BASE_URL": f"http://127.0.0.1:{port}/v1", "OPENAI_API_KEY": key, "ASYNCCHAT_MODEL": name}
    if settings.models_path is not None:
        environment["ASYNCCHAT_MODELS_FILE"] = models_file.NO_FILE
    if settings.models:
        # The real models' names are not on offer now. Unset would let .env decide; a lone comma is a list of none.
        environment["ASYNCCHAT_MODELS"] = ","
    for variable in ("NO_PROXY", "no_proxy"):
        # A proxy for the outside world cannot reach this machine's own port.
        environment[variable] = ",".join(part for part in (os.environ.get(variable, ""), "127.0.0.1") if part)
    return environment
