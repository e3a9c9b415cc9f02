"""One more gateway of an installation, with settings of its own."""

from __future__ import annotations

import os
import subprocess

import httpx2

from cli.child_commands import child_python_path, python_module
from cli.embedded_valkey import EmbeddedValkey
from cli.ports import lasting_ports
from tests.fixtures.up import START_SECONDS, Up
from tests.fixtures.waiting import wait_for


class FurtherGateway:
    """Its work is done by the workers of the installation."""

    def __init__(self, up: Up, **settings: str) -> None:
        self._environment = {
            **{name: value for name, value in os.environ.items() if not name.startswith(("ASYNCCHAT_", "OPENAI_"))},
            "PYTHONPATH": child_python_path(),
            "DATABASE_URL": f"sqlite:///{up.data}/asyncchat.db",
            "REDIS_URL": EmbeddedValkey.in_directory(up.data / "valkey").redis_url,
            **settings,
        }
        (port,) = lasting_ports(1)
        self._port = str(port)
        self.url = f"http://127.0.0.1:{port}"

    def start(self) -> None:
        """Makes a key, and returns once it answers."""
        self.key = self.make_key()
        command = python_module("cli", "api", "--port", self._port)
        self._process = subprocess.Popen(command, env=self._environment, stderr=subprocess.DEVNULL)
        assert wait_for(self._answers, START_SECONDS)

    def make_key(self, *options: str) -> str:
        """A key, as `asyncchat keys create` makes it."""
        command = python_module("cli", "keys", "create", *options)
        made = subprocess.run(command, env=self._environment, check=True, capture_output=True, text=True)
        return made.stdout.strip()

    def stop(self) -> None:
        """Ends it."""
        self._process.kill()
        self._process.wait()

    def _answers(self) -> bool:
        try:
            return httpx2.get(f"{self.url}/healthz").status_code == 200
        except httpx2.TransportError:
            return False
