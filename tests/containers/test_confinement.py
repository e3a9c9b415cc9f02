"""What a container may do: its work, and nothing to itself."""

from __future__ import annotations

import pytest

from tests.containers.installation import Installation

pytestmark = [pytest.mark.containers, pytest.mark.timeout(1200)]

SERVICES = ("api", "worker", "demo-model", "redis")


@pytest.mark.parametrize("service", SERVICES)
def test_it_runs_as_somebody_without_privileges(installation: Installation, service: str) -> None:
    assert int(installation.execute(service, "id", "-u")) > 0
    status = dict(
        line.split(":", 1)
        for line in installation.execute(service, "cat", "/proc/self/status").splitlines()
        if ":" in line
    )
    assert [int(status[name], 16) for name in ("CapPrm", "CapEff", "CapBnd")] == [0, 0, 0]
    assert int(status["NoNewPrivs"]) == 1


@pytest.mark.parametrize("service", SERVICES)
def test_its_root_is_read_only_but_for_tmp(installation: Installation, service: str) -> None:
    for place in ("/x", "/usr/x", "/home/x"):
        assert installation.compose("exec", "-T", service, "touch", place, check=False).returncode != 0
    installation.execute(service, "touch", "/tmp/x")  # noqa: S108  A tmpfs of the container's own.


@pytest.mark.parametrize("service", ["api", "worker"])
def test_the_program_cannot_change_itself(installation: Installation, service: str) -> None:
    program = "import api.app, os; print(os.access(api.app.__file__, os.W_OK))"
    assert installation.execute(service, "python", "-P", "-c", program).strip() == "False"


@pytest.mark.parametrize("service", ["api", "worker"])
def test_there_is_no_compiler(installation: Installation, service: str) -> None:
    program = (
        "import shutil; print([name for name in ('cc', 'gcc', 'g++', 'clang', 'make', 'uv') if shutil.which(name)])"
    )
    assert installation.execute(service, "python", "-c", program).strip() == "[]"


@pytest.mark.parametrize("service", ["redis", "worker", "demo-model"])
def test_only_the_gateway_is_published(installation: Installation, service: str) -> None:
    assert "->" not in installation.compose("ps", service).stdout


def test_the_gateway_is_published_for_this_machine_only(installation: Installation) -> None:
    assert f"127.0.0.1:{installation.address.partition(':')[2]}->8000" in installation.compose("ps", "api").stdout


def test_redis_wants_its_password(installation: Installation) -> None:
    denied = installation.execute("redis", "sh", "-c", "unset REDISCLI_AUTH; redis-cli ping")
    assert "NOAUTH" in denied
