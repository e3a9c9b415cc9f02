"""LiteLLM's proxy, from an environment of its own that `make bench-peers` makes, as its documentation has it started.

Without a database and without a key, as nobody else here asks for one. It has two processes, as the others do, and
fetches nothing: prices and lists are those of its wheel.
"""

from __future__ import annotations

import json

from bench.contenders import Contender, of_openai
from bench.installation import Installation
from bench.results import ROOT
from cli.ports import free_port

PEERS = ROOT / ".venv" / "peers"
COMMAND = PEERS / "bin" / "litellm"
PROCESSES = 2
# It reads a lot before it serves, twice.
READY_SECONDS = 300.0
ENVIRONMENT = {
    "LITELLM_MODE": "PRODUCTION",
    "LITELLM_LOG": "ERROR",
    "LITELLM_DANGEROUSLY_PERMIT_WEAK_OR_UNSET_MASTER_KEY": "true",
    "LITELLM_LOCAL_MODEL_COST_MAP": "True",
    "LITELLM_LOCAL_ANTHROPIC_BETA_HEADERS": "True",
    "LITELLM_LOCAL_AUTOROUTER_PRESETS": "True",
    "LITELLM_LOCAL_BLOG_POSTS": "True",
    "LITELLM_LOCAL_POLICY_TEMPLATES": "True",
}
# What our own processes are given, which it would take for its own.
NOT_ITS_OWN = ("-u", "DATABASE_URL", "-u", "REDIS_URL", "-u", "PYTHONPATH")


def why_not() -> str | None:
    """Why it cannot be measured; None where it can."""
    if COMMAND.is_file():
        return None
    return "LiteLLM is left out, since it is not installed: `make bench-peers` installs it where it can"


def name() -> str:
    """With its version, since figures are of one."""
    (metadata,) = PEERS.glob("lib/python*/site-packages/litellm-*.dist-info")
    return f"LiteLLM {metadata.name.removeprefix('litellm-').removesuffix('.dist-info')}"


async def contender(installation: Installation, base_url: str) -> Contender:
    """The proxy, before that model.

    Raises:
        RuntimeError, TimeoutError: it does not start.
    """
    upstream = {"model": "openai/*", "api_base": base_url, "api_key": "none"}
    config = installation.folder / "litellm.yaml"
    # JSON is YAML too.
    config.write_text(json.dumps({"model_list": [{"model_name": "*", "litellm_params": upstream}]}), encoding="utf-8")
    port = free_port()
    served = await installation.start_serving(
        (
            *("env", *NOT_ITS_OWN, str(COMMAND), "--config", str(config), "--host", "127.0.0.1", "--port", str(port)),
            *("--num_workers", str(PROCESSES), "--timeout_worker_healthcheck", str(int(READY_SECONDS))),
        ),
        port,
        name="litellm",
        path="/health/liveliness",
        seconds=READY_SECONDS,
        environment=ENVIRONMENT,
    )
    return of_openai(name(), served.url + "/v1", pids=(served.pid,))
