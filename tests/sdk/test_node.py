"""OpenAI's SDK for Node.js takes this server for OpenAI's: the scripts in `node/` are written for that one."""

from __future__ import annotations

import pytest

from tests.sdk.node_client import NODE_FOLDER, run, why_without_node

SCRIPTS = sorted(path.name for path in NODE_FOLDER.glob("*.test.mjs"))
# For machines without Node.js; in CI on Linux it never applies, so that a missing install fails.
pytestmark = pytest.mark.skipif(why_without_node() is not None, reason=str(why_without_node()))


@pytest.mark.parametrize("script", SCRIPTS)
def test_a_script_for_openais_service_runs_unchanged(url: str, script: str) -> None:
    run("node", "--test", script, url=url)
