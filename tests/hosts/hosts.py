"""Hosts for a test: network namespaces on one bridge, with no way out. Needs root and iproute2."""

from __future__ import annotations

import ctypes
import os
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from cli.child_commands import child_python_path

CLONE_NEWNET = 0x40000000
NETWORK = "10.77.0"


def _ip(*words: str) -> None:
    subprocess.run(["ip", *words], check=True, capture_output=True)


class Hosts:
    """A switch and the hosts on it; processes that are started there end with the block."""

    def __init__(self, folder: Path, stack: ExitStack) -> None:
        self._folder = folder
        self._stack = stack
        self._prefix = f"chat{os.getpid()}"
        self._addresses: dict[str, str] = {}
        self._switch = self._namespace("switch")
        _ip("-n", self._switch, "link", "add", "bridge", "type", "bridge")
        _ip("-n", self._switch, "link", "set", "bridge", "up")

    def add(self, name: str) -> str:
        """The address of a new host."""
        namespace = self._namespace(name)
        address = self._addresses[name] = f"{NETWORK}.{len(self._addresses) + 1}"
        port = f"to{len(self._addresses)}"
        _ip("-n", self._switch, "link", "add", port, "type", "veth", "peer", "name", "net0", "netns", namespace)
        _ip("-n", self._switch, "link", "set", port, "master", "bridge", "up")
        _ip("-n", namespace, "address", "add", f"{address}/24", "dev", "net0")
        _ip("-n", namespace, "link", "set", "net0", "up")
        return address

    def start(self, name: str, *command: str, **environment: str) -> subprocess.Popen[bytes]:
        """A process on that host."""
        log = self._stack.enter_context((self._folder / f"{name}.log").open("ab"))
        process = subprocess.Popen(
            ["ip", "netns", "exec", f"{self._prefix}-{name}", *command],
            env={**os.environ, "PYTHONPATH": child_python_path(), **environment},
            cwd=self._folder,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
        self._stack.callback(process.wait)
        self._stack.callback(process.kill)
        return process

    @contextmanager
    def on(self, name: str) -> Iterator[None]:
        """Lets this thread reach what that host reaches, for the block."""
        with Path("/proc/thread-self/ns/net").open() as home, Path(f"/run/netns/{self._prefix}-{name}").open() as there:
            _enter(there.fileno())
            try:
                yield
            finally:
                _enter(home.fileno())

    def _namespace(self, name: str) -> str:
        namespace = f"{self._prefix}-{name}"
        _ip("netns", "add", namespace)
        self._stack.callback(_ip, "netns", "delete", namespace)
        _ip("-n", namespace, "link", "set", "lo", "up")
        return namespace


def _enter(descriptor: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.setns(descriptor, CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "setns")
