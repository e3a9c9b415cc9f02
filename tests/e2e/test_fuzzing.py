"""Schemathesis asks what the OpenAPI document allows, and what it does not: no server error, and answers as written.

`FUZZ_SECONDS=600` looks for so long, with many more requests to each operation; `FUZZ_SEED` says where to begin. The
whole report is printed when it finds anything, with the seed and the requests as curl commands.
"""

from __future__ import annotations

import json
import os
import secrets
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx2
import pytest

from tests.fixtures.api_keys import make_key
from tests.fixtures.up import StartUp

FUZZ_SECONDS = int(os.environ.get("FUZZ_SECONDS", "0"))
# The same every time, or another one with each long look.
SEED = os.environ.get("FUZZ_SEED") or (str(secrets.randbelow(2**31)) if FUZZ_SECONDS else "1")
# A document cannot say all that makes a value right: a text of white space, the cursor of another list. A key that is
# revoked is still to be seen, and what some request has deleted is not there for the next.
WITHOUT = ("positive_data_acceptance", "use_after_free", "ensure_resource_availability")
SHORT = ("--phases", "examples,fuzzing", "--max-examples", "4")
LONG = ("--max-examples", "1000", "--max-time", str(FUZZ_SECONDS))
# Nothing that it asks for is to last.
ENVIRONMENT = {
    "ASYNCCHAT_MODEL": "demo-fast",
    "ASYNCCHAT_MAX_WAIT_SECONDS": "0.2",
    "ASYNCCHAT_STREAM_SECONDS": "0.3",
    "ASYNCCHAT_DEADLINE_SECONDS": "5",
}


def _ids(client: httpx2.Client) -> dict[str, Any]:
    """Things that are there, by the names that paths have for them."""

    def made(path: str, **body: Any) -> dict[str, Any]:
        answer = client.post(path, json=body)
        assert answer.is_success, answer.text
        found: dict[str, Any] = answer.json()
        return found

    conversation = made("/conversations/", message={"content": "Hello"}, end_user="ada")
    return {
        "conversation_id": conversation["id"],
        "turn": 1,
        "reply_id": conversation["turn"]["replies"][0]["id"],
        "item_id": conversation["turn"]["message"]["id"],
        "response_id": made("/v1/responses", input="Hi", background=True)["id"],
        "key_id": made("/keys/", name="fuzzing")["id"],
        "end_user": "ada",
        "name": "demo-fast",
        "code": "not_found",
    }


def _parameters(ids: dict[str, Any]) -> str:
    return "".join(f'"path.{name}" = {json.dumps(value)}\n' for name, value in ids.items())


@pytest.mark.timeout(FUZZ_SECONDS + 300)
@pytest.mark.parametrize("auth", ["open", "keys"])
def test_no_request_makes_the_server_fail_or_answer_as_the_document_does_not_say(
    start_up: StartUp, folder: Path, auth: str
) -> None:
    """With keys it also looks at what is answered to whoever has none, or a wrong one."""
    (folder / "data").mkdir()
    database_url = f"sqlite:///{folder}/data/asyncchat.db"
    headers = {} if auth == "open" else {"Authorization": f"Bearer {make_key(database_url, '--scope', 'admin')}"}
    up = start_up(environment={**ENVIRONMENT, "ASYNCCHAT_AUTH": auth})
    up.wait_until_ready()
    with httpx2.Client(base_url=up.url, headers=headers) as client:
        # What is erased is another one, so that the rest goes on finding the first.
        kept, erased = _ids(client), {**_ids(client), "end_user": "nobody"}
    config = folder / "schemathesis.toml"
    config.write_text(
        f'[parameters]\n{_parameters(kept)}\n[[operations]]\ninclude-method = "DELETE"\n\n'
        f"[operations.parameters]\n{_parameters(erased)}"
    )
    command = [sys.executable, "-m", "schemathesis.cli", "--config-file", str(config), "run", f"{up.url}/openapi.json"]
    command += [word for name, value in headers.items() for word in ("--header", f"{name}: {value}")]
    options = ["--seed", SEED, "--exclude-checks", ",".join(WITHOUT), "--warnings", "off", "--continue-on-failure"]
    ended = subprocess.run(
        [*command, *options, *(LONG if FUZZ_SECONDS else SHORT)],
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    assert httpx2.get(f"{up.url}/healthz").status_code == 200
    log = (folder / "data" / "logs" / "api.log").read_text()
    assert "Traceback" not in log
