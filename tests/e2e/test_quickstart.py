"""Each program of the quick start, pasted, prints what it shows. Its web page is opened in tests/browser."""

from __future__ import annotations

import os
import re
import subprocess
import sys

from cli.ports import free_port
from tests.fixtures.pages import assert_commands_print_what_is_shown, assert_prints_what_it_says, programs
from tests.fixtures.up import ROOT, StartUp

PAGE = ROOT / "docs" / "quickstart.md"


def test_each_program_prints_what_the_page_shows(start_up: StartUp) -> None:
    up = start_up()
    up.wait_until_ready()
    assert_commands_print_what_is_shown(PAGE, url=up.url)
    shown = [program for program in programs(PAGE, "python") if "serve_forever" not in program]
    assert len(shown) >= 4
    for program in shown:
        address = up.url.removeprefix("http://")
        pasted = re.sub(r"127\.0\.0\.1:8000", address, program).replace("9000", str(free_port()))
        ran = subprocess.run(
            [sys.executable, "-"],
            env={**os.environ, "no_proxy": "*"},
            input=pasted,
            capture_output=True,
            text=True,
            timeout=100,
            check=False,
        )
        assert ran.returncode == 0, f"{program}\n{ran.stderr}"
        assert_prints_what_it_says(program, ran.stdout)
