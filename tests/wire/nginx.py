"""nginx in front of the gateways, with a file that says no more than where they are."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx2

from cli.ports import lasting_ports
from tests.fixtures.waiting import BOUND_SECONDS, LOOK_AGAIN_SECONDS

# Debian keeps it where only root looks, Homebrew where the system does not.
_FOLDERS = ("/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/opt/homebrew/bin")
_TEMPORARY = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


def find_nginx() -> str | None:
    """The program, if it is here."""
    return shutil.which("nginx", path=os.pathsep.join([os.environ.get("PATH", ""), *_FOLDERS]))


# What nginx calls the gateways.
UPSTREAM = "gateways"


@dataclass(frozen=True, slots=True)
class Nginx:
    """A running one."""

    url: str


def _configuration(folder: Path, port: int, urls: Sequence[str]) -> str:
    servers = "\n".join(f"server {url.removeprefix('http://')};" for url in urls)
    temporary = "\n".join(f"{name}_temp_path {folder / name};" for name in _TEMPORARY)
    return f"""
daemon off;
pid {folder / "nginx.pid"};
error_log {folder / "error.log"};
events {{}}
http {{
    access_log off;
    {temporary}
    upstream {UPSTREAM} {{
        {servers}
    }}
    server {{
        listen 127.0.0.1:{port};
        location / {{
            proxy_pass http://{UPSTREAM};
        }}
    }}
}}
"""


@contextmanager
def running_nginx(folder: Path, urls: Sequence[str]) -> Iterator[Nginx]:
    """One for the block, which goes to these gateways in turn."""
    program = find_nginx()
    assert program is not None, "nginx is not installed"
    (port,) = lasting_ports(1)
    configuration = folder / "nginx.conf"
    configuration.write_text(_configuration(folder, port, urls))
    command = [program, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(configuration)]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL) as process:
        running = Nginx(f"http://127.0.0.1:{port}")
        try:
            _wait_until_it_answers(running, process)
            yield running
        finally:
            process.terminate()


def _wait_until_it_answers(nginx: Nginx, process: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + BOUND_SECONDS
    while True:
        try:
            httpx2.get(f"{nginx.url}/healthz")
            return
        except httpx2.TransportError:
            assert process.poll() is None, "nginx has ended"
            assert time.monotonic() < deadline, "nginx does not answer"
            time.sleep(LOOK_AGAIN_SECONDS)
