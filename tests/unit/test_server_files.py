"""The units of systemd and the file for nginx in `deploy/` fit the program and its settings."""

from __future__ import annotations

import configparser
import re

import pytest

from api.http_protocol import IDLE_SECONDS
from cli.roles import MAX_GRACEFUL_SECONDS
from shared.settings import Settings
from tests.fixtures.monitoring import ROOT

NGINX = ROOT / "deploy" / "nginx" / "asyncchat.conf"


def _unit(role: str) -> configparser.ConfigParser:
    unit = configparser.ConfigParser(interpolation=None, comment_prefixes=("#",))
    unit.optionxform = str  # type: ignore[assignment, method-assign]
    unit.read_string((ROOT / "deploy" / "systemd" / f"asyncchat-{role}@.service").read_text())
    return unit


@pytest.mark.parametrize(("role", "command"), [("api", "api --port %i"), ("worker", "worker")])
def test_a_unit_runs_its_role_as_the_user_of_the_page(role: str, command: str) -> None:
    service = _unit(role)["Service"]
    page = (ROOT / "docs" / "operations.md").read_text()
    assert service["ExecStart"] == f"/opt/asyncchat/bin/asyncchat {command}"
    assert f"useradd --system --shell /usr/sbin/nologin {service['User']}" in page
    assert f"`{service['EnvironmentFile']}`" in page
    assert "cp deploy/systemd/*.service /etc/systemd/system/" in page


@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_unit_starts_again_whatever_ended_it_and_however_often(role: str) -> None:
    """systemd gives a unit up by default that has ended five times in ten seconds."""
    unit = _unit(role)
    assert unit["Service"]["Restart"] == "always"
    assert unit["Unit"]["StartLimitIntervalSec"] == "0"
    assert unit["Install"]["WantedBy"] == "multi-user.target"


@pytest.mark.parametrize("role", ["api", "worker"])
def test_a_unit_gives_its_process_the_time_that_it_takes_to_end(role: str) -> None:
    drain = Settings.model_fields["drain_seconds"].default
    assert int(_unit(role)["Service"]["TimeoutStopSec"]) >= max(drain, MAX_GRACEFUL_SECONDS) + 10


def _nginx(name: str) -> str:
    found = re.search(rf"^\s*{name} (.+);$", NGINX.read_text(), re.MULTILINE)
    assert found, name
    return found[1]


def test_nginx_closes_an_idle_connection_before_the_gateway_does() -> None:
    """A POST on a connection that is just being closed is answered with 502, since nginx does not repeat it."""
    assert int(_nginx("keepalive_timeout").removesuffix("s")) < IDLE_SECONDS


def test_nginx_waits_longer_and_takes_more_than_the_gateway() -> None:
    fields = Settings.model_fields
    assert int(_nginx("proxy_read_timeout").removesuffix("s")) > fields["max_wait_seconds"].default
    assert int(_nginx("client_max_body_size").removesuffix("m")) * 2**20 > fields["max_body_bytes"].default


def test_nginx_leaves_no_gateway_alone() -> None:
    """It trusts one again only after a request to it has ended, which may be a long wait."""
    servers = re.findall(r"^\s*server 127\.0\.0\.1:\d+(.*);$", NGINX.read_text(), re.MULTILINE)
    assert servers == [" max_fails=0"] * 2
