"""`asyncchat keys`: the first key of a server that nobody can reach yet."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from shared.api_keys import prefix_of

Output = tuple[int, str, str]


@pytest.fixture
def url(empty_database_url: str) -> str:
    """A database that has no tables yet."""
    return empty_database_url


def keys(url: str, *arguments: str) -> Output:
    """What the command says; its exit code first."""
    ended = subprocess.run(
        [sys.executable, "-m", "cli", "keys", *arguments],
        env={**os.environ, "DATABASE_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    return ended.returncode, ended.stdout, ended.stderr


def test_a_key_is_made_listed_and_revoked_also_before_there_are_tables(url: str) -> None:
    code, secret, _ = keys(url, "create", "--name", "web", "--tenant", "acme", "--days", "30")
    assert code == 0
    prefix = prefix_of(secret.strip())
    assert prefix
    code, listed, _ = keys(url, "list")
    key_id, tenant, scopes, *_ = listed.split()
    assert (code, tenant, scopes) == (0, "acme", "read+write")
    assert "good until" in listed
    assert listed.strip().endswith("web")
    assert secret.strip().removeprefix(f"ak_{prefix}_") not in listed
    assert keys(url, "revoke", key_id)[:2] == (0, f"{key_id} is revoked\n")
    assert "revoked" in keys(url, "list")[1]


def test_what_is_not_there_cannot_be_revoked(url: str) -> None:
    keys(url, "create", "--scope", "admin")
    code, said, complaint = keys(url, "revoke", "key_nope")
    assert (code, said) == (1, "")
    assert complaint.endswith("asyncchat: there is no key key_nope; `asyncchat keys list` shows them all\n")
    assert keys(url, "create", "--scope", "all")[0] == 2
