"""The README's lines, pasted one by one, print what it shows."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

from tests.fixtures.up import StartUp

README = Path(__file__).parents[2] / "README.md"
# A block of commands behind `$ ` with what they print; `…` stands for anything.
BLOCK = re.compile(r"^```console\n(.*?)^```$", re.MULTILINE | re.DOTALL)
COMMAND = "$ "
MARK = "--- what the next command prints"


def _shown() -> list[tuple[str, str]]:
    """Each command, and what the README says it prints."""
    shown: list[tuple[str, str]] = []
    for block in BLOCK.findall(README.read_text()):
        for line in block.splitlines():
            if line.startswith(COMMAND):
                shown.append((line.removeprefix(COMMAND), ""))
            else:
                command, output = shown.pop()
                shown.append((command, f"{output}{line}\n"))
    return shown


def _matches(shown: str, printed: str) -> bool:
    pattern = ".*?".join(re.escape(part) for part in shown.strip().split("…"))
    return re.fullmatch(pattern, printed.replace("\r", "").strip(), re.DOTALL) is not None


def test_each_command_prints_what_the_readme_shows(start_up: StartUp) -> None:
    up = start_up()
    up.wait_until_ready()
    shown = _shown()
    assert len(shown) >= 5
    # One shell for all, since a variable of one command is used by the next.
    script = "\n".join(f"echo '{MARK}'\n{command}" for command, _ in shown)
    address = up.url.removeprefix("http://")
    ran = subprocess.run(
        ["bash"],
        input=script.replace("localhost:8000", address),
        env={"PATH": "/usr/local/bin:/usr/bin:/bin", "no_proxy": "*"},
        capture_output=True,
        text=True,
        timeout=100,
        check=True,
    )
    _, *printed = ran.stdout.split(f"{MARK}\n")
    for (command, expected), output in zip(shown, printed, strict=True):
        assert _matches(expected, output), f"{command}\nprints\n{output}\nand not\n{expected}"
