"""Lets children load their code while the database is still being migrated, and start to work only after that.

Loading is most of a start: one after the other, migration and worker would take longer than a person likes to wait.
The gate is a pipe: children hold its read end and wait for the end of file, which comes when the parent closes its
write end. A child started later finds the gate open.
"""

from __future__ import annotations

import os


class StartGate:
    """The parent's side: closed until `open` is called."""

    def __init__(self) -> None:
        self.child_fd, self._write_end = os.pipe()

    def open(self) -> None:
        """Let the children through, now and for ever."""
        if self._write_end >= 0:
            os.close(self._write_end)
            self._write_end = -1

    def close(self) -> None:
        """Give the pipe back, once no more children will be started."""
        self.open()
        os.close(self.child_fd)


def pass_gate(child_fd: int) -> None:
    """The child's side: wait until the gate is open."""
    while os.read(child_fd, 1):
        pass
    os.close(child_fd)
