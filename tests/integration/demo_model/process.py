"""The demo model as a process of its own, started as people start it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Self

STOP_SECONDS = 5.0


@dataclass(frozen=True)
class DemoProcess:
    process: subprocess.Popen[str]
    base_url: str

    @property
    def root_url(self) -> str:
        return self.base_url.removesuffix("/v1")

    @property
    def port(self) -> int:
        return int(self.root_url.rpartition(":")[2])

    @classmethod
    @contextmanager
    def started(cls, *, host: str = "127.0.0.1") -> Iterator[Self]:
        command = (sys.executable, "-m", "demo_model", "--host", host, "--port", "0")
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
            try:
                assert process.stdout is not None
                said = process.stdout.readline()
                assert said.startswith("demo model on "), process.communicate()
                yield cls(process, said.split()[-1])
            finally:
                process.kill()

    def stop(self, signal_number: int) -> tuple[int, str]:
        """The exit status after a signal, and all it said on stderr."""
        self.process.send_signal(signal_number)
        _, complaints = self.process.communicate(timeout=STOP_SECONDS)
        return self.process.returncode, complaints
