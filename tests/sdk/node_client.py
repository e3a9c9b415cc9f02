"""Programs that were written for OpenAI's service, run against an installation."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

NODE_FOLDER = Path(__file__).parent / "node"
# The SDK asks for 22 and runs on 20.
OLDEST_NODE = 20
RUN_SECONDS = 100


def why_without_node() -> str | None:
    """Why the SDK for Node.js cannot run here, or None. CI on Linux has to have everything."""
    if "CI" in os.environ and sys.platform == "linux":
        return None
    node = shutil.which("node")
    said = subprocess.run([node, "--version"], capture_output=True, text=True, check=False).stdout if node else ""
    if int(said.removeprefix("v").partition(".")[0] or 0) < OLDEST_NODE:
        return f"there is no Node.js {OLDEST_NODE} or newer"
    if not (NODE_FOLDER / "node_modules").is_dir():
        return "`npm ci --prefix tests/sdk/node` was not run"
    return None


def environment_of(url: str) -> Mapping[str, str]:
    """What the SDKs read by themselves, for the gateway at this address."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("OPENAI_")}
    return {**kept, "OPENAI_BASE_URL": f"{url}/v1", "OPENAI_API_KEY": "any", "no_proxy": "*"}


def run(*command: str, url: str, given: str | None = None) -> str:
    """Runs a program that was written for OpenAI's service; what it prints."""
    ran = subprocess.run(
        command,
        cwd=NODE_FOLDER,
        env=environment_of(url),
        input=given,
        capture_output=True,
        text=True,
        timeout=RUN_SECONDS,
        check=False,
    )
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout
