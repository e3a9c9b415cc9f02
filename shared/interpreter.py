"""How the threads of a process share the interpreter."""

from __future__ import annotations

import sys

# CPython lets a busy thread run on for 5 ms while another waits, and a request changes threads several times (loop,
# writer, reader, loop). Measured in docs/decisions/0006.
SWITCH_SECONDS = 0.0005


def hand_over_quickly() -> None:
    """Makes a busy thread yield sooner to one that waits."""
    sys.setswitchinterval(SWITCH_SECONDS)
