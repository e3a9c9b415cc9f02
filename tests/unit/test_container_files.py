"""The files that make containers agree with each other and with the locks."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
ROLE = re.compile(r"^# --- what makes it the (\w+) ---$", re.MULTILINE)


def _lines_above_the_role(name: str) -> list[str]:
    text = (ROOT / name).read_text()
    above = text[: text.index("# --- what makes it")]
    # The first lines say which of the two it is.
    return above.split("\n\n", 1)[1].splitlines()


def test_both_images_are_made_alike_up_to_their_role() -> None:
    assert _lines_above_the_role("Dockerfile.api") == _lines_above_the_role("Dockerfile.worker")
    assert [ROLE.findall((ROOT / name).read_text()) for name in ("Dockerfile.api", "Dockerfile.worker")] == [
        ["gateway"],
        ["worker"],
    ]


def test_images_are_built_with_the_locked_uv() -> None:
    locked = re.search(r"^uv==(\S+)", (ROOT / "requirements-build.txt").read_text(), re.MULTILINE)
    used = re.search(r"^FROM ghcr\.io/astral-sh/uv:(\S+) ", (ROOT / "Dockerfile.api").read_text(), re.MULTILINE)
    assert locked
    assert used
    assert used[1] == locked[1]


def test_the_images_get_every_package_and_no_other_file() -> None:
    wheel = re.search(r"^packages = \[(.*)\]$", (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert wheel
    packages = set(re.findall(r"\w+", wheel[1]))
    sent = set(re.findall(r"^!(\w+)/$", (ROOT / ".dockerignore").read_text(), re.MULTILINE))
    assert sent == packages


def _services() -> dict[str, str]:
    """What each compose file says of each container that it starts; what is shared in the place of its name."""
    found = {}
    for file in sorted(ROOT.glob("docker-compose*.yml")):
        text = re.sub(r"^ *#.*\n", "", file.read_text(), flags=re.MULTILINE)
        shared = dict(re.findall(r"^x-\w+: &(\w+)\n((?:  .*\n)+)", text, flags=re.MULTILINE))
        services = re.search(r"^services:\n((?:  .*\n|\n)+)", text, flags=re.MULTILINE)
        assert services
        for name, said in re.findall(r"^  ([\w-]+):\n((?:    .*\n)+)", services[1], flags=re.MULTILINE):
            whole = "".join(shared.get(used, "") for used in re.findall(r"<<: \*(\w+)$", said, re.MULTILINE)) + said
            if "image: " in whole:
                found[f"{file.name}: {name}"] = whole
    assert len(found) >= 6
    return found


@pytest.mark.parametrize("confinement", [
    "read_only: true", "cap_drop: [ALL]", 'security_opt: ["no-new-privileges:true"]', "mem_limit:", "pids_limit:",
    "healthcheck:",
])  # fmt: skip
def test_a_container_may_do_no_more_than_its_work(confinement: str) -> None:
    assert [name for name, said in _services().items() if confinement not in said] == []


def test_what_is_published_is_so_for_this_machine_alone() -> None:
    published = {name: re.findall(r"ports: (.*)", said) for name, said in _services().items() if "ports:" in said}
    assert published
    for name, ports in published.items():
        assert all(port.startswith('["127.0.0.1:') for port in ports), name
